"""The templates of the sample's environments: strictly linted, wired to each other, and right where AWS is strict."""

import base64
import ipaddress
import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode.decode import decode_str
from sceptre.resolvers import Resolver
from sceptre.resolvers.stack_output import StackOutput
from sceptre.stack import Stack

from spotfleet.behaviour import machine_life
from tests.rules.security import SESSION_MANAGER
from tests.support.changed import changed
from tests.support.sample_project import ENVIRONMENTS, folder, plan
from tools import lint_templates

LAYERS = ["cluster", "load-balancer", "machines", "service", "vpc"]
LAYERS_OF_ENVIRONMENTS = list(itertools.product(ENVIRONMENTS, LAYERS))
TEMPLATE_BODY_LIMIT = 51_200  # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
FIRST_HOST_PORT, LAST_HOST_PORT = 32768, 65535
# What `free -m` shows as total on Amazon Linux is at least 100 MiB below the type's nominal memory.
USABLE_MIB = {
    "t3.micro": 900,
    "t3a.micro": 900,
    "t3.small": 1850,
    "t3a.small": 1850,
    "t3.medium": 3750,
    "t3a.medium": 3750,
}
PHYSICAL_NAMES = {
    *("ClusterName", "RepositoryName", "RoleName", "InstanceProfileName", "LogGroupName", "GroupName", "ServiceName"),
    *("LaunchTemplateName", "AutoScalingGroupName", "Family"),
}

Json = dict[str, Any]


@cache
def stacks(environment: str) -> dict[str, Stack]:
    return {stack.name.rpartition("/")[2]: stack for stack in plan(environment).graph}


@cache
def bodies(environment: str) -> dict[str, str]:
    return lint_templates.render(environment, folder())


@cache
def template(environment: str, layer: str) -> Json:
    return decode(bodies(environment)[layer])


def decode(body: str) -> Json:
    decoded, errors = decode_str(body)
    assert not errors
    result: Json = decoded
    return result


def parameters(environment: str, layer: str) -> Json:
    """Return the parameters as configured, with resolvers unresolved: to resolve them would take running stacks."""
    values: Json = stacks(environment)[layer]._parameters
    return values


def resource(environment: str, layer: str, logical_id: str) -> Json:
    """Return a resource's properties with the configured values in the place of parameters."""
    found = template(environment, layer)["Resources"][logical_id]
    result: Json = fill_in(found["Properties"], parameters(environment, layer))
    return result


