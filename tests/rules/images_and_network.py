"""Rules 42 to 54: image repository, load balancer, network."""

import json
from collections.abc import Iterator
from typing import Any

from spotfleet.settings.environment import defaults
from tests.rules.rule import Rule, attributes, depends_on, is_true, properties, resources, texts, value
from tests.support.rendered import Json, Layers

REPOSITORY = "AWS::ECR::Repository"
BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
LISTENER_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
ENDPOINT = "AWS::EC2::VPCEndpoint"
ATTACHMENT = "AWS::EC2::VPCGatewayAttachment"
LEAST_KEPT_IMAGES = 2
HTTPS_PORT = 443
LOAD_BALANCER_HOST_BITS = 5
# What machines without a way to the internet talk to; the last two are for Session Manager.
NEEDED_ENDPOINTS = {"ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs", "s3", "ssm", "ssmmessages"}


def _repository_can_be_deleted(layers: Layers) -> Iterator[str]:
    for name, repository in properties(layers, REPOSITORY):
        template = layers[name.partition(".")[0]]["Sceptre"]
        # A protected environment's images are deleted by the hook, after a person has confirmed it.
        emptied_by_hook = template["settings"]["deletion_protection"] is True and "DeletionProtection" in template[
            "hooks"
        ].get("before_delete", [])
        if not is_true(repository.get("EmptyOnDelete")) and not emptied_by_hook:
            yield f"{name} is not emptied on deletion"


