"""Rules 1 to 13: capacity provider, Auto Scaling group, and their deletion."""

from collections.abc import Iterator

from tests.rules.rule import Rule, is_false, is_true, properties, resources, value
from tests.support.rendered import Layers

PROVIDER = "AWS::ECS::CapacityProvider"
ASSOCIATION = "AWS::ECS::ClusterCapacityProviderAssociations"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
HIGHEST_TARGET = 100


def _association_holds_the_providers(layers: Layers) -> Iterator[str]:
    for name, cluster in properties(layers, "AWS::ECS::Cluster"):
        for key in cluster.keys() & {"CapacityProviders", "DefaultCapacityProviderStrategy"}:
            yield f"{name} sets {key}, which the association replaces"
    associated = [provider for _, item in properties(layers, ASSOCIATION) for provider in item["CapacityProviders"]]
    for name, _ in resources(layers, PROVIDER):
        if {"Ref": name.rpartition(".")[2]} not in associated:
            yield f"{name} is in no association"
    places = {name.partition(".")[0] for name, _ in resources(layers, GROUP, PROVIDER, ASSOCIATION)}
    if len(places) > 1:
        yield f"{', '.join(sorted(places))} share group, provider and association; they must be of one stack"


def _service_reads_the_providers_name(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, "AWS::ECS::Service"):
        for item in service.get("CapacityProviderStrategy", []):
            layer, _, output = str(value(item, "CapacityProvider.Output", "")).partition(".")
            source = value(layers, f"{layer}.Outputs.{output}.Value.Ref", "")
            if value(layers, f"{layer}.Resources.{source}.Type") != PROVIDER:
                yield f"{name} uses {item['CapacityProvider']}, not the output of the stack that has the provider"


def _nothing_is_protected_from_scale_in(layers: Layers) -> Iterator[str]:
    for name, provider in properties(layers, PROVIDER):
        found = value(provider, "AutoScalingGroupProvider.ManagedTerminationProtection", "left out")
        if found != "DISABLED":
            yield f"{name} has ManagedTerminationProtection {found}, not DISABLED"
    for name, group in properties(layers, GROUP):
        found = group.get("NewInstancesProtectedFromScaleIn", "left out")
        if not is_false(found):
            yield f"{name} has NewInstancesProtectedFromScaleIn {found}, not false"


def _protection_comes_with_scaling(layers: Layers) -> Iterator[str]:
    for name, provider in properties(layers, PROVIDER):
        found = provider["AutoScalingGroupProvider"]
        protects = found.get("ManagedTerminationProtection") == "ENABLED"
        if protects and value(found, "ManagedScaling.Status") != "ENABLED":
            yield f"{name} has ManagedTerminationProtection without managed scaling"


def _draining_is_managed(layers: Layers) -> Iterator[str]:
    for name, provider in properties(layers, PROVIDER):
        found = value(provider, "AutoScalingGroupProvider.ManagedDraining", "left out")
        if found != "ENABLED":
            yield f"{name} has ManagedDraining {found}, not ENABLED"


def _one_policy_scales_the_group(layers: Layers) -> Iterator[str]:
    for name, provider in properties(layers, PROVIDER):
        if value(provider, "AutoScalingGroupProvider.ManagedScaling.Status") == "ENABLED":
            for policy, _ in resources(layers, "AWS::AutoScaling::ScalingPolicy"):
                yield f"{policy} scales a group that {name} scales already"


def _group_carries_the_tag_of_ecs(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, GROUP):
        tags = [tag for tag in group.get("Tags", []) if tag["Key"] == "AmazonECSManaged"]
        if not any(is_true(tag.get("PropagateAtLaunch")) for tag in tags):
            yield f"{name} has no tag AmazonECSManaged that is propagated at launch"


def _group_has_no_desired_capacity(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, GROUP):
        if "DesiredCapacity" in group:
            yield f"{name} has DesiredCapacity {group['DesiredCapacity']}"


def _group_may_have_machines_of_equal_weight(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, GROUP):
        if int(group["MaxSize"]) < 1:
            yield f"{name} has MaxSize {group['MaxSize']}"
        if any(text == "WeightedCapacity" for text in _keys(group)):
            yield f"{name} has a WeightedCapacity"


def _keys(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _keys(item)


def _target_is_a_percentage(layers: Layers) -> Iterator[str]:
    for name, provider in properties(layers, PROVIDER):
        found = int(value(provider, "AutoScalingGroupProvider.ManagedScaling.TargetCapacity", HIGHEST_TARGET))
        if not 1 <= found <= HIGHEST_TARGET:
            yield f"{name} has TargetCapacity {found}"


def _group_and_provider_are_never_replaced(layers: Layers) -> Iterator[str]:
    for name, item in (*properties(layers, PROVIDER), *properties(layers, GROUP)):
        for key in item.keys() & {"Name", "AutoScalingGroupName"}:
            yield f"{name} has the fixed {key} {item[key]}"
    for name, group in resources(layers, GROUP):
        if "AutoScalingReplacingUpdate" in group.get("UpdatePolicy", {}):
            yield f"{name} has AutoScalingReplacingUpdate"


def _machines_go_before_their_cluster(layers: Layers) -> Iterator[str]:
    for name, association in properties(layers, ASSOCIATION):
        cluster = str(value(association, "Cluster.Output", ""))
        if cluster.partition(".")[0] in {"", name.partition(".")[0]}:
            yield f"{name} is not in a stack that builds on the cluster's"


def _service_linked_roles_are_left_to_the_account(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, "AWS::IAM::ServiceLinkedRole"):
        yield f"{name} belongs to the account, which has one only"


RULES = [
    Rule(
        1,
        "the association replaces a cluster's whole list of providers",
        _association_holds_the_providers,
    ),
    Rule(
        2,
        "a strategy accepts associated providers only, and a provider in use cannot be taken away",
        _service_reads_the_providers_name,
    ),
    Rule(
        3,
        "protected machines survive the group's shrinking to zero, so the stack's deletion hangs",
        _nothing_is_protected_from_scale_in,
    ),
    Rule(4, "termination protection works with managed scaling only", _protection_comes_with_scaling),
    Rule(5, "a machine that goes drains first only when draining is managed", _draining_is_managed),
    Rule(6, "a second scaling policy launches empty machines or holds back scale-in", _one_policy_scales_the_group),
    Rule(7, "ECS may scale only groups with its tag, which an update would take away", _group_carries_the_tag_of_ecs),
    Rule(8, "each update resets a group to its desired capacity", _group_has_no_desired_capacity),
    Rule(9, "managed scaling needs room to scale and knows no weights", _group_may_have_machines_of_equal_weight),
    Rule(10, "the target is a percentage from 1 to 100", _target_is_a_percentage),
    Rule(
        11,
        "names and the group's ARN are fixed at creation, and a replacement fails because the provider is in use",
        _group_and_provider_are_never_replaced,
    ),
    Rule(12, "a cluster with registered machines cannot be deleted", _machines_go_before_their_cluster),
    Rule(
        13,
        "the service-linked role of ECS exists once per account and must be there before the first cluster",
        _service_linked_roles_are_left_to_the_account,
    ),
]