def fill_in(node: Any, values: Json) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(node, dict):
        if node.keys() == {"Ref"} and isinstance(values.get(node["Ref"]), str):
            return values[node["Ref"]]
        return {key: fill_in(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [fill_in(value, values) for value in node]
    return node


def walk(node: Any) -> Iterator[Json]:  # noqa: ANN401  # any JSON
    """Yield every object inside, outermost first."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(value)


def of_type(environment: str, layer: str, kind: str) -> dict[str, Json]:
    return {name: item for name, item in template(environment, layer)["Resources"].items() if item["Type"] == kind}


def attributes(properties: Json, name: str) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in properties[name]}


# --- Every template


def test_templates_of_all_environments_pass_the_strict_linter(tmp_path: Path) -> None:
    files = []
    for environment in ENVIRONMENTS:
        files += lint_templates.write(bodies(environment), tmp_path / environment)
    assert len(files) == len(LAYERS_OF_ENVIRONMENTS)
    assert lint_templates.lint(files, ["eu-west-1"]) == []


def test_linter_reports_a_number_that_must_be_a_string(tmp_path: Path) -> None:
    body = bodies("dev")["machines"].replace('"true"\n          PropagateAtLaunch', "1\n          Propagate")
    files = lint_templates.write({"machines": body}, tmp_path)
    assert any(
        "machines.yaml:" in finding and "E3012" in finding for finding in lint_templates.lint(files, ["eu-west-1"])
    )


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_template_fits_into_one_request(environment: str, layer: str) -> None:
    assert len(bodies(environment)[layer].encode()) < TEMPLATE_BODY_LIMIT


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_template_is_in_order_and_describes_itself_its_parameters_and_outputs(environment: str, layer: str) -> None:
    found = template(environment, layer)
    sections = ["Description", "Parameters", "Conditions", "Resources", "Outputs"]
    assert list(found) == [section for section in sections if section in found]
    assert len(found["Description"]) > 80
    for item in (*found["Parameters"].values(), *found["Outputs"].values()):
        assert item["Description"].endswith(".")
        assert "Export" not in item


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_configuration_gives_each_parameter_a_value_that_the_template_allows(environment: str, layer: str) -> None:
    declared, given = template(environment, layer)["Parameters"], parameters(environment, layer)
    assert declared.keys() == given.keys()
    for name, value in given.items():
        if isinstance(value, str):
            check_value(declared[name], value)


def check_value(declaration: Json, value: str) -> None:
    if "AllowedValues" in declaration:
        assert value in map(str, declaration["AllowedValues"])
    if "AllowedPattern" in declaration:
        assert re.fullmatch(declaration["AllowedPattern"], value)
    if declaration["Type"] == "Number":
        assert declaration.get("MinValue", 0) <= float(value) <= declaration.get("MaxValue", float(value))


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_stack_outputs_that_a_layer_reads_exist_and_keep_their_name(environment: str, layer: str) -> None:
    stack = stacks(environment)[layer]
    hook_arguments = [hook._argument for hook in stack.hooks["before_launch"]]
    named = {id(value): name for name, value in parameters(environment, layer).items()}
    for resolver in stack_outputs([parameters(environment, layer), hook_arguments]):
        path, output = resolver._argument.split("::")
        producer = template(environment, Path(path).stem)
        assert output in producer["Outputs"]
        assert named.get(id(resolver), output) == output


def stack_outputs(node: Any) -> Iterator[StackOutput]:  # noqa: ANN401  # any configuration
    if isinstance(node, StackOutput):
        yield node
    inner = node._argument if isinstance(node, Resolver) else node
    for value in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ():
        yield from stack_outputs(value)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_output_is_read_by_a_layer_or_shown_to_the_user(environment: str) -> None:
    read = {
        resolver._argument.split("::")[1]
        for layer in LAYERS
        for resolver in stack_outputs(parameters(environment, layer))
    }
    declared = {name for layer in LAYERS for name in template(environment, layer)["Outputs"]}
    # A full name serves metrics, and the DNS name a user whose domain is not in Route 53.
    assert declared - read <= {"ServiceUrl", "LoadBalancerDnsName", "LoadBalancerFullName", "AutoScalingGroupName"}
    assert "ServiceUrl" in declared


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_resources_have_no_fixed_names(environment: str, layer: str) -> None:
    # Two environments, and two copies of the project, share an account and a region.
    for item in template(environment, layer)["Resources"].values():
        fixed = {key for key in item["Properties"].keys() & PHYSICAL_NAMES if isinstance(item["Properties"][key], str)}
        assert not fixed


@pytest.mark.parametrize(("environment", "layer"), LAYERS_OF_ENVIRONMENTS)
def test_policies_name_their_resources_unless_the_action_knows_none(environment: str, layer: str) -> None:
    without_resource = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint", "logs:DescribeLogGroups"}
    without_resource |= {"autoscaling:DescribeAutoScalingInstances"}
    without_resource |= SESSION_MANAGER - {"ssm:UpdateInstanceInformation"}
    # A policy with a principal is of a resource: it says who may come in, not what a role may do.
    allowing = (node for node in walk(template(environment, layer)) if node.get("Effect") == "Allow")
    for statement in (node for node in allowing if "Principal" not in node):
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        assert not any("*" in action for action in actions)
        if statement.get("Resource") == "*":
            assert set(actions) <= without_resource


# --- vpc


@pytest.mark.parametrize("zones", [2, 3])
@pytest.mark.parametrize(("egress", "per_zone"), [("nat_gateway", False), ("nat_gateway_per_zone", True)])
def test_private_subnets_leave_through_as_many_nat_gateways_as_configured(
    zones: int, egress: str, per_zone: bool
) -> None:
    network = changed(availability_zones=zones, egress=egress)
    routes = network.of_type("vpc", "AWS::EC2::Route").values()
    used = [route["NatGatewayId"]["Ref"] for route in routes if "NatGatewayId" in route]
    assert len(used) == zones
    assert set(used) == network.of_type("vpc", "AWS::EC2::NatGateway").keys()
    assert len(set(used)) == (zones if per_zone else 1)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_subnets_of_a_zone_lie_apart_inside_the_vpc(environment: str) -> None:
    vpc = ipaddress.IPv4Network(parameters(environment, "vpc")["VpcCidr"])
    prefix = 32 - int(parameters(environment, "vpc")["SubnetHostBits"])
    slots = [
        item["Properties"]["CidrBlock"]["Fn::Select"][0]
        for item in of_type(environment, "vpc", "AWS::EC2::Subnet").values()
    ]
    assert len(slots) == len(set(slots)) == 2 * len(of_type(environment, "vpc", "AWS::EC2::RouteTable")) - 2
    assert max(slots) < min(6, len(list(vpc.subnets(new_prefix=prefix))))


def test_adding_a_zone_moves_no_subnet() -> None:
    def subnets(zones: int) -> Json:
        return changed(availability_zones=zones).of_type("vpc", "AWS::EC2::Subnet")

    two, three = subnets(2), subnets(3)
    assert {name: three[name] for name in two} == two


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_gets_a_public_address_by_being_in_a_subnet(environment: str) -> None:
    for item in of_type(environment, "vpc", "AWS::EC2::Subnet").values():
        assert item["Properties"]["MapPublicIpOnLaunch"] is False


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_needs_the_internet_gateway_waits_for_its_attachment(environment: str) -> None:
    resources = template(environment, "vpc")["Resources"]
    assert resources["PublicDefaultRoute"]["DependsOn"] == "InternetGatewayAttachment"
    for item in of_type(environment, "vpc", "AWS::EC2::EIP").values():
        assert item["DependsOn"] == "InternetGatewayAttachment"
    for item in of_type(environment, "vpc", "AWS::EC2::NatGateway").values():
        assert "PublicDefaultRoute" in item["DependsOn"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_traffic_to_s3_passes_the_nat_gateways(environment: str) -> None:
    endpoint = resource(environment, "vpc", "S3Endpoint")
    private = {name for name in of_type(environment, "vpc", "AWS::EC2::RouteTable") if name.startswith("Private")}
    assert {table["Ref"] for table in endpoint["RouteTableIds"]} == private
    assert endpoint["VpcEndpointType"] == "Gateway"


# --- load-balancer


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_load_balancer_drops_invalid_headers_and_is_protected_as_configured(environment: str) -> None:
    balancer = resource(environment, "load-balancer", "LoadBalancer")
    found = attributes(balancer, "LoadBalancerAttributes")
    protected = stacks(environment)["vpc"].stack_group_config["deletion_protection"]
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert found["deletion_protection.enabled"] == str(protected).lower()
    assert balancer["Scheme"] == "internet-facing"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_listener_answers_404_to_requests_that_no_service_wants(environment: str) -> None:
    action = resource(environment, "load-balancer", "HttpListener")["DefaultActions"][0]
    assert (action["Type"], action["FixedResponseConfig"]["StatusCode"]) == ("fixed-response", "404")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_load_balancer_lets_http_in_and_out_to_host_ports_of_the_vpc_only(environment: str) -> None:
    group = resource(environment, "load-balancer", "SecurityGroup")
    assert {(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupIngress"]} == {(80, 80)}
    (out,) = group["SecurityGroupEgress"]
    assert (out["FromPort"], out["ToPort"], out["CidrIp"]) == (FIRST_HOST_PORT, LAST_HOST_PORT, {"Ref": "VpcCidr"})


# --- cluster


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_cluster_leaves_capacity_providers_to_the_association(environment: str) -> None:
    # The association replaces the cluster's whole list.
    assert resource(environment, "cluster", "Cluster").keys() == {"ClusterSettings"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_repository_keeps_tags_fixed_scans_images_and_is_emptied_as_configured(environment: str) -> None:
    repository = resource(environment, "cluster", "Repository")
    emptied = stacks(environment)["vpc"].stack_group_config["empty_repository_on_delete"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EmptyOnDelete"] == str(emptied).lower()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_repository_never_expires_the_images_of_the_last_releases(environment: str) -> None:
    policy = resource(environment, "cluster", "Repository")["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"]
    kept = parameters(environment, "cluster")["KeptImages"]
    untagged, *tagged = json.loads(policy.replace("${KeptImages}", kept))["rules"]
    assert untagged["selection"]["tagStatus"] == "untagged"
    assert [rule["selection"]["tagPatternList"] for rule in tagged] == [["service_*"], ["*"]]
    for rule in tagged:
        assert rule["selection"]["countType"] == "imageCountMoreThan"
        assert rule["selection"]["countNumber"] == int(kept) >= 2


# --- machines


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_can_be_deleted_because_nothing_protects_them_from_scale_in(environment: str) -> None:
    provider = resource(environment, "machines", "CapacityProvider")["AutoScalingGroupProvider"]
    group = resource(environment, "machines", "AutoScalingGroup")
    assert provider["ManagedTerminationProtection"] == "DISABLED"
    assert group["NewInstancesProtectedFromScaleIn"] is False


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_of_a_rebalanced_or_shrunk_group_drain_first(environment: str) -> None:
    # ECS gets no notice of a machine that capacity rebalancing replaces; only managed draining moves its tasks.
    provider = resource(environment, "machines", "CapacityProvider")["AutoScalingGroupProvider"]
    assert resource(environment, "machines", "AutoScalingGroup")["CapacityRebalance"] is True
    assert provider["ManagedDraining"] == "ENABLED"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_ecs_may_scale_the_group(environment: str) -> None:
    tags = {tag["Key"]: tag for tag in resource(environment, "machines", "AutoScalingGroup")["Tags"]}
    assert tags["AmazonECSManaged"]["PropagateAtLaunch"] is True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_deploying_resets_neither_the_number_of_machines_nor_of_tasks(environment: str) -> None:
    assert "DesiredCapacity" not in resource(environment, "machines", "AutoScalingGroup")
    assert "DesiredCount" not in resource(environment, "service", "Service")


@pytest.mark.parametrize(
    ("chosen", "managed", "types"), [("capacity_provider", "ENABLED", []), ("cpu", "DISABLED", ["CpuScalingPolicy"])]
)
def test_only_one_policy_scales_the_machines(chosen: str, managed: str, types: list[str]) -> None:
    found = changed(machine_scaling=chosen, machine_cpu_target_percent=5, min_machines=2).resources("machines")
    provider = found["CapacityProvider"]["Properties"]["AutoScalingGroupProvider"]
    assert provider["ManagedScaling"]["Status"] == managed
    assert [name for name, item in found.items() if item["Type"] == "AWS::AutoScaling::ScalingPolicy"] == types


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_above_the_base_are_spot_from_the_pools_least_likely_to_be_taken_back(environment: str) -> None:
    policy = resource(environment, "machines", "AutoScalingGroup")["MixedInstancesPolicy"]
    distribution = policy["InstancesDistribution"]
    assert distribution["SpotAllocationStrategy"] == "price-capacity-optimized"
    # AWS's own default is 100: no Spot at all.
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == "0"
    assert int(distribution["OnDemandBaseCapacity"]) >= 1
    assert "SpotMaxPrice" not in distribution
    assert len(policy["LaunchTemplate"]["Overrides"]) >= 3
    assert not any("WeightedCapacity" in override for override in policy["LaunchTemplate"]["Overrides"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_burstable_machines_never_buy_credits(environment: str) -> None:
    data = resource(environment, "machines", "LaunchTemplate")["LaunchTemplateData"]
    assert data["CreditSpecification"] == {"CpuCredits": "unlimited"}


def test_credits_are_left_out_for_types_without_them() -> None:
    machines = changed(instance_types=["c7g.large"], cpu_architecture="arm64").properties("machines", "LaunchTemplate")
    assert "CreditSpecification" not in machines["LaunchTemplateData"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_containers_cannot_reach_the_machines_credentials(environment: str) -> None:
    data = resource(environment, "machines", "LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_have_an_encrypted_volume_and_no_key(environment: str) -> None:
    data = resource(environment, "machines", "LaunchTemplate")["LaunchTemplateData"]
    (device,) = data["BlockDeviceMappings"]
    assert (device["Ebs"]["Encrypted"], device["Ebs"]["VolumeType"]) == (True, "gp3")
    assert "KeyName" not in data


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_join_the_cluster_and_drain_on_a_spot_notice(environment: str) -> None:
    user_data = resource(environment, "machines", "LaunchTemplate")["LaunchTemplateData"]["UserData"]
    lines = user_data["Fn::Base64"]["Fn::Sub"].splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "ECS_CLUSTER=${ClusterName}" in lines
    # Off unless set.
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in lines


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_task_that_used_up_its_cpu_waits_milliseconds(environment: str) -> None:
    user_data = resource(environment, "machines", "LaunchTemplate")["LaunchTemplateData"]["UserData"]
    agent = machine_life.agent_settings(base64.b64encode(user_data["Fn::Base64"]["Fn::Sub"].encode()).decode())
    period = machine_life.cpu_period(agent)
    assert period == 10
    # The kernel takes no limit of less than a millisecond.
    least_units = 128
    assert period * least_units / 1024 >= 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machine_image_is_the_newest_one_of_their_architecture(environment: str) -> None:
    path = parameters(environment, "machines")["ImageId"]._argument["newest"]
    assert template(environment, "machines")["Parameters"]["ImageId"]["Type"] == "AWS::EC2::Image::Id"
    assert path.startswith("/aws/service/ecs/optimized-ami/amazon-linux-2023/")
    assert ("arm64" in path) == (parameters(environment, "service")["CpuArchitecture"] == "ARM64")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_machines_take_requests_from_the_load_balancer_only_on_every_port_docker_may_choose(environment: str) -> None:
    assert "SecurityGroupIngress" not in resource(environment, "vpc", "MachinesSecurityGroup")
    rule = resource(environment, "load-balancer", "RequestsToMachines")
    assert (rule["FromPort"], rule["ToPort"]) == (FIRST_HOST_PORT, LAST_HOST_PORT)
    assert rule["GroupId"] == {"Ref": "MachinesSecurityGroupId"}
    assert rule["SourceSecurityGroupId"] == {"Ref": "SecurityGroup"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_new_launch_template_replaces_machines_after_their_successors_have_come(environment: str) -> None:
    group = template(environment, "machines")["Resources"]["AutoScalingGroup"]
    refresh = group["UpdatePolicy"]["AutoScalingInstanceRefresh"]
    assert refresh["Strategy"] == "Rolling"
    # The successor comes first, and one machine after the other is replaced, whatever has changed.
    assert refresh["Preferences"]["MinHealthyPercentage"] == refresh["Preferences"]["MaxHealthyPercentage"] == 100
    assert refresh["Preferences"]["SkipMatching"] is False
    specification = group["Properties"]["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    assert specification["Version"] == {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_two_tasks_share_the_smallest_machine_and_the_fleet_holds_a_deployment(environment: str) -> None:
    machines, service = parameters(environment, "machines"), parameters(environment, "service")
    types = resource(environment, "machines", "AutoScalingGroup")["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    usable = min(USABLE_MIB[override["InstanceType"]] for override in types) - int(machines["ReservedMemoryMib"])
    by_memory = usable // int(service["TaskMemoryMib"])
    by_cpu = 2 * 1024 // int(service["TaskCpuUnits"])
    per_machine = min(by_memory, by_cpu)
    during_deployment = int(service["MaxTasks"]) * int(service["MaxPercent"]) // 100
    assert per_machine >= 2
    assert int(machines["MaxMachines"]) * per_machine >= during_deployment


# --- service


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_service_uses_the_machines_capacity_provider_and_no_launch_type(environment: str) -> None:
    # The reference also makes a delete remove the service before the provider that its tasks use.
    service = resource(environment, "service", "Service")
    provider = parameters(environment, "service")["CapacityProviderName"]
    assert provider._argument == f"{environment}/machines.yaml::CapacityProviderName"
    assert [item["CapacityProvider"] for item in service["CapacityProviderStrategy"]] == [
        {"Ref": "CapacityProviderName"}
    ]
    assert "LaunchType" not in service


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_several_tasks_share_a_machine_on_ports_of_dockers_choice(environment: str) -> None:
    task = resource(environment, "service", "TaskDefinition")
    (container,) = task["ContainerDefinitions"]
    assert task["NetworkMode"] == "bridge"
    assert container["PortMappings"] == [{"ContainerPort": "5000", "HostPort": 0, "Protocol": "tcp"}]
    assert {"Name": "PORT", "Value": "5000"} in container["Environment"]
    assert resource(environment, "service", "TargetGroup")["TargetType"] == "instance"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_container_is_not_root_and_cannot_change_its_files(environment: str) -> None:
    (container,) = resource(environment, "service", "TaskDefinition")["ContainerDefinitions"]
    assert int(container["User"].partition(":")[0]) > 0
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"]["InitProcessEnabled"] is True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_service_waits_for_its_rule(environment: str) -> None:
    # ECS refuses a target group that no listener uses.
    assert template(environment, "service")["Resources"]["Service"]["DependsOn"] == "ListenerRule"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_failed_deployment_goes_back_and_lets_tasks_of_spot_machines_stop(environment: str) -> None:
    deployment = resource(environment, "service", "Service")["DeploymentConfiguration"]
    breaker = deployment["DeploymentCircuitBreaker"]
    assert (breaker["Enable"], breaker["Rollback"]) == (True, True)
    # ECS would let three tasks of two fail.
    two = {"Type": "COUNT", "Value": "2"}
    assert breaker.get("ThresholdConfiguration") == {"dev": two, "prod": None}[environment]
    assert 0 < int(deployment["MinimumHealthyPercent"]) < 100
    assert int(deployment["MaximumPercent"]) > 100


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_tasks_are_spread_over_zones_before_they_are_packed(environment: str) -> None:
    service = resource(environment, "service", "Service")
    assert [strategy["Type"] for strategy in service["PlacementStrategies"]] == ["spread", "binpack"]
    assert service["PlacementStrategies"][0]["Field"] == "attribute:ecs.availability-zone"
    # With fewer machines than zones there is nowhere to move a task to.
    assert service["AvailabilityZoneRebalancing"] == {"dev": "DISABLED", "prod": "ENABLED"}[environment]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_requests_in_flight_end_before_a_spot_machine_does(environment: str) -> None:
    found = attributes(resource(environment, "service", "TargetGroup"), "TargetGroupAttributes")
    delay = int(found["deregistration_delay.timeout_seconds"])
    (container,) = resource(environment, "service", "TaskDefinition")["ContainerDefinitions"]
    assert 20 <= delay <= 60
    # One follows the other, and the machine is gone two minutes after the notice.
    assert delay + int(container["StopTimeout"]) <= 110


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_tasks_are_tracked_at_their_cpu_target_with_the_service_linked_role(environment: str) -> None:
    target = resource(environment, "service", "ScalableTarget")
    policy = resource(environment, "service", "CpuScalingPolicy")["TargetTrackingScalingPolicyConfiguration"]
    assert "RoleARN" not in target
    assert 1 <= int(target["MinCapacity"]) <= int(target["MaxCapacity"])
    assert policy["PredefinedMetricSpecification"]["PredefinedMetricType"] == "ECSServiceAverageCPUUtilization"
    assert int(policy["TargetValue"]) == 70


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_logs_are_kept_for_a_limited_time(environment: str) -> None:
    assert int(resource(environment, "service", "LogGroup")["RetentionInDays"]) >= 1
