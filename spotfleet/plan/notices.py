"""What people who use the service notice of what becomes of a resource, or that nobody here knows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from spotfleet.plan.changes import Change, Difference
from spotfleet.plan.conditional_properties import Does
from spotfleet.stacks.replacements import HARMLESS, LOSSES

NOTHING, DROPPED, REFUSED, UNKNOWN = "nothing", "connections dropped", "requests refused", "not known"
IDLE_TIMEOUT = re.compile(r"idle_timeout\.timeout_seconds (\d+)")
MACHINES = "tasks move to new machines: see what rolls"
TASKS = "new tasks take over from the old ones: see what rolls"


@dataclass(frozen=True)
class Notice:
    """What is noticed, one of the four above, and how; `seconds` from the least to the most, where that is known."""

    what: str
    how: str = ""
    seconds: tuple[int, int] | None = None


# A NAT instance that is stopped and started: EC2 takes one to two minutes, and nobody else leads out meanwhile.
NAT_SECONDS = (60, 180)
# Until each service is updated, which is a launch of the last layer.
UNTIL_UPDATED = (60, 900)

# Of what changes in place, by type and the beginning of the property: where it is more than nothing.
IN_PLACE: dict[tuple[str, str], Notice] = {
    ("AWS::EC2::Route", ""): Notice(DROPPED, "what the machines have open outside of the VPC"),
    ("AWS::EC2::SecurityGroup", "SecurityGroupIngress"): Notice(DROPPED, "of those who are no longer allowed in"),
    ("AWS::EC2::SecurityGroup", "SecurityGroupEgress"): Notice(DROPPED, "to ports that are no longer allowed"),
    ("AWS::EC2::VPCEndpoint", "PolicyDocument"): Notice(REFUSED, "only by what the policy no longer allows"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "Subnets"): Notice(DROPPED, "through a zone that is given up"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerAttributes"): Notice(
        DROPPED,
        "with a longer idle timeout: until the tasks are replaced a request can meet a connection that its task has "
        "just closed (502)",
    ),
    ("AWS::ElasticLoadBalancingV2::Listener", "DefaultActions"): Notice(
        REFUSED, "where another rule or none answers what this one has answered", (0, 60)
    ),
    ("AWS::ElasticLoadBalancingV2::ListenerRule", "Conditions"): Notice(
        REFUSED, "for paths and hosts that are no longer the service's"
    ),
    ("AWS::WAFv2::WebACL", "Rules"): Notice(REFUSED, "only of what the firewall's rules now stop"),
    ("AWS::ECS::Service", "TaskDefinition"): Notice(NOTHING, TASKS),
    ("AWS::ECS::Service", "CapacityProviderStrategy"): Notice(NOTHING, TASKS),
    ("AWS::ECS::Service", "Monitoring"): Notice(NOTHING, TASKS),
    ("AWS::ECS::Service", "LoadBalancers"): Notice(NOTHING, TASKS),
    ("AWS::ApplicationAutoScaling::ScalableTarget", "MaxCapacity"): Notice(
        NOTHING, "with a lower maximum, tasks above it stop, each after its requests"
    ),
}
REPLACED: dict[str, Notice] = {
    "AWS::EC2::Route": Notice(DROPPED, "what the machines have open outside of the VPC"),
    "AWS::EC2::SubnetRouteTableAssociation": Notice(DROPPED, "what the machines have open outside of the VPC"),
    "AWS::EC2::NatGateway": Notice(DROPPED, "what the machines have open outside of the VPC"),
    "AWS::EC2::EIP": Notice(DROPPED, "what the machines have open outside of the VPC; they have another address"),
    "AWS::EC2::VPCEndpoint": Notice(DROPPED, "to the service of AWS behind it"),
    "AWS::EC2::Instance": Notice(DROPPED, "what the machines have open outside of the VPC"),
    "AWS::ECS::TaskDefinition": Notice(NOTHING, TASKS),
    "AWS::EC2::LaunchTemplate": Notice(NOTHING, MACHINES),
    "AWS::IAM::InstanceProfile": Notice(NOTHING, MACHINES),
}
DELETED: dict[str, Notice] = {
    "AWS::EC2::NatGateway": Notice(DROPPED, "what went out through it"),
    "AWS::EC2::Instance": Notice(DROPPED, "what went out through it"),
    "AWS::EC2::Route": Notice(DROPPED, "what went out by it"),
    "AWS::EC2::VPCEndpoint": Notice(DROPPED, "to the service of AWS behind it"),
    "AWS::ElasticLoadBalancingV2::Listener": Notice(REFUSED, "nothing answers on its port any more", UNTIL_UPDATED),
    "AWS::ElasticLoadBalancingV2::ListenerRule": Notice(REFUSED, "what it led to the service gets a 404"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Notice(REFUSED, "nothing answers any more"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Notice(REFUSED, "the service is gone"),
    "AWS::ECS::Service": Notice(REFUSED, "the service is gone"),
    "AWS::Route53::RecordSet": Notice(REFUSED, "its name leads nowhere any more"),
    "AWS::WAFv2::WebACLAssociation": Notice(NOTHING, "nothing is stopped by the firewall any more"),
}
CREATED: dict[str, Notice] = {
    "AWS::WAFv2::WebACLAssociation": Notice(REFUSED, "only of what the firewall's rules stop"),
}


def of(change: Change) -> Notice:
    """Return what is noticed of a change; that nobody knows is said, never guessed."""
    known = HARMLESS.keys() | LOSSES.keys()
    match change.does:
        case Does.CREATED:
            return CREATED.get(change.kind, Notice(NOTHING))
        case Does.INTERRUPTED:
            return _of_interruption(change)
        case Does.REPLACED:
            return _of_replacement(change)
        case Does.DELETED if change.kind in known:
            return DELETED.get(change.kind, Notice(NOTHING))
        case Does.OPEN | Does.DELETED:
            return _unknown(change.kind)
    # In place, and its machines one after the other.
    found = worst(_in_place(change, one) for one in change.properties)
    return found if found.how or change.does is not Does.ROLLED else Notice(NOTHING, MACHINES)


def worst(found: Iterable[Notice]) -> Notice:
    """Return the notice that matters most; nothing where there is none."""
    order = [NOTHING, UNKNOWN, DROPPED, REFUSED]
    return max(found, key=lambda one: (order.index(one.what), one.seconds or (0, 0), one.how), default=Notice(NOTHING))


def _in_place(change: Change, difference: Difference) -> Notice:
    is_attribute = difference.path == "LoadBalancerAttributes"
    if is_attribute and not _seconds(difference.after) > _seconds(difference.before) > 0:
        return Notice(NOTHING)
    for (kind, start), notice in IN_PLACE.items():
        if kind == change.kind and difference.path.startswith(start):
            return notice
    return Notice(NOTHING)


def _seconds(attributes: str) -> int:
    found = IDLE_TIMEOUT.search(attributes)
    return int(found[1]) if found else 0


def _of_interruption(change: Change) -> Notice:
    if change.kind == "AWS::EC2::Instance":
        return Notice(REFUSED, "of what the machines ask outside of the VPC, while it stops and starts", NAT_SECONDS)
    return Notice(DROPPED, f"AWS names some interruption of {change.kind}")


def _of_replacement(change: Change) -> Notice:
    if change.kind in REPLACED:
        return REPLACED[change.kind]
    if change.kind in LOSSES:
        return Notice(REFUSED, LOSSES[change.kind], UNTIL_UPDATED)
    if change.kind in HARMLESS:
        return Notice(NOTHING, HARMLESS[change.kind])
    return _unknown(change.kind)


def _unknown(kind: str) -> Notice:
    return Notice(UNKNOWN, f"nothing here knows {kind}: see its page in AWS's documentation")