def _tags_are_immutable(layers: Layers) -> Iterator[str]:
    for name, repository in properties(layers, REPOSITORY):
        if repository.get("ImageTagMutability") != "IMMUTABLE":
            yield f"{name} has ImageTagMutability {repository.get('ImageTagMutability', 'left out')}"
    for name, task in properties(layers, "AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            image = container["Image"]
            if image != {"Resolver": "ImageUri"}:
                yield f"{name} runs {image}, not the image whose tag is the hash of its source"


def _image_is_pushed_before_the_service(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, "AWS::ECS::Service"):
        hooks = layers[name.partition(".")[0]]["Sceptre"]["hooks"].get("before_launch", [])
        if "DockerImage" not in hooks:
            yield f"{name} is launched without the hook that pushes its image"


def _previous_images_are_kept(layers: Layers) -> Iterator[str]:
    for name, repository in properties(layers, REPOSITORY):
        text = "".join(texts(value(repository, "LifecyclePolicy.LifecyclePolicyText", "")))
        rules = json.loads(text)["rules"] if text else []
        counts = [rule["selection"]["countNumber"] for rule in rules if _is_about_releases(rule)]
        if not counts or min(counts) < LEAST_KEPT_IMAGES:
            yield f"{name} keeps {min(counts, default='any number of')} tagged images"


def _is_about_releases(rule: Json) -> bool:
    return bool(rule["selection"]["tagStatus"] != "untagged")


def _tls_policy_is_todays(layers: Layers) -> Iterator[str]:
    for name, listener in properties(layers, LISTENER):
        policy = str(listener.get("SslPolicy", "left out"))
        if listener["Protocol"] == "HTTPS" and not policy.startswith("ELBSecurityPolicy-TLS13-1-"):
            yield f"{name} has SslPolicy {policy}"


def _balancer_drops_bad_headers_and_is_protected_as_configured(layers: Layers) -> Iterator[str]:
    for name, balancer in properties(layers, BALANCER):
        found = attributes(balancer, "LoadBalancerAttributes")
        if not is_true(found.get("routing.http.drop_invalid_header_fields.enabled")):
            yield f"{name} passes invalid header fields on"
        wanted = layers[name.partition(".")[0]]["Sceptre"]["settings"]["deletion_protection"]
        if is_true(found.get("deletion_protection.enabled")) != wanted:
            yield f"{name} has deletion_protection.enabled {found.get('deletion_protection.enabled')}, not {wanted}"


def _access_logs_can_be_written_and_block_no_deletion(layers: Layers) -> Iterator[str]:
    for name, resource in resources(layers, BALANCER):
        found = attributes(resource["Properties"], "LoadBalancerAttributes")
        layer = name.partition(".")[0]
        bucket = value(found.get("access_logs.s3.bucket"), "Ref")
        if not is_true(found.get("access_logs.s3.enabled")) or bucket is None:
            continue
        policies = dict(properties({layer: layers[layer]}, "AWS::S3::BucketPolicy"))
        writers = {
            policy.partition(".")[2]
            for policy, item in policies.items()
            if item["Bucket"] == {"Ref": bucket} and _lets_load_balancers_write(item)
        }
        if not writers & depends_on(resource):
            yield f"{name} does not wait for a policy that lets it write to {bucket}"
        if not str(layers[layer]["Resources"][bucket].get("DeletionPolicy", "")).startswith("Retain"):
            yield f"{layer}.{bucket} is deleted with the stack, which fails while it holds logs"


def _lets_load_balancers_write(policy: Json) -> bool:
    for statement in policy["PolicyDocument"]["Statement"]:
        writes = "s3:PutObject" in texts(statement["Action"]) and statement["Effect"] == "Allow"
        principal = "".join(texts(statement["Principal"]))
        if writes and ("logdelivery.elasticloadbalancing.amazonaws.com" in principal or ":root" in principal):
            return True
    return False


def _certificate_validates_itself_and_aliases_name_the_balancer(layers: Layers) -> Iterator[str]:
    for name, certificate in properties(layers, "AWS::CertificateManager::Certificate"):
        zones = [option.get("HostedZoneId") for option in certificate.get("DomainValidationOptions", [])]
        if certificate.get("ValidationMethod") != "DNS" or not zones or None in zones:
            yield f"{name} waits for a person to validate it"
    for name, record in properties(layers, "AWS::Route53::RecordSet"):
        target = record.get("AliasTarget", {})
        dns, zone = "".join(texts(target.get("DNSName"))), "".join(texts(target.get("HostedZoneId")))
        if ".DNSName" not in dns or not zone.endswith("CanonicalHostedZoneID"):
            yield f"{name} is no alias of the load balancer's own name and zone"


def _services_bring_rules_not_listeners(layers: Layers) -> Iterator[str]:
    balancers = {name.partition(".")[0] for name, _ in resources(layers, BALANCER)}
    for name, listener in properties(layers, LISTENER):
        if name.partition(".")[0] not in balancers:
            yield f"{name} is not with its load balancer"
        for action in listener["DefaultActions"]:
            if action["Type"] == "forward":
                yield f"{name} forwards by default, so that one service owns it"
    seen: dict[tuple[str, str], str] = {}
    for name, rule in properties(layers, LISTENER_RULE):
        place = (json.dumps(rule["ListenerArn"]), str(rule["Priority"]))
        if place in seen:
            yield f"{name} has Priority {rule['Priority']}, as {seen[place]} has"
        seen[place] = name


def _internet_gateway_is_attached_first(layers: Layers) -> Iterator[str]:
    for layer, template in layers.items():
        here = {layer: template}
        attachments = {name.partition(".")[2] for name, _ in resources(here, ATTACHMENT)}
        routes = {
            name.partition(".")[2]: route
            for name, route in resources(here, "AWS::EC2::Route")
            if _is_public(here, route)
        }
        for name, resource in (*routes.items(), *_short(here, "AWS::EC2::EIP")):
            if not attachments & depends_on(resource):
                yield f"{layer}.{name} does not wait for the attachment of the internet gateway"
        for name, resource in (*_short(here, "AWS::EC2::NatGateway"), *_short(here, "AWS::EC2::Instance")):
            if not {*attachments, *routes} & depends_on(resource):
                yield f"{layer}.{name} does not wait for its way to the internet"


def _short(layers: Layers, kind: str) -> Iterator[tuple[str, Json]]:
    for name, resource in resources(layers, kind):
        yield name.partition(".")[2], resource


def _is_public(layers: Layers, route: Json) -> bool:
    gateways = {name for name, _ in _short(layers, "AWS::EC2::InternetGateway")}
    return value(route, "Properties.GatewayId.Ref") in gateways


def _without_nat_every_service_has_an_endpoint(layers: Layers) -> Iterator[str]:
    ways_out = [item for _, item in properties(layers, "AWS::EC2::Route") if _leaves(item)]
    if ways_out:
        return
    names = {"".join(texts(item["ServiceName"])) for _, item in properties(layers, ENDPOINT)}
    there = {name.partition("${AWS::Region}.")[2] for name in names}
    for service in sorted(NEEDED_ENDPOINTS - there):
        yield f"vpc has no way to the internet and no endpoint for {service}"
    for name, endpoint in properties(layers, ENDPOINT):
        if endpoint.get("VpcEndpointType") == "Interface" and not _lets_https_in(layers, name, endpoint):
            yield f"{name} lets no HTTPS in from the VPC"


def _leaves(route: Json) -> bool:
    return bool(route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.keys() & {"NatGatewayId", "InstanceId"})


def _lets_https_in(layers: Layers, name: str, endpoint: Json) -> bool:
    template = layers[name.partition(".")[0]]
    groups = [template["Resources"][group["Ref"]]["Properties"] for group in endpoint.get("SecurityGroupIds", [])]
    rules: list[Any] = [rule for group in groups for rule in group.get("SecurityGroupIngress", [])]
    return any(rule["FromPort"] <= HTTPS_PORT <= rule["ToPort"] for rule in rules)


def _ipv6_flow_logs_and_default_group(layers: Layers) -> Iterator[str]:
    for name, route in properties(layers, "AWS::EC2::Route"):
        private = name.partition(".")[2].startswith("Private")
        if private and route.get("DestinationIpv6CidrBlock") and "EgressOnlyInternetGatewayId" not in route:
            yield f"{name} lets the internet in: not through an egress-only gateway"
    for name, log in properties(layers, "AWS::EC2::FlowLog"):
        if log.get("LogDestinationType", "cloud-watch-logs") == "cloud-watch-logs" and (
            "DeliverLogsPermissionArn" not in log
        ):
            yield f"{name} has no role to write with"
    for layer, template in layers.items():
        if any("DefaultSecurityGroup" in text for text in texts(template["Resources"])):
            yield f"{layer} uses the VPC's default security group"


def _each_service_keeps_its_own_images(layers: Layers) -> Iterator[str]:
    services = [name.partition(".")[0] for name, _ in resources(layers, "AWS::ECS::Service")]
    for name, repository in properties(layers, REPOSITORY):
        text = "".join(texts(value(repository, "LifecyclePolicy.LifecyclePolicyText", "")))
        rules = json.loads(text)["rules"] if text else []
        patterns = [rule["selection"].get("tagPatternList") for rule in sorted(rules, key=_priority)]
        before = patterns[: patterns.index(["*"])] if ["*"] in patterns else patterns
        for service in services:
            if [f"{service}_*"] not in before:
                yield f"{name} counts the images of {service} together with others"


def _priority(rule: Json) -> int:
    return int(rule["rulePriority"])


def _endpoints_exist_and_are_needed(layers: Layers) -> Iterator[str]:
    for name, endpoint in properties(layers, ENDPOINT):
        if "ec2messages" in "".join(texts(endpoint["ServiceName"])):
            yield f"{name} is of ec2messages"


def _no_way_out_beside_endpoints(layers: Layers) -> Iterator[str]:
    interfaces = [name for name, found in properties(layers, ENDPOINT) if found.get("VpcEndpointType") == "Interface"]
    for name, route in properties(layers, "AWS::EC2::Route"):
        leaves = route.keys() & {"EgressOnlyInternetGatewayId", "NatGatewayId", "InstanceId"}
        if interfaces and leaves:
            yield f"{name} leads to the internet beside {len(interfaces)} endpoints"


def _events_reach_the_topic(layers: Layers) -> Iterator[str]:
    for name, policy in properties(layers, "AWS::SNS::TopicPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if "events.amazonaws.com" in set(texts(statement.get("Principal", {}))) and statement.get("Condition"):
                yield f"{name} lets EventBridge publish under a condition"


def _bodies_pass_the_firewall(layers: Layers) -> Iterator[str]:
    for name, firewall in properties(layers, "AWS::WAFv2::WebACL"):
        said = layers[name.partition(".")[0]]["Sceptre"]["settings"]
        counted = (defaults() | said)["counted_firewall_rules"]
        for rule in firewall["Rules"]:
            group = value(rule, "Statement.ManagedRuleGroupStatement", {})
            if group.get("Name") != "AWSManagedRulesCommonRuleSet":
                continue
            found = [item["Name"] for item in group.get("RuleActionOverrides", []) if "Count" in item["ActionToUse"]]
            for missing in sorted(set(counted) - set(found)):
                yield f"{name} blocks what {missing} finds"


def _percentiles_of_few_requests_say_nothing(layers: Layers) -> Iterator[str]:
    for name, alarm in properties(layers, "AWS::CloudWatch::Alarm"):
        if "ExtendedStatistic" in alarm and alarm.get("EvaluateLowSampleCountPercentile") != "ignore":
            yield f"{name} rings for the slowest of a few requests"


def _certificates_are_not_waited_for_for_days(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, "AWS::CertificateManager::Certificate"):
        if not layers[name.partition(".")[0]]["Sceptre"]["stack_timeout"]:
            yield f"{name} is in a stack without stack_timeout"


def _subnets_are_large_enough_for_load_balancers(layers: Layers) -> Iterator[str]:
    for name, subnet in properties(layers, "AWS::EC2::Subnet"):
        bits = int(value(subnet, "CidrBlock.Fn::Select.1.Fn::Cidr.2", 0))
        if bits < LOAD_BALANCER_HOST_BITS:
            yield f"{name} is a /{32 - bits}"


RULES = [
    Rule(42, "a repository that holds images cannot be deleted", _repository_can_be_deleted),
    Rule(43, "an unchanged tag means no update, so each image needs a tag of its own that stays", _tags_are_immutable),
    Rule(44, "a service whose image is not there yet never gets a task", _image_is_pushed_before_the_service),
    Rule(45, "a rollback needs the image of the release before", _previous_images_are_kept),
    Rule(46, "CloudFormation's default TLS policy is of 2016", _tls_policy_is_todays),
    Rule(
        47,
        "invalid header fields pass by default, and deletion protection stops a deletion halfway",
        _balancer_drops_bad_headers_and_is_protected_as_configured,
    ),
    Rule(
        48,
        "AWS writes a test file when logs are switched on, and deletes no bucket that holds something",
        _access_logs_can_be_written_and_block_no_deletion,
    ),
    Rule(
        49,
        "a certificate validates itself by DNS in a zone of the account only, and an alias needs name and zone",
        _certificate_validates_itself_and_aliases_name_the_balancer,
    ),
    Rule(
        50,
        "a listener has one default and rules of unique priority, so services can share it",
        _services_bring_rules_not_listeners,
    ),
    Rule(
        51,
        "no reference makes CloudFormation attach the gateway before what needs it",
        _internet_gateway_is_attached_first,
    ),
    Rule(
        52,
        "without a way to the internet machines need an endpoint of each service that they talk to",
        _without_nat_every_service_has_an_endpoint,
    ),
    Rule(
        104,
        "a load balancer needs subnets of a /27 or larger; "
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html",
        _subnets_are_large_enough_for_load_balancers,
    ),
    Rule(
        53,
        "prices per hour",
        unchecked="a price is no property of a template; the settings' documentation gives each choice's and its date",
    ),
    Rule(
        95,
        "the newest images of a repository are those of whichever service is released most often, and an image that a "
        "rule keeps is not deleted by a later one; "
        "https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html",
        _each_service_keeps_its_own_images,
    ),
    Rule(
        87,
        "ec2messages is not there in Regions that opened since 2024, and the agent does without it; "
        "https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html",
        _endpoints_exist_and_are_needed,
    ),
    Rule(
        88,
        "endpoints are for networks that lead nowhere else, by IPv6 neither",
        _no_way_out_beside_endpoints,
    ),
    Rule(
        89,
        "a topic policy for EventBridge may have no condition, or no event arrives; "
        "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html",
        _events_reach_the_topic,
    ),
    Rule(
        90,
        "AWS's common rules block every body above 8 KiB and every request without a User-Agent; "
        "https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html",
        _bodies_pass_the_firewall,
    ),
    Rule(
        91,
        "the 99th percentile of a few requests is the slowest one; "
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html",
        _percentiles_of_few_requests_say_nothing,
    ),
    Rule(
        92,
        "a certificate whose domain nobody delegated to the zone is waited for up to 72 hours; "
        "https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html",
        _certificates_are_not_waited_for_for_days,
    ),
    Rule(
        54,
        "IPv6 has no NAT, flow logs need a role, and the default security group is to be closed",
        _ipv6_flow_logs_and_default_group,
    ),
]
