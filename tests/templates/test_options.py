"""What each optional setting makes of the templates, on the environment dev with that setting changed."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan

from hooks.docker_image import DockerImage
from tests.support import sample_project
from tests.support.changed import Changed, changed
from tests.support.rendered import SUBSTITUTED, decoded, fill_in, substitution

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:database-AbCdEf"  # noqa: S105  # an ARN, no secret
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/other"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VARIABLES = {
    "QUOTE": 'it\'s "so"',
    "TRUE": "true",
    "NUMBER": "1",
    "LINES": "a\nb",
    "BRACES": "${x}",
    "DRAIN_SECONDS": "20",
}
SECRETS = {
    "WHOLE": SECRET,
    "PART": f"{SECRET}:password::",
    "NAME": "/shop/key",
    "ARN": PARAMETER,
    "KEEPALIVE_SECONDS": SECRET,
}
POLICY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
BOUNDARY = "arn:aws:iam::123456789012:policy/bounds"
SESSION_LOGS = "arn:aws:iam::123456789012:policy/session-logs"
GROUPS = ["sg-0a1b2c3d4e5f67890", "sg-0a1b2c3d"]
COMMANDS = "echo ${HOME}\nif true; then\n  echo '$HOME'\nfi\n"
REQUIREMENTS = {"min_vcpus": 2, "max_vcpus": 4, "min_memory_gib": 4, "max_memory_gib": 8}
# Rendering takes a while, so that most tests share two environments: as much as goes together, and the other choices.
MOST: dict[str, Any] = {
    **{"egress": "nat_instance", "ipv6": True, "flow_logs": "all"},
    **{"domain_name": "app.example.com", "hosted_zone_id": "Z0123456789ABC"},
    **{"access_logs": True, "web_application_firewall": True, "requests_per_address": 500},
    **{"web_application_firewall_logging": "blocked", "foreign_buckets": ["partner-data"], "log_kms_key_arn": KEY},
    **{"permissions_boundary_arn": BOUNDARY, "role_path": "/teams/shop/", "machine_policy_arns": [SESSION_LOGS]},
    **{"alarms": True, "alarm_email": "me@example.com", "alarm_p99_seconds": 0.5, "dashboard": True},
    **{"max_machine_lifetime_days": 7, "extra_user_data": COMMANDS, "machine_security_group_ids": GROUPS},
    **{"environment_variables": VARIABLES, "secrets": SECRETS, "secret_key_arns": [KEY], "task_policy_arns": [POLICY]},
    **{"task_memory_target_percent": 80, "requests_per_task": 600, "deployment_alarms": True},
    **{"host_names": ["api.example.com"], "slow_start_seconds": 60, "stop_timeout_seconds": 70},
}
OTHER: dict[str, Any] = {
    **{"egress": "endpoints", "availability_zones": 3, "flow_logs": "rejected"},
    **{"foreign_buckets": ["*"], "web_application_firewall": True, "web_application_firewall_logging": "all"},
    **{"load_balancer_scheme": "internal", "allowed_addresses": ["203.0.113.0/24", "2001:db8::/32"]},
    **{
        "desync_mode": "strictest",
        "certificate_arn": CERTIFICATE,
        "hsts_max_age_days": 0,
        "access_logs": True,
        "access_logs_bucket": "our-logs",
    },
    **{"cpu_architecture": "arm64", "instance_types": [], "instance_requirements": REQUIREMENTS, "min_machines": 0},
    **{"execute_command": True, "idle_timeout_seconds": 4000, "stop_timeout_seconds": 2},
}


def balancer_attributes(environment: Changed) -> dict[str, Any]:
    properties = environment.properties("load-balancer", "LoadBalancer")
    return {item["Key"]: item["Value"] for item in properties["LoadBalancerAttributes"]}


def container(environment: Changed, stack: str = "service") -> dict[str, Any]:
    (found,) = environment.properties(stack, "TaskDefinition")["ContainerDefinitions"]
    result: dict[str, Any] = found
    return result


def statements(environment: Changed, role: str, stack: str = "service") -> dict[str, Any]:
    """Return what a role may do: the resource of each statement by its actions."""
    policies = environment.properties(stack, role).get("Policies", [])
    found = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    return {str(statement["Action"]): statement["Resource"] for statement in found}


# --- The way out


def test_nat_instance_forwards_recovers_and_is_ready_before_the_machines_start() -> None:
    network = changed(**MOST)
    instance = network.resources("vpc")["NatInstance"]
    routes = network.of_type("vpc", "AWS::EC2::Route")
    assert instance["Properties"]["SourceDestCheck"] is False
    assert instance["Properties"]["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is True
    assert instance["CreationPolicy"]["ResourceSignal"] == {"Timeout": "PT15M"}
    assert set(instance["DependsOn"]) == {"PublicDefaultRoute", "PublicSubnetRoutes1"}
    assert [route["InstanceId"] for route in routes.values() if "InstanceId" in route] == [{"Ref": "NatInstance"}] * 2
    alarms = network.of_type("vpc", "AWS::CloudWatch::Alarm").values()
    assert {alarm["MetricName"]: alarm["AlarmActions"][0]["Fn::Sub"].rpartition(":")[2] for alarm in alarms} == {
        "StatusCheckFailed_System": "recover",
        "StatusCheckFailed_Instance": "reboot",
    }


def test_nat_instance_is_a_small_arm64_machine_that_demands_imdsv2_and_costs_what_it_costs() -> None:
    network = changed(**MOST)
    instance = network.properties("vpc", "NatInstance")
    parameters = network.parameters("vpc")
    assert (parameters["NatInstanceType"], parameters["NatImageId"]._argument["newest"].rpartition("-")[2]) == (
        "t4g.nano",
        "arm64",
    )
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["CreditSpecification"] == {"CPUCredits": "unlimited"}


def test_nat_instance_lets_https_of_the_vpc_through_and_nothing_else() -> None:
    group = changed(**MOST).properties("vpc", "NatSecurityGroup")
    (into,), (out,) = group["SecurityGroupIngress"], group["SecurityGroupEgress"]
    assert {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in (into, out)} == {("tcp", 443, 443)}
    assert (into["CidrIp"], out["CidrIp"]) == ({"Ref": "VpcCidr"}, "0.0.0.0/0")


def test_nat_instance_is_patched_by_a_timer_that_its_first_start_installs() -> None:
    script = changed(**MOST).properties("vpc", "NatInstance")["UserData"]["Fn::Base64"]["Fn::Sub"]
    shell = re.sub(r"\$\{[^}]*\}", "x", script)
    checked = subprocess.run(["bash", "-n"], input=shell, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    # Only what CloudFormation knows is substituted.
    assert set(re.findall(r"\$\{([^}]*)\}", script)) == {"AWS::StackName", "AWS::Region", "VpcCidr"}
    assert script.index("iptables save") < script.index("systemctl enable --now security-updates.timer")
    assert "ExecStart=/usr/local/sbin/install-security-updates" in script


def updates(tmp_path: Path, packages: tuple[str, str]) -> list[str]:
    """Run the script of the timer with packages before and after; return what it has called."""
    script = changed(**MOST).properties("vpc", "NatInstance")["UserData"]["Fn::Base64"]["Fn::Sub"]
    lines = script.partition("<<'UPDATE'\n")[2].partition("\nUPDATE\n")[0]
    calls = tmp_path / "calls"
    before, after = packages
    fakes = f"""
