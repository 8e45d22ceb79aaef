"""Rules 96 to 98: how a living environment changes, and how it goes."""

from collections.abc import Iterator

from tests.rules.rule import Rule, resources
from tests.support.rendered import Layers

GROUP = "AWS::AutoScaling::AutoScalingGroup"


def _machines_go_before_their_provider(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, GROUP):
        hooks = layers[name.partition(".")[0]]["Sceptre"]["hooks"].get("before_delete", [])
        if "EmptyFleet" not in hooks:
            yield f"{name} is deleted without the hook that empties it"


def _changes_are_looked_at_first(layers: Layers) -> Iterator[str]:
    for layer, template in layers.items():
        if "SafeChanges" not in template["Sceptre"]["hooks"].get("before_launch", []):
            yield f"{layer} is launched without the hook that refuses what cannot land"


def _machines_wait_for_their_way_in(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, GROUP):
        if "WayIn" not in layers[name.partition(".")[0]]["Sceptre"]["hooks"].get("before_launch", []):
            yield f"{name} may roll into a security group that lets no request in"


RULES = [
    Rule(
        96,
        "the lifecycle hook of managed draining holds each machine for an hour when its capacity provider is gone; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html",
        _machines_go_before_their_provider,
    ),
    Rule(
        97,
        "a change of a create-only property makes a new resource beside one in use, whose clean-up fails; "
        "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html",
        _changes_are_looked_at_first,
    ),
    Rule(
        98,
        "a security group lets in what its rules name, and stacks that launch side by side know no order; "
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-update-security-groups.html",
        _machines_wait_for_their_way_in,
    ),
]
