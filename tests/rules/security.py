"""Rules 73 to 83: who may do what, and who hears of it."""

import re
from collections.abc import Iterator

from spotfleet.facts.administration import is_administrative
from tests.rules.rule import Rule, properties, resources, texts, value
from tests.support.rendered import Json, Layers

ROLE = "AWS::IAM::Role"
PROFILE = "AWS::IAM::InstanceProfile"
LOG_GROUP = "AWS::Logs::LogGroup"
WEB_ACL = "AWS::WAFv2::WebACL"
READS_PARAMETERS = re.compile(r"ssm:(\*|Get.*)")
SESSION_MANAGER = {
    "ssm:UpdateInstanceInformation",
    *("ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"),
    *("ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"),
}


def _settings(layers: Layers, name: str) -> Json:
    settings: Json = layers[name.partition(".")[0]]["Sceptre"]["settings"]
    return settings


def _statements(role: Json) -> Iterator[Json]:
    for policy in role.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def _actions(role: Json) -> set[str]:
    return {action for statement in _statements(role) for action in texts(statement["Action"])}


def _is_of_machines(role: Json) -> bool:
    return not {"ec2.amazonaws.com", "ec2.amazonaws.com.cn"}.isdisjoint(texts(role["AssumeRolePolicyDocument"]))


def _machines_read_no_parameters(layers: Layers) -> Iterator[str]:
    for name, role in properties(layers, ROLE):
        if not _is_of_machines(role):
            continue
        wanted = _settings(layers, name).get("machine_policy_arns", [])
        for policy in role.get("ManagedPolicyArns", []):
            if policy not in wanted:
                yield f"{name} has {policy}, which no setting asks for"
        for action in sorted(filter(READS_PARAMETERS.fullmatch, _actions(role))):
            yield f"{name} may {action}"
        for action in sorted(SESSION_MANAGER - _actions(role)):
            yield f"{name} lacks {action}"


def _roles_are_bounded(layers: Layers) -> Iterator[str]:
    for name, item in properties(layers, ROLE, PROFILE):
        settings = _settings(layers, name)
        path, boundary = settings.get("role_path", "/"), settings.get("permissions_boundary_arn", "")
        if item.get("Path", "/") != path:
            yield f"{name} has the path {item.get('Path', '/')}, not {path}"
    for name, role in properties(layers, ROLE):
        boundary = _settings(layers, name).get("permissions_boundary_arn", "")
        if role.get("PermissionsBoundary", "") != boundary:
            yield f"{name} has the boundary {role.get('PermissionsBoundary', '')!r}, not {boundary!r}"


def _administrators_are_meant(layers: Layers) -> Iterator[str]:
    for name, role in properties(layers, ROLE):
        meant = not _is_of_machines(role) and _settings(layers, name).get("allow_administrator_tasks")
        for policy in role.get("ManagedPolicyArns", []):
            if is_administrative("".join(texts(policy))) and not meant:
                yield f"{name} has {''.join(texts(policy))} without the setting that says so"


def _default_group_is_closed(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, "AWS::EC2::VPC"):
        hooks = layers[name.partition(".")[0]]["Sceptre"]["hooks"].get("after_launch", [])
        if "ClosedDefaultSecurityGroup" not in hooks:
            yield f"{name} is launched without the hook that closes its default security group"


