"""The table of rules holds for every environment of the sample, and each rule finds what goes against it."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.rules import variants
from tests.rules.table import TABLE, findings
from tests.support.rendered import Json, Layers

RULES = {rule.number: rule for rule in TABLE}


@pytest.fixture(scope="module")
def rendered() -> Callable[[str], Layers]:
    """Return the templates of an environment or a variant."""
    return cache(variants.rendered)


@pytest.mark.parametrize("name", variants.EVERYWHERE)
def test_every_environment_keeps_every_rule(name: str, rendered: Callable[[str], Layers]) -> None:
    assert findings(rendered(name)) == []


DELETED = object()
PROVIDER = "machines.Resources.CapacityProvider.Properties.AutoScalingGroupProvider"
GROUP = "machines.Resources.AutoScalingGroup"
REFRESH = f"{GROUP}.UpdatePolicy.AutoScalingInstanceRefresh.Preferences"
HELD = f"{GROUP}.Properties.LifecycleHookSpecificationList"
MAINTENANCE = f"{GROUP}.Properties.InstanceMaintenancePolicy"
POLICY = f"{GROUP}.Properties.MixedInstancesPolicy"
MACHINE = "machines.Resources.LaunchTemplate.Properties.LaunchTemplateData"
NAT = "vpc.Resources.NatInstance.Properties"
SERVICE = "service.Resources.Service"
MONITORING = "service.Resources.Service.Properties.Monitoring.MetricConfigurations"
TASK = "service.Resources.TaskDefinition.Properties"
TARGETS = "service.Resources.TargetGroup.Properties"
BALANCER = "load-balancer.Resources.LoadBalancer"
REPOSITORY = "cluster.Resources.Repository.Properties"
FULL, SIMPLE = variants.VARIANTS
CPU_POLICY = {"Type": "AWS::AutoScaling::ScalingPolicy", "Properties": {}}
LINKED_ROLE = {"Type": "AWS::IAM::ServiceLinkedRole", "Properties": {"AWSServiceName": "ecs.amazonaws.com"}}
OTHER_RULE = {
    "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
    "Properties": {"ListenerArn": {"Output": "load-balancer.ListenerArn"}, "Priority": "100"},
}
HOOKS = "service.Sceptre.hooks.before_launch"
MACHINE_ROLE = "machines.Resources.Role.Properties"
ENDPOINT_POLICY = "vpc.Resources.S3Endpoint.Properties.PolicyDocument"
FIREWALL = "load-balancer.Resources"
CPU_SCALING = "machines.Resources.CpuScalingPolicy"
OVERRIDES = "machines.Resources.AutoScalingGroup.Properties.MixedInstancesPolicy.LaunchTemplate.Overrides"
SMALL = {"Fn::Select": ["0", {"Fn::Cidr": ["10.0.0.0/16", 6, "4"]}]}
CHINA = {"Service": "ec2.amazonaws.com.cn"}
WAY_IN = "load-balancer.Resources.RequestsToMachines"
MACHINES_GROUP = "vpc.Resources.MachinesSecurityGroup"
NAT_RULE = "vpc.Resources.NatSecurityGroup.Properties.SecurityGroupIngress.0"
SSM_TYPE = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
EC2MESSAGES = {"Fn::Sub": "com.amazonaws.${AWS::Region}.ec2messages"}
IPV6_ROUTE = {"Type": "AWS::EC2::Route", "Properties": {"EgressOnlyInternetGatewayId": "eigw-1"}}
COMMON_RULES = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}}
IAM_FULL = "arn:aws-cn:iam::aws:policy/IAMFullAccess"
CORE = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"}

# Rule, environment, what is broken, with what, and what the finding must say.
BREAKAGES: list[tuple[int, str, str, Any, str]] = [
    (1, "dev", "cluster.Resources.Cluster.Properties.CapacityProviders", ["FARGATE"], "sets CapacityProviders"),
    (1, "dev", "machines.Resources.CapacityProviderAssociation.Properties.CapacityProviders", [], "in no association"),
    (2, "dev", f"{SERVICE}.Properties.CapacityProviderStrategy.0.CapacityProvider", "mine", "uses mine"),
    (3, "dev", f"{PROVIDER}.ManagedTerminationProtection", "ENABLED", "ManagedTerminationProtection ENABLED, not DIS"),
    (3, "prod", f"{PROVIDER}.ManagedTerminationProtection", DELETED, "ManagedTerminationProtection left out"),
    (3, "dev", f"{GROUP}.Properties.NewInstancesProtectedFromScaleIn", True, "ProtectedFromScaleIn True, not false"),
    (3, "prod", f"{GROUP}.Properties.NewInstancesProtectedFromScaleIn", DELETED, "left out, not false"),
    (5, "dev", f"{PROVIDER}.ManagedDraining", DELETED, "ManagedDraining left out"),
    (6, "dev", "machines.Resources.Policy", CPU_POLICY, "scales already"),
    (7, "dev", f"{GROUP}.Properties.Tags", [], "no tag AmazonECSManaged"),
    (8, "dev", f"{GROUP}.Properties.DesiredCapacity", "1", "DesiredCapacity 1"),
    (9, "dev", f"{GROUP}.Properties.MaxSize", "0", "MaxSize 0"),
    (9, "dev", f"{POLICY}.LaunchTemplate.Overrides.0.WeightedCapacity", "1", "WeightedCapacity"),
    (10, "dev", f"{PROVIDER}.ManagedScaling.TargetCapacity", "101", "TargetCapacity 101"),
    (11, "dev", "machines.Resources.CapacityProvider.Properties.Name", "mine", "fixed Name mine"),
    (11, "dev", f"{GROUP}.UpdatePolicy.AutoScalingReplacingUpdate", {"WillReplace": True}, "ReplacingUpdate"),
    (12, "dev", "machines.Resources.CapacityProviderAssociation.Properties.Cluster", {"Ref": "Cluster"}, "builds on"),
    (13, "dev", "cluster.Resources.Role", LINKED_ROLE, "belongs to the account"),
    (14, "dev", f"{TASK}.NetworkMode", "awsvpc", "NetworkMode awsvpc"),
    (14, "dev", f"{TASK}.ContainerDefinitions.0.PortMappings.0.HostPort", 5000, "HostPort 5000"),
    (14, "dev", f"{TARGETS}.TargetType", "ip", "TargetType ip"),
    (15, "dev", f"{WAY_IN}.Properties.FromPort", 32678, "ports 32678"),
    (15, "dev", f"{WAY_IN}.Properties.SourceSecurityGroupId", "sg-1", "others than the load balancer in"),
    (15, "dev", WAY_IN, DELETED, "lets nobody in"),
    (16, "dev", f"{TASK}.Memory", "512", "takes 512 MiB of 714, so the smallest machine holds 1 of its tasks"),
    (16, FULL, f"{TASK}.Memory", "1024", "holds 1 of its tasks"),
    (17, "dev", f"{GROUP}.Properties.MaxSize", "3", "a deployment at full size needs 4"),
    (18, "dev", f"{SERVICE}.Properties.DesiredCount", 2, "DesiredCount 2"),
    (18, "prod", f"{SERVICE}.Properties.DesiredCount", {"Ref": "Tasks"}, "DesiredCount"),
    (19, "dev", "service.Resources.ScalableTarget.Properties.RoleARN", "arn:aws:iam::1:role/mine", "RoleARN"),
    (20, "dev", f"{SERVICE}.Properties.LaunchType", "EC2", "LaunchType EC2 beside"),
    (21, "dev", f"{SERVICE}.Properties.DeploymentConfiguration.DeploymentCircuitBreaker.Rollback", False, "Rollback"),
    (22, "dev", "service.Sceptre.stack_timeout", 0, "without stack_timeout"),
    (23, "dev", f"{SERVICE}.Properties.HealthCheckGracePeriodSeconds", DELETED, "HealthCheckGracePeriodSeconds"),
    (24, "prod", f"{SERVICE}.Properties.PlacementStrategies.0.Field", "instanceId", "rebalances zones and does not"),
    (24, "dev", f"{SERVICE}.Properties.PlacementStrategies.0.Field", "instanceId", "neither spreads its tasks"),
    (24, "dev", f"{SERVICE}.Properties.AvailabilityZoneRebalancing", DELETED, "leaves AvailabilityZoneRebalancing"),
    (25, "dev", f"{SERVICE}.Properties.PropagateTags", DELETED, "without PropagateTags"),
    (26, "dev", f"{SERVICE}.DependsOn", DELETED, "no DependsOn on the rule"),
    (26, "prod", f"{SERVICE}.DependsOn", ["LogGroup"], "no DependsOn on the rule"),
    (27, "dev", f"{TARGETS}.TargetGroupAttributes.0.Value", "300", "delay of 300 s"),
    (27, "dev", f"{TARGETS}.TargetGroupAttributes.0.Value", "2", "delay of 2 s"),
    (27, "dev", f"{TASK}.ContainerDefinitions.0.StopTimeout", "90", "stops 120 s after a Spot notice"),
    (28, "prod", f"{SERVICE}.Properties.DeploymentController", {"Type": "CODE_DEPLOY"}, "controller CODE_DEPLOY"),
    (29, "dev", "service.Resources.LogGroup.Properties.LogGroupName", "web", "LogGroupName web"),
    (30, "dev", f"{MACHINE}.ImageId", "ami-0ec5a12023aaa8664", "has the image ami-0ec5a12023aaa8664"),
    (30, "dev", f"{POLICY}.LaunchTemplate.Overrides.0.InstanceType", "t4g.micro", "for x86_64 and types t4g.micro"),
    (30, SIMPLE, f"{TASK}.RuntimePlatform.CpuArchitecture", "X86_64", "for X86_64, the machines are arm64"),
    (31, "dev", f"{MACHINE}.ImageId", "ami-0ec5a12023aaa8664", "no configuration can change"),
    (31, "dev", "machines.Parameters.ImageId.Type", SSM_TYPE, "so that any update can bring"),
    (32, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "cfn-init -v"}, "calls cfn-init"),
    (32, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "/opt/aws/bin/cfn-signal -e 0"}, "without installing"),
    (33, "dev", f"{MACHINE}.KernelId", "${AWS::StackId}", "${AWS::StackId} outside Fn::Sub"),
    (34, "dev", f"{NAT}.UserData", {"Fn::Base64": "true"}, "signals that no machine sends"),
    (34, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "true"}, "by ecs-agent-has-joined, which none completes"),
    (34, "dev", f"{HELD}", DELETED, "before its agent has joined"),
    (34, "dev", f"{HELD}.0.DefaultResult", "CONTINUE", "that have not joined"),
    (34, "dev", "machines.Sceptre.stack_timeout", 0, "first machines without stack_timeout"),
    (35, "dev", f"{GROUP}.UpdatePolicy", DELETED, "neither AutoScalingInstanceRefresh nor"),
    (35, "dev", f"{REFRESH}.MinHealthyPercentage", 90, "before its successor is there"),
    (35, "dev", f"{REFRESH}.SkipMatching", DELETED, "skips machines in subnets"),
    (
        35,
        "dev",
        f"{POLICY}.LaunchTemplate.Overrides",
        [{"InstanceRequirements": {}}],
        "fails with InstanceRequirements",
    ),
    (35, SIMPLE, f"{GROUP}.UpdatePolicy", {"AutoScalingRollingUpdate": {"MinInstancesInService": "9"}}, "as many as"),
    (35, "dev", f"{POLICY}.LaunchTemplate.LaunchTemplateSpecification.Version", "1", "latest version"),
    (36, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "true"}, "ECS_ENABLE_SPOT_INSTANCE_DRAINING"),
    (37, "dev", f"{PROVIDER}.ManagedDraining", "DISABLED", "CapacityRebalance without managed draining"),
    (38, "dev", f"{POLICY}.InstancesDistribution.SpotAllocationStrategy", "lowest-price", "lowest-price"),
    (38, "dev", f"{POLICY}.InstancesDistribution.OnDemandPercentageAboveBaseCapacity", DELETED, "no Spot machines"),
    (38, "dev", f"{POLICY}.InstancesDistribution.SpotMaxPrice", "0.01", "SpotMaxPrice"),
    (39, "dev", f"{MACHINE}.CreditSpecification.CpuCredits", "standard", "CpuCredits standard, not unlimited"),
    (39, SIMPLE, f"{MACHINE}.CreditSpecification.CpuCredits", "unlimited", "CpuCredits unlimited, not standard"),
    (39, "prod", f"{MACHINE}.CreditSpecification", DELETED, "CpuCredits left out, not unlimited"),
    (39, "prod", "machines.Resources.CpuCreditsBilled", DELETED, "no alarm on CPUSurplusCreditsCharged"),
    (40, "dev", f"{MACHINE}.MetadataOptions.HttpTokens", "optional", "HttpTokens optional, not required"),
    (40, "prod", f"{MACHINE}.MetadataOptions.HttpPutResponseHopLimit", 2, "HttpPutResponseHopLimit 2, not 1"),
    (40, "dev", f"{MACHINE}.MetadataOptions", DELETED, "HttpTokens left out"),
    (39, "dev", f"{NAT}.CreditSpecification", {"CPUCredits": "standard"}, "NatInstance has CpuCredits standard"),
    (40, "dev", f"{NAT}.MetadataOptions.HttpTokens", "optional", "NatInstance has HttpTokens optional"),
    (30, "dev", f"{NAT}.ImageId", "ami-0ec5a12023aaa8664", "NatInstance has the image ami-"),
    (41, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "systemctl start ecs"}, "which ecs waits for"),
    (42, "dev", f"{REPOSITORY}.EmptyOnDelete", DELETED, "not emptied"),
    (42, "prod", "cluster.Sceptre.hooks.before_delete", [], "not emptied"),
    (43, "dev", f"{REPOSITORY}.ImageTagMutability", "MUTABLE", "MUTABLE"),
    (43, "dev", f"{TASK}.ContainerDefinitions.0.Image", "web:latest", "runs web:latest"),
    (44, "dev", HOOKS, ["ValidSettings"], "without the hook that pushes"),
    (45, "dev", f"{REPOSITORY}.LifecyclePolicy", DELETED, "any number of tagged images"),
    (46, FULL, "load-balancer.Resources.HttpsListener.Properties.SslPolicy", DELETED, "SslPolicy left out"),
    (46, SIMPLE, "load-balancer.Resources.HttpsListener.Properties.SslPolicy", "ELBSecurityPolicy-2016-08", "2016"),
    (47, "dev", f"{BALANCER}.Properties.LoadBalancerAttributes", [], "invalid header fields"),
    (47, "prod", f"{BALANCER}.Properties.LoadBalancerAttributes", [], "not True"),
    (48, "prod", f"{BALANCER}.DependsOn", DELETED, "does not wait for a policy"),
    (48, FULL, "load-balancer.Resources.AccessLogsBucket.DeletionPolicy", "Delete", "fails while it holds logs"),
    (49, FULL, "load-balancer.Resources.Certificate.Properties.ValidationMethod", "EMAIL", "waits for a person"),
    (49, FULL, "load-balancer.Resources.DomainRecordA.Properties.AliasTarget.HostedZoneId", "Z1", "no alias of"),
    (50, "dev", "service.Resources.OtherRule", OTHER_RULE, "Priority 100, as service.ListenerRule has"),
    (50, "dev", "load-balancer.Resources.HttpListener.Properties.DefaultActions.0.Type", "forward", "by default"),
    (51, "dev", "vpc.Resources.PublicDefaultRoute.DependsOn", DELETED, "attachment of the internet gateway"),
    (51, "prod", "vpc.Resources.NatAddress1.DependsOn", DELETED, "attachment of the internet gateway"),
    (51, "prod", "vpc.Resources.NatGateway1.DependsOn", DELETED, "way to the internet"),
    (52, FULL, "vpc.Resources.EcsTelemetryEndpoint", DELETED, "no endpoint for ecs-telemetry"),
    (52, FULL, "vpc.Resources.S3Endpoint", DELETED, "no endpoint for s3"),
    (52, FULL, "vpc.Resources.EndpointSecurityGroup.Properties.SecurityGroupIngress.0.ToPort", 442, "no HTTPS in"),
    (
        54,
        SIMPLE,
        "vpc.Resources.PrivateDefaultRouteIpv61.Properties.EgressOnlyInternetGatewayId",
        DELETED,
        "internet in",
    ),
    (54, "prod", "vpc.Resources.FlowLog.Properties.DeliverLogsPermissionArn", DELETED, "no role"),
    (73, "dev", f"{MACHINE_ROLE}.ManagedPolicyArns", [CORE], "which no setting asks for"),
    (73, "dev", f"{MACHINE_ROLE}.Policies.0.PolicyDocument.Statement.0.Action", "ssm:Get*", "Role may ssm:Get*"),
    (73, "dev", "vpc.Resources.NatRole.Properties.Policies", [], "NatRole lacks ssmmessages:OpenDataChannel"),
    (74, FULL, f"{MACHINE_ROLE}.PermissionsBoundary", DELETED, "machines.Role has the boundary '', not 'arn:"),
    (74, SIMPLE, "vpc.Resources.NatRole.Properties.PermissionsBoundary", DELETED, "NatRole has the boundary"),
    (74, FULL, "vpc.Resources.FlowLogRole.Properties.Path", "/", "FlowLogRole has the path /, not /teams/shop/"),
    (74, FULL, "machines.Resources.InstanceProfile.Properties.Path", DELETED, "InstanceProfile has the path /"),
    (75, "dev", "service.Resources.TaskRole.Properties.ManagedPolicyArns", [IAM_FULL], "IAMFullAccess without"),
    (75, SIMPLE, f"{MACHINE_ROLE}.ManagedPolicyArns", [IAM_FULL], "machines.Role has arn:aws-cn:iam"),
    (76, "prod", "vpc.Sceptre.hooks.after_launch", ["FailureReason"], "without the hook that closes"),
    (77, "dev", f"{TASK}.ContainerDefinitions.0.DockerSecurityOptions", DELETED, "container web without no-new"),
    (77, "prod", f"{MACHINE}.UserData", {"Fn::Base64": "true"}, "does not set ECS_SELINUX_CAPABLE"),
    (78, "dev", ENDPOINT_POLICY, DELETED, "has no policy"),
    (78, FULL, f"{ENDPOINT_POLICY}.Statement.0.Condition", DELETED, "leads to any bucket"),
    (78, "prod", f"{ENDPOINT_POLICY}.Statement.1.Resource", [], "from the layers of their images"),
    (79, "dev", f"{NAT}.IamInstanceProfile", DELETED, "cannot be reached by Session Manager"),
    (79, "dev", f"{NAT}.UserData", {"Fn::Base64": "true"}, "is never patched"),
    (80, "prod", f"{FIREWALL}.FirewallLogging.Properties.RedactedFields", [], "the header authorization"),
    (80, FULL, f"{FIREWALL}.FirewallLogGroup.Properties.LogGroupName", DELETED, "which WAF refuses"),
    (80, "prod", f"{FIREWALL}.FirewallLogging", DELETED, "Firewall logs nothing"),
    (81, "prod", "load-balancer.Sceptre.hooks.before_launch", ["ValidSettings"], "that tells of plain HTTP"),
    (82, FULL, "service.Resources.LogGroup.Properties.KmsKeyId", DELETED, "LogGroup has the key '', not 'arn:"),
    (82, FULL, f"{FIREWALL}.FirewallLogGroup.Properties.KmsKeyId", DELETED, "FirewallLogGroup has the key ''"),
    (83, "dev", f"{NAT_RULE}.IpProtocol", "-1", "more in than one port"),
    (83, "dev", f"{NAT_RULE}.CidrIp", "0.0.0.0/0", "others in than the VPC"),
    (84, "dev", f"{SERVICE}.Properties.DeploymentConfiguration.MinimumHealthyPercent", "100", "HealthyPercent 100 on"),
    (
        84,
        "prod",
        f"{SERVICE}.Properties.DeploymentConfiguration.MinimumHealthyPercent",
        DELETED,
        "on the Spot machines",
    ),
    (85, "prod", f"{PROVIDER}.ManagedScaling.TargetCapacity", "80", "before it packs them, with TargetCapacity 80"),
    (86, "dev", f"{TASK}.ContainerDefinitions.0.LogConfiguration.Options.mode", DELETED, "leaves mode of awslogs"),
    (87, FULL, "vpc.Resources.SsmEndpoint.Properties.ServiceName", EC2MESSAGES, "SsmEndpoint is of ec2messages"),
    (88, FULL, "vpc.Resources.Way", IPV6_ROUTE, "vpc.Way leads to the internet beside 10 endpoints"),
    (
        89,
        "prod",
        "cluster.Resources.AlarmTopicPolicy.Properties.PolicyDocument.Statement.1.Condition",
        {"a": 1},
        "under",
    ),
    (90, FULL, f"{FIREWALL}.Firewall.Properties.Rules.2.Statement", COMMON_RULES, "blocks what NoUserAgent_HEADER"),
    (91, "prod", "service.Resources.SlowResponses.Properties.EvaluateLowSampleCountPercentile", DELETED, "of a few"),
    (92, FULL, "load-balancer.Sceptre.stack_timeout", 0, "Certificate is in a stack without stack_timeout"),
    (93, "dev", f"{TASK}.ContainerDefinitions.0.User", "0:0", "may run as root"),
    (93, "dev", f"{TASK}.ContainerDefinitions.0.User", DELETED, "may run as root"),
    (93, "prod", f"{TASK}.ContainerDefinitions.0.ReadonlyRootFilesystem", False, "that it can write to"),
    (94, "dev", f"{WAY_IN}.Properties.FromPort", 32678, "port 32678 in"),
    (94, "dev", f"{MACHINES_GROUP}.Properties.SecurityGroupEgress.0.FromPort", 32678, "port 32678 out"),
    (95, "dev", f"{REPOSITORY}.LifecyclePolicy", DELETED, "counts the images of service together with others"),
    (96, "prod", "machines.Sceptre.hooks.before_delete", ["NoDependants"], "without the hook that empties it"),
    (97, "dev", "load-balancer.Sceptre.hooks.before_launch", ["ValidSettings"], "load-balancer is launched without"),
    (98, "dev", "machines.Sceptre.hooks.before_launch", ["SafeChanges"], "that lets no request in"),
    (99, FULL, f"{CPU_SCALING}.Properties.TargetTrackingConfiguration.TargetValue", "100", "waits for 100 %, and"),
    (100, "dev", f"{SERVICE}.Properties.AvailabilityZoneRebalancing", "ENABLED", "2 zones, and 1 machines"),
    (101, "dev", f"{MACHINE}.UserData", {"Fn::Base64": "ECS_RESERVED_MEMORY=64"}, "leaves 64 MiB to"),
    (102, "dev", f"{OVERRIDES}.0.InstanceType", "c9g.large", "launches c9g.large, which eu-west-1 does not have"),
    (102, "dev", "machines.Sceptre.region", "eu-north-1", "launches t3a.micro, which eu-north-1 does not have"),
    (103, "dev", "machines.Sceptre.region", "cn-north-1", "Role trusts ec2.amazonaws.com"),
    (103, "dev", f"{MACHINE_ROLE}.AssumeRolePolicyDocument.Statement.0.Principal", CHINA, "Role trusts ec2.amazonaws"),
    (104, "dev", "vpc.Resources.PublicSubnet1.Properties.CidrBlock", SMALL, "is a /28"),
    (105, "dev", MAINTENANCE, DELETED, "before its successor is there"),
    (105, "dev", f"{MAINTENANCE}.MinHealthyPercentage", 90, "before its successor is there"),
    (105, "dev", f"{MAINTENANCE}.MaxHealthyPercentage", 100, "before its successor is there"),
    (105, "dev", f"{MAINTENANCE}.MaxHealthyPercentage", 201, "more than 100 apart"),
    (106, FULL, f"{TASK}.ContainerDefinitions.0.RestartPolicy.RestartAttemptPeriod", 30, "restarts after 30 s"),
    (106, FULL, f"{TASK}.ContainerDefinitions.0.RestartPolicy.Enabled", DELETED, "without Enabled"),
    (107, FULL, f"{MONITORING}.0.ResolutionSeconds", 60, "goes by CPUUtilization every 20 s, which service.Service"),
    (107, FULL, f"{MONITORING}.1.MetricNames", ["CPUUtilization"], "goes by MemoryUtilization every 20 s"),
    (54, "dev", "vpc.Resources.Extra", {"Type": "X", "G": {"Fn::GetAtt": ["Vpc", "DefaultSecurityGroup"]}}, "default"),
]


def broken(found: Layers, path: str, replacement: object) -> Layers:
    """Return the templates with something else, or nothing, in one place."""
    result = copy.deepcopy(found)
    *parents, last = path.split(".")
    node: Any = result
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if replacement is DELETED:
        del node[last]
    else:
        node[last] = replacement
    return result


@pytest.mark.parametrize(("number", "name", "path", "replacement", "said"), BREAKAGES)
def test_a_broken_template_fails_with_number_and_reason(
    number: int, name: str, path: str, replacement: object, said: str, rendered: Callable[[str], Layers]
) -> None:
    found = RULES[number].findings(broken(rendered(name), path, replacement))
    assert any(said in text for text in found)
    for text in found:
        assert text.startswith(f"rule {number}: ")
        assert text.endswith(f"(because: {RULES[number].fact})")


# What somebody could add as a sixth layer.
ADDED: Json = {
    "Resources": {
        "Provider": {
            "Type": "AWS::ECS::CapacityProvider",
            "Properties": {"AutoScalingGroupProvider": {"ManagedTerminationProtection": "ENABLED"}},
        },
        "Machine": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {"LaunchTemplateData": {"InstanceType": "t3.micro"}},
        },
        "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Memory": "512"}},
        "Service": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 2, "LoadBalancers": [{}]}},
    }
}


@pytest.mark.parametrize(
    ("number", "name"),
    [(3, "Provider"), (16, "Task"), (18, "Service"), (26, "Service"), (39, "Machine"), (40, "Machine")],
)
def test_an_added_template_that_breaks_a_rule_fails_with_number_and_reason(
    number: int, name: str, rendered: Callable[[str], Layers]
) -> None:
    found = RULES[number].findings({**rendered("dev"), "added": ADDED})
    assert any(text.startswith(f"rule {number}: added.{name} ") for text in found)
    assert all(text.endswith(f"(because: {RULES[number].fact})") for text in found)


def test_protection_without_managed_scaling_is_found(rendered: Callable[[str], Layers]) -> None:
    protecting = broken(rendered("dev"), f"{PROVIDER}.ManagedTerminationProtection", "ENABLED")
    both = broken(protecting, f"{PROVIDER}.ManagedScaling.Status", "DISABLED")
    assert "without managed scaling" in RULES[4].findings(both)[0]


def test_every_checked_rule_is_broken_by_a_test() -> None:
    assert {number for number, *_ in BREAKAGES} | {4} == {rule.number for rule in TABLE if rule.check}
