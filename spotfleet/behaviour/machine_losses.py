"""How a group replaces machines that it lost or is to lose: decisions only.

Ended ones (rules G3 and S5): https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-checks-overview.html
Those at risk (rule G8): https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-capacity-rebalancing.html
Uneven zones (rule G7): https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from spotfleet.behaviour.fleet_mix import margin
from spotfleet.behaviour.record import Record

# The tag by which `spotfleet interrupt` gives a machine EC2's rebalance recommendation; the value is when it came.
RECOMMENDATION_TAG = "spotfleet:rebalance"
# The tag of a machine whose successor is launched first; the value says why.
SUCCEEDED_TAG = "spotfleet:succeeded"
AT_RISK = "at risk"
WRONG_ZONE = "zones"
OUTLIVED = "lifetime"
ALL = 100  # percent


@dataclass(frozen=True)
class Member:
    """A machine that makes its group's size: neither one that leaves nor one that has ended.

    `succeeded` tells whether the group has launched, or launches, its successor.
    """

    id: str
    in_service: bool
    succeeded: bool = False


@dataclass(frozen=True)
class Step:
    """What a group does next: launch a successor for each of these machines, then take these out."""

    succeed: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


def replaced_now(noticed: Sequence[str], desired: int, pending: int) -> list[str]:
    """Return which ended machines a group replaces now, of those that its health check has noticed.

    At most a tenth of the group at a time, one at least; `pending` are its machines that are not in service yet.
    """
    return list(noticed[: max(0, margin(desired) - pending)])


def launches_first(group: Record) -> bool:
    """Return whether a group launches before it ends a machine that is too old, by its instance maintenance policy.

    Without one it does both at the same time (rule G11).
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html
    """
    policy = group.get("InstanceMaintenancePolicy") or {}
    return int(policy.get("MinHealthyPercentage", 0)) >= ALL


def launch_first(members: Sequence[Member], leaving: Sequence[str], desired: int, maximum: int) -> Step:
    """Return what a group does next about machines that are to go when their successor is in service.

    `leaving` are those, in their order. The group may exceed its maximum by a tenth of its size, by one at least; a
    machine whose successor finds no capacity stays.
    """
    there = {item.id for item in members}
    begun = {item.id for item in members if item.succeeded}
    # Successors that are still to come take room as well.
    size = max(len(members), desired + len(begun))
    room = max(0, max(maximum, desired) + margin(desired) - size)
    new = [name for name in leaving if name in there and name not in begun][:room]
    successors = sum(item.in_service for item in members if not item.succeeded) - (desired - len(begun))
    ending = [name for name in leaving if name in begun][: max(0, successors)]
    return Step(tuple(new), tuple(ending))