rpm() {{ if [ -e {calls} ]; then echo {after}; else echo {before}; fi; }}
dnf() {{ echo dnf "$@" >> {calls}; }}
systemctl() {{ echo systemctl "$@" >> {calls}; }}
"""
    subprocess.run(["bash", "-c", fakes + lines], check=True)
    return calls.read_text().splitlines()


UPGRADE = "dnf upgrade --assumeyes --security --releasever=latest"


def test_nat_instance_restarts_only_for_an_update(tmp_path: Path) -> None:
    assert updates(tmp_path, ("kernel-1", "kernel-1")) == [UPGRADE]
    (tmp_path / "calls").unlink()
    assert updates(tmp_path, ("kernel-1", "kernel-2")) == [UPGRADE, "systemctl reboot"]


def test_endpoints_replace_the_way_out() -> None:
    network = changed(**OTHER)
    endpoints = network.of_type("vpc", "AWS::EC2::VPCEndpoint").values()
    interfaces = [endpoint for endpoint in endpoints if endpoint["VpcEndpointType"] == "Interface"]
    services = {
        endpoint["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.") for endpoint in interfaces
    }
    # What agent, image pulls, logs, Session Manager, the machines' entry into service and secrets need.
    assert services == {
        *("ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs", "ssm", "ssmmessages"),
        *("autoscaling", "secretsmanager"),
    }
    for endpoint in interfaces:
        assert endpoint["PrivateDnsEnabled"] is True
        assert len(endpoint["SubnetIds"]) == 3
    (rule,) = network.properties("vpc", "EndpointSecurityGroup")["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == (443, 443, {"Ref": "VpcCidr"})
    assert not any(
        "0.0.0.0/0" in route.values() for name, route in routes(network).items() if name.startswith("Private")
    )


def routes(network: Changed) -> dict[str, dict[str, Any]]:
    return network.of_type("vpc", "AWS::EC2::Route")


def test_ipv6_goes_out_through_an_egress_only_gateway_and_comes_in_through_the_load_balancer() -> None:
    network = changed(**MOST)
    private = [route for name, route in routes(network).items() if name.startswith("PrivateDefaultRouteIpv6")]
    assert [route["EgressOnlyInternetGatewayId"] for route in private] == [{"Ref": "EgressOnlyInternetGateway"}] * 2
    assert routes(network)["PublicDefaultRouteIpv6"]["GatewayId"] == {"Ref": "InternetGateway"}
    subnets = {name: item for name, item in network.resources("vpc").items() if item["Type"] == "AWS::EC2::Subnet"}
    assert {item["DependsOn"] for item in subnets.values()} == {"Ipv6Network"}
    numbers = [item["Properties"]["Ipv6CidrBlock"]["Fn::Select"][0] for item in subnets.values()]
    assert len(set(numbers)) == 4
    assert network.properties("load-balancer", "LoadBalancer")["IpAddressType"] == "dualstack"
    out = network.properties("vpc", "MachinesSecurityGroup")["SecurityGroupEgress"]
    assert [rule["FromPort"] for rule in out if "CidrIpv6" in rule] == [443]


@pytest.mark.parametrize(("settings", "traffic"), [(OTHER, "REJECT"), (MOST, "ALL")])
def test_flow_logs_hold_what_is_asked_for(settings: dict[str, Any], traffic: str) -> None:
    network = changed(**settings)
    assert network.properties("vpc", "FlowLog")["TrafficType"] == traffic
    assert network.parameters("vpc")["FlowLogRetentionDays"] == "7"


def buckets(environment: Changed) -> dict[str, Any]:
    """Return the statements of the S3 endpoint's policy by their names."""
    policy = environment.properties("vpc", "S3Endpoint")["PolicyDocument"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_s3_endpoint_leads_to_the_accounts_buckets_and_to_what_machines_fetch() -> None:
    found = buckets(changed())
    assert found.keys() == {"BucketsOfThisAccount", "WhatMachinesFetchFromAws"}
    assert found["BucketsOfThisAccount"]["Condition"] == {
        "StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}
    }
    fetched = found["WhatMachinesFetchFromAws"]
    assert fetched["Action"] == "s3:GetObject"
    # In every partition, and with no condition on who asks: layers come by addresses that ECR has signed.
    assert {item["Fn::Sub"].removeprefix("arn:${AWS::Partition}:s3:::") for item in fetched["Resource"]} == {
        *("prod-${AWS::Region}-starport-layer-bucket/*", "al2023-repos-${AWS::Region}-de612dc2/*"),
        *("amazon-ecs-agent/*", "amazon-ecs-agent-${AWS::Region}/*", "amazon-ssm-${AWS::Region}/*"),
    }
    assert "Condition" not in fetched


def test_s3_endpoint_leads_to_the_buckets_of_others_by_setting() -> None:
    named = buckets(changed(**MOST))["BucketsOfOtherAccounts"]
    assert [item["Fn::Sub"].rpartition(":")[2] for item in named["Resource"]] == ["partner-data", "partner-data/*"]
    any_bucket = buckets(changed(**OTHER))
    assert any_bucket["AnyBucket"]["Resource"] == "*"
    # No name of a bucket is needed for the account's own.
    assert "Condition" in any_bucket["BucketsOfThisAccount"]


# --- Roles


def roles(environment: Changed) -> dict[str, dict[str, Any]]:
    return {
        name: item
        for stack in environment.stacks
        for name, item in environment.of_type(stack, "AWS::IAM::Role").items()
    }


def test_every_role_has_the_boundary_and_the_path() -> None:
    environment = changed(**MOST)
    found = roles(environment)
    assert found.keys() == {"NatRole", "FlowLogRole", "Role", "ExecutionRole", "TaskRole"}
    assert {(item["Path"], item["PermissionsBoundary"]) for item in found.values()} == {("/teams/shop/", BOUNDARY)}
    for stack, profile in (("vpc", "NatInstanceProfile"), ("machines", "InstanceProfile")):
        assert environment.properties(stack, profile)["Path"] == "/teams/shop/"


def test_without_them_roles_stay_as_they_were() -> None:
    for role in roles(changed()).values():
        assert not role.keys() & {"Path", "PermissionsBoundary"}


def test_machines_have_session_manager_and_what_a_setting_adds() -> None:
    environment = changed(**MOST)
    for stack, role in (("vpc", "NatRole"), ("machines", "Role")):
        assert environment.properties(stack, role)["ManagedPolicyArns"] == [SESSION_LOGS]
        allowed = statements(environment, role, stack)
        (channels,) = [actions for actions in allowed if "ssmmessages:" in actions]
        assert channels.count("ssmmessages:") == 4
        assert [actions for actions in allowed if "ssm:" in actions] == ["ssm:UpdateInstanceInformation"]
        assert allowed["ssm:UpdateInstanceInformation"]["Fn::Sub"].endswith(":${AWS::AccountId}:instance/*")
        assert "ManagedPolicyArns" not in changed().properties(stack, role)


# --- The load balancer


def test_a_domain_brings_certificate_redirect_and_records() -> None:
    environment = changed(**MOST)
    certificate = environment.properties("load-balancer", "Certificate")
    assert certificate["ValidationMethod"] == "DNS"
    assert certificate["DomainValidationOptions"] == [
        {"DomainName": {"Ref": "DomainName"}, "HostedZoneId": {"Ref": "HostedZoneId"}}
    ]
    redirect = environment.properties("load-balancer", "HttpListener")["DefaultActions"][0]
    assert (redirect["RedirectConfig"]["Protocol"], redirect["RedirectConfig"]["StatusCode"]) == ("HTTPS", "HTTP_301")
    listener = environment.properties("load-balancer", "HttpsListener")
    assert listener["Certificates"] == [{"CertificateArn": {"Ref": "Certificate"}}]
    assert environment.parameters("load-balancer")["TlsPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    assert listener["ListenerAttributes"] == [
        {
            "Key": "routing.http.response.strict_transport_security.header_value",
            "Value": {"Ref": "StrictTransportSecurity"},
        }
    ]
    assert environment.parameters("load-balancer")["StrictTransportSecurity"] == "max-age=31536000"
    assert listener["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "404"
    records = environment.of_type("load-balancer", "AWS::Route53::RecordSet").values()
    assert sorted(record["Type"] for record in records) == ["A", "AAAA"]
    for record in records:
        assert record["AliasTarget"]["HostedZoneId"] == {"Fn::GetAtt": ["LoadBalancer", "CanonicalHostedZoneID"]}
    ports = {
        rule["FromPort"] for rule in environment.properties("load-balancer", "SecurityGroup")["SecurityGroupIngress"]
    }
    assert ports == {80, 443}
    outputs = environment.template("load-balancer")["Outputs"]
    assert outputs["LoadBalancerUrl"]["Value"] == {"Fn::Sub": "https://${DomainName}"}
    assert outputs["ListenerArn"]["Value"] == {"Ref": "HttpsListener"}


def test_a_given_certificate_is_used_and_no_record_written() -> None:
    environment = changed(**OTHER)
    kinds = {item["Type"] for item in environment.resources("load-balancer").values()}
    assert environment.properties("load-balancer", "HttpsListener")["Certificates"] == [
        {"CertificateArn": {"Ref": "CertificateArn"}}
    ]
    assert not kinds & {"AWS::CertificateManager::Certificate", "AWS::Route53::RecordSet"}


def test_without_an_age_the_header_is_the_services_own() -> None:
    assert changed(**OTHER).parameters("load-balancer")["StrictTransportSecurity"] == ""


@pytest.mark.parametrize(
    ("region", "writer"),
    [
        ("eu-west-1", {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::156460612806:root"}}),
        ("eu-central-2", {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}),
    ],
)
def test_own_log_bucket_lets_the_regions_load_balancers_write_and_nobody_else(
    region: str, writer: dict[str, Any]
) -> None:
    environment = changed(**{**MOST, "region": region, "log_kms_key_arn": "", "instance_types": ["t3.micro"]})
    policy = environment.properties("load-balancer", "AccessLogsBucketPolicy")["PolicyDocument"]["Statement"]
    allowed = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert [(statement["Principal"], statement["Action"]) for statement in allowed] == [(writer, "s3:PutObject")]
    assert allowed[0]["Resource"] == {"Fn::Sub": "${AccessLogsBucket.Arn}/AWSLogs/${AWS::AccountId}/*"}
    assert all(environment.properties("load-balancer", "AccessLogsBucket")["PublicAccessBlockConfiguration"].values())
    assert environment.resources("load-balancer")["LoadBalancer"]["DependsOn"] == "AccessLogsBucketPolicy"
    assert balancer_attributes(environment)["access_logs.s3.enabled"] == "true"


def test_a_given_log_bucket_is_left_as_it_is() -> None:
    environment = changed(**OTHER)
    assert environment.of_type("load-balancer", "AWS::S3::Bucket") == {}
    assert balancer_attributes(environment)["access_logs.s3.bucket"] == {"Ref": "AccessLogsBucket"}
    assert environment.parameters("load-balancer")["AccessLogsBucket"] == "our-logs"


def test_logs_are_switched_off_in_so_many_words() -> None:
    # An attribute that a template no longer names keeps its value.
    assert balancer_attributes(changed())["access_logs.s3.enabled"] == "false"


def test_firewall_limits_each_address_before_it_looks_at_requests() -> None:
    environment = changed(**MOST)
    rules = environment.properties("load-balancer", "Firewall")["Rules"]
    assert [rule["Priority"] for rule in rules] == [0, 1, 2]
    assert rules[0]["Statement"]["RateBasedStatement"]["Limit"] == {"Ref": "RequestsPerAddress"}
    groups = {rule["Statement"]["ManagedRuleGroupStatement"]["Name"] for rule in rules[1:]}
    assert groups == {"AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"}
    assert environment.properties("load-balancer", "FirewallAssociation")["ResourceArn"] == {"Ref": "LoadBalancer"}


def test_internal_load_balancer_stands_in_the_private_subnets() -> None:
    environment = changed(**OTHER)
    balancer = environment.properties("load-balancer", "LoadBalancer")
    assert (balancer["Scheme"], balancer["Subnets"]) == ("internal", {"Ref": "PrivateSubnetIds"})


def test_only_allowed_addresses_come_in() -> None:
    environment = changed(**OTHER)
    rules = environment.properties("load-balancer", "SecurityGroup")["SecurityGroupIngress"]
    assert {rule.get("CidrIp", rule.get("CidrIpv6")) for rule in rules} == {"203.0.113.0/24", "2001:db8::/32"}
    assert environment.parameters("load-balancer")["DesyncMode"] == "strictest"


# --- The machines


def test_arm64_goes_through_image_machines_and_machine_image() -> None:
    environment = changed(cpu_architecture="arm64", instance_types=["t4g.micro", "t4g.small"])
    assert "/arm64/" in environment.parameters("machines")["ImageId"]._argument["newest"]
    assert environment.parameters("service")["CpuArchitecture"] == "ARM64"
    assert environment.parameters("service")["Image"]._argument["cpu_architecture"] == "arm64"


@pytest.mark.parametrize(("architecture", "makers"), [("x86_64", ["intel", "amd"]), ("arm64", ["amazon-web-services"])])
def test_types_chosen_by_attributes_keep_to_the_architecture(architecture: str, makers: list[str]) -> None:
    machines = changed(**{**OTHER, "cpu_architecture": architecture})
    policy = machines.properties("machines", "AutoScalingGroup")["MixedInstancesPolicy"]
    (override,) = policy["LaunchTemplate"]["Overrides"]
    assert override["InstanceRequirements"]["CpuManufacturers"] == makers
    assert override["InstanceRequirements"]["MemoryMiB"] == {"Min": 4096, "Max": 8192}
    # There is no order to prefer, and credits are for burstable types only.
    assert policy["InstancesDistribution"]["OnDemandAllocationStrategy"] == "lowest-price"
    data = machines.properties("machines", "LaunchTemplate")["LaunchTemplateData"]
    assert "CreditSpecification" not in data


def user_data(environment: Changed) -> str:
    data = environment.properties("machines", "LaunchTemplate")["LaunchTemplateData"]
    text, variables = substitution(data["UserData"]["Fn::Base64"]["Fn::Sub"])
    return SUBSTITUTED.sub(lambda found: variables.get(found[1], found[0]), text)


def test_a_machine_enters_service_when_its_agent_has_joined() -> None:
    environment = changed(**MOST)
    group = environment.properties("machines", "AutoScalingGroup")
    (hook,) = group["LifecycleHookSpecificationList"]
    assert (hook["LifecycleTransition"], hook["DefaultResult"]) == ("autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON")
    assert f"&LifecycleHookName={hook['LifecycleHookName']}&" in user_data(environment)
    # The agent starts after the user data has ended: to wait for it there would be waiting for ever.
    assert "\nsystemd-run --no-block /usr/local/bin/enter-service-with-ecs-agent\n" in user_data(environment)
    assert "systemctl start" not in user_data(environment)


def test_a_machine_installs_nothing_at_boot() -> None:
    assert "dnf" not in user_data(changed())


def test_alarms_end_a_replacement_and_none_is_named_before_there_is_one() -> None:
    environment = changed(**MOST)
    refresh = environment.resources("machines")["AutoScalingGroup"]["UpdatePolicy"]["AutoScalingInstanceRefresh"]
    condition, then, otherwise = refresh["Preferences"]["AlarmSpecification"]["Fn::If"]
    assert (then, otherwise) == ({"Alarms": {"Ref": "RefreshAlarms"}}, {"Ref": "AWS::NoValue"})
    joined = {"Fn::Join": ["", {"Ref": "RefreshAlarms"}]}
    assert environment.template("machines")["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [joined, ""]}]}
    assert len(environment.parameters("machines")["RefreshAlarms"]._argument["of"]) <= 10
    group = changed().resources("machines")["AutoScalingGroup"]
    assert "AlarmSpecification" not in group["UpdatePolicy"]["AutoScalingInstanceRefresh"]["Preferences"]


def test_types_chosen_by_attributes_are_rolled_as_a_refresh_refuses_them() -> None:
    policy = changed(**OTHER).resources("machines")["AutoScalingGroup"]["UpdatePolicy"]
    assert policy.keys() == {"AutoScalingRollingUpdate"}
    assert "WaitOnResourceSignals" not in policy["AutoScalingRollingUpdate"]


def test_extra_commands_reach_the_machine_as_they_were_written() -> None:
    assert user_data(changed(**MOST)).endswith(f"\n{COMMANDS}")


def test_machines_have_the_groups_of_a_setting_beside_the_environments() -> None:
    data = changed(**MOST).properties("machines", "LaunchTemplate")["LaunchTemplateData"]
    assert data["SecurityGroupIds"] == [{"Ref": "MachinesSecurityGroupId"}, *GROUPS]


def test_machines_are_replaced_at_their_age() -> None:
    group = changed(**MOST).properties("machines", "AutoScalingGroup")
    assert group["MaxInstanceLifetime"] == 7 * 24 * 3600
    assert "MaxInstanceLifetime" not in changed().properties("machines", "AutoScalingGroup")


# --- The service


def test_a_second_service_is_one_more_file_with_its_own_values() -> None:
    api = {
        "listener_priority": 90,
        "path_pattern": "/api/*",
        "min_tasks": 1,
        "max_tasks": 3,
        "secrets": {"KEY": "/api/key"},
        "build_context": "services/api",
    }
    environment = changed("api", services={"api": api}, max_machines=8)
    first, second = environment.parameters("service"), environment.parameters("api")
    assert (second["ListenerPriority"], second["PathPattern"], second["MaxTasks"]) == ("90", "/api/*", "3")
    assert (first["ListenerPriority"], first["PathPattern"], first["MaxTasks"]) == ("100", "/*", "4")
    # It is built from a folder of its own, and runs what was built.
    (hook,) = [hook for hook in environment.stacks["api"].hooks["before_launch"] if isinstance(hook, DockerImage)]
    assert hook._argument["build_context"] == second["Image"]._argument["build_context"] == "services/api"
    assert first["Image"]._argument["build_context"] == "."
    # The rest is what all services have.
    assert second["TaskMemoryMib"] == first["TaskMemoryMib"]
    assert second["ListenerArn"]._argument == first["ListenerArn"]._argument
    # Neither may read the other's secrets.
    assert "ssm:GetParameters" in statements(environment, "ExecutionRole", "api")
    assert "ssm:GetParameters" not in statements(environment, "ExecutionRole", "service")


def variables(environment: Changed) -> dict[str, str]:
    """Return the container's variables, of which no name may be there twice."""
    found = container(environment)["Environment"]
    names = [item["Name"] for item in found]
    assert len(set(names)) == len(names)
    return {item["Name"]: item["Value"] for item in found}


def test_variables_reach_the_container_as_they_were_written() -> None:
    assert variables(changed(**MOST)).items() >= VARIABLES.items()


def test_execution_role_reads_exactly_the_secrets_that_the_containers_get() -> None:
    environment = changed(**MOST)
    found = {item["Name"]: item["ValueFrom"] for item in container(environment)["Secrets"]}
    assert found == SECRETS
    allowed = statements(environment, "ExecutionRole")
    name = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/shop/key"
    assert allowed["secretsmanager:GetSecretValue"] == [SECRET]
    assert allowed["ssm:GetParameters"] == [PARAMETER, {"Fn::Sub": name}]
    assert allowed["kms:Decrypt"] == [KEY]
    assert not statements(environment, "TaskRole")


def test_execution_role_of_a_service_without_secrets_reads_none() -> None:
    actions = " ".join(statements(changed(), "ExecutionRole"))
    assert not re.search("secretsmanager|ssm|kms", actions)


def test_a_shell_in_a_task_needs_its_channel_and_a_writable_file_system() -> None:
    environment = changed(**OTHER)
    (actions,) = statements(environment, "TaskRole")
    assert actions.count("ssmmessages:") == 4
    assert environment.properties("service", "Service")["EnableExecuteCommand"] is True
    assert container(environment)["ReadonlyRootFilesystem"] is False
    assert "EnableExecuteCommand" not in changed().properties("service", "Service")


def test_task_role_has_the_given_policies() -> None:
    assert changed(**MOST).properties("service", "TaskRole")["ManagedPolicyArns"] == [POLICY]


def test_memory_and_requests_are_tracked_beside_cpu() -> None:
    environment = changed(**MOST)
    policies = environment.of_type("service", "AWS::ApplicationAutoScaling::ScalingPolicy")
    tracked = {
        name: policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
        for name, policy in policies.items()
    }
    assert {metric["PredefinedMetricType"] for metric in tracked.values()} == {
        *("ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization", "ALBRequestCountPerTarget")
    }
    # As AWS wants it: app/<name>/<id>/targetgroup/<name>/<id>.
    label = tracked["RequestScalingPolicy"]["ResourceLabel"]
    assert label == {"Fn::Sub": "${LoadBalancerFullName}/${TargetGroup.TargetGroupFullName}"}


def test_scaling_goes_by_metrics_every_20_seconds_where_that_is_wanted() -> None:
    environment = changed(metric_resolution_seconds=20, max_tasks=4)
    policy = environment.properties("service", "CpuScalingPolicy")["TargetTrackingScalingPolicyConfiguration"]
    kind = policy["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert kind == "ECSServiceAverageCPUUtilizationHighResolution"
    # Memory is not tracked, so its finer metric would be billed for nothing.
    assert resolutions(environment) == {"CPUUtilization": 20, "MemoryUtilization": 60}
    both = changed(metric_resolution_seconds=20, max_tasks=4, task_memory_target_percent=75)
    assert resolutions(both) == {"CPUUtilization": 20, "MemoryUtilization": 20}
    assert resolutions(changed()) == {"CPUUtilization": 60, "MemoryUtilization": 60}


def resolutions(environment: Changed) -> dict[str, int]:
    configurations = environment.properties("service", "Service")["Monitoring"]["MetricConfigurations"]
    return {name: one["ResolutionSeconds"] for one in configurations for name in one["MetricNames"]}


def test_nights_at_zero_ring_no_alarm() -> None:
    night = {"schedule": "cron(0 20 ? * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}
    morning = {"schedule": "cron(0 7 ? * MON-FRI *)", "min_tasks": 2, "max_tasks": 4}
    environment = changed(scheduled_scaling=[night, morning], schedule_time_zone="Europe/Dublin", alarms=True)
    actions = environment.properties("service", "ScalableTarget")["ScheduledActions"]
    assert [action["ScalableTargetAction"]["MaxCapacity"] for action in actions] == [0, 4]
    assert {action["Timezone"] for action in actions} == {"Europe/Dublin"}
    assert len({action["ScheduledActionName"] for action in actions}) == 2
    assert "NoRunningTask" not in environment.resources("service")
    assert "NoRunningTask" in changed(**MOST).resources("service")


def test_a_service_has_its_host_names_and_address() -> None:
    environment = changed(**MOST)
    conditions = environment.properties("service", "ListenerRule")["Conditions"]
    assert [condition["Field"] for condition in conditions] == ["path-pattern", "host-header"]
    assert environment.template("service")["Outputs"]["ServiceUrl"]["Value"] == "https://api.example.com/"
    assert environment.parameters("service")["SlowStartSeconds"] == "60"


def test_deployment_alarms_bring_the_old_tasks_back() -> None:
    environment = changed(**MOST)
    alarms = environment.properties("service", "Service")["DeploymentConfiguration"]["Alarms"]
    assert (alarms["Enable"], alarms["Rollback"]) == (True, True)
    watched = {name["Ref"] for name in alarms["AlarmNames"]}
    assert watched == {"TargetErrors", "SlowResponses"}
    for name in watched:
        # One that needed the service could not exist before it.
        assert "Service" not in json.dumps(environment.properties("service", name)["Dimensions"])


# --- The container

ROOT_IMAGE: dict[str, Any] = {
    **{"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web:1.4", "container_port": 80, "user": ""},
    **{"health_check_path": "/", "health_check_codes": "200-399", "health_check_interval_seconds": 20},
    **{"health_check_timeout_seconds": 10, "health_check_healthy_count": 4, "health_check_unhealthy_count": 6},
    **{"command": ["nginx", "-g", "daemon off;"], "entry_point": ["/entry.sh"]},
    **{"writable_folders": {"/var/cache/nginx": 16, "/run": 1}, "capabilities": ["CHOWN", "SETGID", "SETUID"]},
    **{"shared_memory_mib": 32, "open_files_limit": 65_536, "min_tasks": 0, "alarms": True},
    **{"max_percent": 100, "min_healthy_percent": 0, "min_machines": 2, "deregistration_delay_seconds": 20},
}


def filled(environment: Changed, kind: str) -> Any:  # noqa: ANN401  # any JSON
    """Return the one resource of a type, with the parameters' values."""
    (found,) = environment.of_type("service", kind).values()
    values = {name: value for name, value in environment.parameters("service").items() if isinstance(value, str)}
    return fill_in(found, values, {})


def test_an_image_made_to_run_as_root_gets_what_it_is_given_and_no_more() -> None:
    environment = changed(**ROOT_IMAGE)
    (found,) = filled(environment, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert "User" not in found
    assert found["ReadonlyRootFilesystem"] is True
    assert (found["EntryPoint"], found["Command"]) == (["/entry.sh"], ["nginx", "-g", "daemon off;"])
    assert found["PortMappings"] == [{"ContainerPort": "80", "HostPort": 0, "Protocol": "tcp"}]
    assert {"Name": "PORT", "Value": "80"} in found["Environment"]
    linux = found["LinuxParameters"]
    assert linux["Capabilities"] == {"Add": ["CHOWN", "SETGID", "SETUID"], "Drop": ["ALL"]}
    assert {folder["ContainerPath"]: folder["Size"] for folder in linux["Tmpfs"]} == {"/var/cache/nginx": 16, "/run": 1}
    assert all(folder["MountOptions"] == ["mode=1777"] for folder in linux["Tmpfs"])
    assert linux["SharedMemorySize"] == 32
    assert found["Ulimits"] == [{"Name": "nofile", "SoftLimit": 65_536, "HardLimit": 65_536}]


def test_health_checks_are_those_of_the_settings() -> None:
    group = filled(changed(**ROOT_IMAGE), "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert (group["HealthCheckPath"], group["Matcher"]) == ("/", {"HttpCode": "200-399"})
    names = ("HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount")
    assert [group[name] for name in (*names, "UnhealthyThresholdCount")] == ["20", "10", "4", "6"]
    # Another one would replace the group, which the rule uses.
    assert group["Port"] == 5000
    (balancer,) = filled(changed(**ROOT_IMAGE), "AWS::ECS::Service")["LoadBalancers"]
    assert balancer["ContainerPort"] == "80"


def test_an_image_of_ecr_may_be_pulled_from_its_own_repository() -> None:
    pull = str(["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"])
    arn = {"Fn::Sub": "arn:${AWS::Partition}:ecr:eu-west-1:123456789012:repository/team/web"}
    assert statements(changed(**ROOT_IMAGE), "ExecutionRole")[pull] == [{"Ref": "RepositoryArn"}, arn]
    assert statements(changed(image="nginx:1.27"), "ExecutionRole")[pull] == {"Ref": "RepositoryArn"}


def test_stop_before_start_moves_no_task_to_another_zone() -> None:
    assert changed(**ROOT_IMAGE).properties("service", "Service")["AvailabilityZoneRebalancing"] == "DISABLED"
    assert changed(min_machines=2).properties("service", "Service")["AvailabilityZoneRebalancing"] == "ENABLED"


def test_no_task_is_no_alarm_where_there_may_be_none() -> None:
    assert "NoRunningTask" not in changed(**ROOT_IMAGE).resources("service")


def test_the_port_that_a_user_names_is_there_once() -> None:
    environment = changed(container_port=8080, environment_variables={"PORT": "8080"})
    assert variables(environment)["PORT"] == "8080"


def test_how_an_image_is_built_reaches_hook_and_resolver() -> None:
    own = {"dockerfile": "docker/api.Dockerfile", "build_target": "slim", "build_arguments": {"VARIANT": "a b"}}
    environment = changed(**own)
    (hook,) = [hook for hook in environment.stacks["service"].hooks["before_launch"] if isinstance(hook, DockerImage)]
    for argument in (hook._argument, environment.parameters("service")["Image"]._argument):
        assert argument.items() >= own.items()


def test_a_file_of_variables_is_written_out_and_single_ones_come_before_it(tmp_path: Path) -> None:
    shutil.copytree(sample_project.folder() / "config", tmp_path / "config")
    (tmp_path / "templates").symlink_to(sample_project.folder() / "templates")
    (tmp_path / "app.env").write_text('# ours\r\n\n  LEVEL=info\nWORDS="a b" # c\nEMPTY=\nOTHER=file\n')
    file = tmp_path / "config/dev/config.yaml"
    file.write_text(f"{file.read_text()}\nenvironment_file: app.env\nenvironment_variables: {{OTHER: own}}\n")
    stack = next(s for s in SceptrePlan(SceptreContext(str(tmp_path), "dev")).graph if s.name == "dev/service")
    (found,) = decoded(stack.template.body)["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    given = {item["Name"]: item["Value"] for item in found["Environment"]}
    assert given.items() >= {"LEVEL": "info", "WORDS": '"a b" # c', "EMPTY": "", "OTHER": "own"}.items()


# --- Workers

WORKER: dict[str, Any] = {
    **{"kind": "worker", "command": ["python3", "-m", "work"], "stop_timeout_seconds": 95},
    **{"container_health_command": ["python3", "check.py"], "container_health_timeout_seconds": 10},
    "health_check_grace_seconds": 400,
}


def test_a_worker_has_nothing_of_the_load_balancer() -> None:
    mail = WORKER | {"single": True}
    environment = changed("mail", services={"mail": mail}, alarms=True, dashboard=True, max_machines=6)
    assert environment.of_type("mail", "AWS::ElasticLoadBalancingV2::TargetGroup") == {}
    assert environment.of_type("mail", "AWS::ElasticLoadBalancingV2::ListenerRule") == {}
    service = environment.resources("mail")["Service"]
    assert "DependsOn" not in service
    assert not service["Properties"].keys() & {"LoadBalancers", "HealthCheckGracePeriodSeconds"}
    # It launches beside the load balancer.
    needed = {dependency.name for dependency in environment.stacks["mail"].dependencies}
    assert needed == {"dev/cluster", "dev/machines"}
    assert set(environment.template("mail")["Outputs"]) == {"ServiceName"}


def test_a_workers_container_has_no_port_and_the_whole_stop_time() -> None:
    environment = changed("mail", services={"mail": WORKER}, max_machines=8)
    found = container(environment, "mail")
    assert "PortMappings" not in found
    assert {item["Name"]: item["Value"] for item in found["Environment"]} == {"SHUTDOWN_SECONDS": "92"}
    assert found["HealthCheck"] == {
        **{"Command": ["CMD", "python3", "check.py"], "Interval": 30, "Timeout": 10, "Retries": 3},
        "StartPeriod": 300,
    }
    assert "HealthCheck" not in container(environment)


def test_alarms_and_dashboard_of_a_worker_ask_ecs_alone() -> None:
    environment = changed("mail", services={"mail": WORKER}, alarms=True, dashboard=True, max_machines=8)
    alarms = environment.of_type("mail", "AWS::CloudWatch::Alarm")
    assert set(alarms) == {"NoRunningTask", "TaskCpuUse", "TaskMemoryUse"}
    assert {alarm["Namespace"] for alarm in alarms.values()} == {"AWS/ECS"}
    assert (alarms["NoRunningTask"]["Statistic"], alarms["NoRunningTask"]["TreatMissingData"]) == (
        *("SampleCount", "breaching"),
    )
    board = environment.properties("mail", "Dashboard")["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[^}]+\}", "1", board))["widgets"]
    assert "AWS/ApplicationELB" not in json.dumps(widgets)
    assert len({(widget["x"], widget["y"]) for widget in widgets}) == len(widgets) > 4


def test_a_single_worker_never_runs_twice() -> None:
    environment = changed("beat", services={"beat": {"kind": "worker", "single": True}}, min_machines=2, max_machines=6)
    given = environment.parameters("beat")
    assert [given[name] for name in ("MinTasks", "MaxTasks", "MinHealthyPercent", "MaxPercent")] == [
        "1",
        "1",
        "0",
        "100",
    ]
    assert environment.properties("beat", "Service")["AvailabilityZoneRebalancing"] == "DISABLED"
    assert environment.parameters("service")["MaxPercent"] == "200"


# --- Operations


def test_every_alarm_reaches_the_topic_and_so_the_address() -> None:
    environment = changed(**MOST)
    subscription = environment.properties("cluster", "AlarmSubscription")
    assert (subscription["Protocol"], subscription["TopicArn"]) == ("email", {"Ref": "AlarmTopic"})
    metrics = set()
    for stack in ("load-balancer", "machines", "service"):
        assert environment.parameters(stack)["AlarmTopicArn"]._argument == "dev/cluster.yaml::AlarmTopicArn"
        for alarm in environment.of_type(stack, "AWS::CloudWatch::Alarm").values():
            assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopicArn"}]
            metrics.add(alarm["MetricName"])
    assert metrics == {
        *("HTTPCode_ELB_5XX_Count", "RejectedConnectionCount", "HTTPCode_Target_5XX_Count", "TargetResponseTime"),
        *("UnHealthyHostCount", "HealthyHostCount", "CPUUtilization", "MemoryUtilization"),
        *("CapacityProviderReservation", "DaysToExpiry", "CPUSurplusCreditsCharged"),
    }
    (rule,) = environment.of_type("service", "AWS::Events::Rule").values()
    assert rule["Targets"][0]["Arn"] == {"Ref": "AlarmTopicArn"}


def test_topic_takes_alarms_of_this_account_only_and_events() -> None:
    alarms, events = changed(**MOST).properties("cluster", "AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    # With any condition EventBridge could not publish.
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in events


def test_log_groups_have_the_key_and_the_firewalls_the_name_that_waf_writes_to() -> None:
    environment = changed(**MOST)
    groups = {
        name: item
        for stack in environment.stacks
        for name, item in environment.of_type(stack, "AWS::Logs::LogGroup").items()
    }
    assert groups.keys() == {"LogGroup", "FlowLogGroup", "FirewallLogGroup"}
    assert {item["KmsKeyId"] for item in groups.values()} == {KEY}
    assert groups["FirewallLogGroup"]["LogGroupName"] == {"Fn::Sub": "aws-waf-logs-${AWS::StackName}"}
    assert environment.parameters("load-balancer")["FirewallLogRetentionDays"] == "7"
    assert "KmsKeyId" not in changed().properties("service", "LogGroup")


def test_firewall_logs_what_is_asked_for_without_credentials() -> None:
    blocked = changed(**MOST).properties("load-balancer", "FirewallLogging")
    assert blocked["RedactedFields"] == [
        {"SingleHeader": {"Name": "authorization"}},
        {"SingleHeader": {"Name": "cookie"}},
        {"QueryString": {}},
    ]
    (kept,) = blocked["LoggingFilter"]["Filters"]
    assert (blocked["LoggingFilter"]["DefaultBehavior"], kept["Behavior"]) == ("DROP", "KEEP")
    assert kept["Conditions"] == [{"ActionCondition": {"Action": "BLOCK"}}]
    assert "LoggingFilter" not in changed(**OTHER).properties("load-balancer", "FirewallLogging")


def test_dashboard_has_traffic_latency_tasks_machines_and_cost_on_one_page() -> None:
    environment = changed(**MOST)
    body = environment.properties("service", "Dashboard")["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[^}]*\}", "1", body))["widgets"]
    titles = " ".join(widget["properties"]["title"] for widget in widgets)
    for topic in ("Traffic", "Latency", "Tasks", "on-demand", "Spot", "Cost"):
        assert topic in titles
    corners = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(corners) == len(widgets)
    assert max(x + widgets[0]["width"] for x, _ in corners) == 24


def test_without_options_nothing_optional_is_made() -> None:
    environment = changed()
    kinds = {item["Type"] for stack in environment.stacks for item in environment.resources(stack).values()}
    assert not any(
        kind.startswith(("AWS::SNS", "AWS::Events", "AWS::WAFv2", "AWS::S3", "AWS::Route53", "AWS::CertificateManager"))
        for kind in kinds
    )
    assert not kinds & {"AWS::CloudWatch::Dashboard", "AWS::EC2::FlowLog"}