def _containers_gain_no_privileges(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, "AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            if "no-new-privileges" not in container.get("DockerSecurityOptions", []):
                yield f"{name} has the container {container['Name']} without no-new-privileges"
    for name, template in properties(layers, "AWS::EC2::LaunchTemplate"):
        script = "\n".join(texts(template["LaunchTemplateData"].get("UserData")))
        if "ECS_SELINUX_CAPABLE=true" not in script.splitlines():
            yield f"{name} does not set ECS_SELINUX_CAPABLE, so that ECS places no such container there"


def _gateway_endpoints_lead_to_own_buckets(layers: Layers) -> Iterator[str]:
    for name, endpoint in properties(layers, "AWS::EC2::VPCEndpoint"):
        if endpoint.get("VpcEndpointType") != "Gateway":
            continue
        statements = value(endpoint, "PolicyDocument.Statement", [])
        if not statements:
            yield f"{name} has no policy, which allows everything"
        any_is_meant = _settings(layers, name).get("foreign_buckets") == ["*"]
        for statement in statements:
            if statement["Resource"] == "*" and "Condition" not in statement and not any_is_meant:
                yield f"{name} leads to any bucket"
        layers_of_images = "prod-${AWS::Region}-starport-layer-bucket/*"
        if not any(layers_of_images in text for text in texts(statements)):
            yield f"{name} keeps machines from the layers of their images"


def _single_machines_are_patched_and_reached(layers: Layers) -> Iterator[str]:
    for name, machine in properties(layers, "AWS::EC2::Instance"):
        layer = layers[name.partition(".")[0]]["Resources"]
        profile = value(machine, "IamInstanceProfile.Ref", "")
        role = value(layer, f"{profile}.Properties.Roles.0.Ref", "")
        if SESSION_MANAGER - _actions(value(layer, f"{role}.Properties", {})):
            yield f"{name} cannot be reached by Session Manager"
        script = "\n".join(texts(machine.get("UserData")))
        timed = "dnf upgrade" in script and "--releasever=latest" in script and "OnCalendar=" in script
        if not timed:
            yield f"{name} is never patched"


def _firewall_logs_hold_no_credentials(layers: Layers) -> Iterator[str]:
    logged = {}
    for name, logging in properties(layers, "AWS::WAFv2::LoggingConfiguration"):
        layer = name.partition(".")[0]
        (acl,) = logging["ResourceArn"]["Fn::GetAtt"][:1]
        logged[f"{layer}.{acl}"] = name
        headers = {text.lower() for field in logging.get("RedactedFields", []) for text in texts(field)}
        for header in sorted({"authorization", "cookie"} - headers):
            yield f"{name} logs the header {header}"
        groups = "".join(texts(logging["LogDestinationConfigs"]))
        for group, item in properties({layer: layers[layer]}, LOG_GROUP):
            logical_id = group.partition(".")[2]
            if f"${{{logical_id}}}" in groups and not _is_name_of_a_firewall_log(item.get("LogGroupName")):
                yield f"{group} has the name {item.get('LogGroupName')}, which WAF refuses or two stacks share"
    for name, _ in resources(layers, WEB_ACL):
        wanted = _settings(layers, name).get("web_application_firewall_logging", "disabled") != "disabled"
        if wanted and name not in logged:
            yield f"{name} logs nothing"


def _is_name_of_a_firewall_log(name: object) -> bool:
    return name == {"Fn::Sub": "aws-waf-logs-${AWS::StackName}"}


def _plain_http_is_told_of(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        hooks = layers[name.partition(".")[0]]["Sceptre"]["hooks"].get("before_launch", [])
        if "PlainHttp" not in hooks:
            yield f"{name} is launched without the hook that tells of plain HTTP"


def _log_groups_have_the_key(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, LOG_GROUP):
        key = _settings(layers, name).get("log_kms_key_arn", "")
        if group.get("KmsKeyId", "") != key:
            yield f"{name} has the key {group.get('KmsKeyId', '')!r}, not {key!r}"


def _nat_lets_in_what_the_vpc_sends_only(layers: Layers) -> Iterator[str]:
    for name, machine in resources(layers, "AWS::EC2::Instance"):
        layer = layers[name.partition(".")[0]]
        for group in texts(value(machine, "Properties.NetworkInterfaces.0.GroupSet", [])):
            for rule in value(layer, f"Resources.{group}.Properties.SecurityGroupIngress", []):
                if rule.get("IpProtocol") != "tcp" or rule.get("FromPort") != rule.get("ToPort"):
                    yield f"{name} lets more in than one port of TCP"
                if rule.get("CidrIp") != layer["Sceptre"]["settings"]["vpc_cidr"]:
                    yield f"{name} lets others in than the VPC"


RULES = [
    Rule(
        73,
        "AWS's managed policy for Session Manager also reads every parameter of the account",
        _machines_read_no_parameters,
    ),
    Rule(74, "a boundary that one role lacks bounds nobody", _roles_are_bounded),
    Rule(75, "a task that is an administrator makes whoever gets into it one", _administrators_are_meant),
    Rule(
        76,
        "a VPC's default security group is open to itself and everywhere, and CloudFormation takes no rule from it",
        _default_group_is_closed,
    ),
    Rule(
        77,
        "a setuid program gives a container more rights than its user has, and ECS places the option on capable "
        "machines only",
        _containers_gain_no_privileges,
    ),
    Rule(
        78,
        "through an endpoint without a policy data leaves into any bucket of the region",
        _gateway_endpoints_lead_to_own_buckets,
    ),
    Rule(
        79, "a machine that nobody reaches or patches stays as old as it is", _single_machines_are_patched_and_reached
    ),
    Rule(
        80,
        "WAF logs whole headers, to groups named aws-waf-logs-… only",
        _firewall_logs_hold_no_credentials,
    ),
    Rule(81, "nobody notices by himself that a page came without HTTPS", _plain_http_is_told_of),
    Rule(82, "logs hold addresses of people", _log_groups_have_the_key),
    Rule(83, "what a NAT instance lets in it forwards", _nat_lets_in_what_the_vpc_sends_only),
]
