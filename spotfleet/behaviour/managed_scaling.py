"""How many machines a capacity provider wants: decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-scaling-behavior.html
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spotfleet.behaviour import placement
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record

# Minutes of CapacityProviderReservation below the target before machines go, and since the last ones came (rule C7).
SCALE_IN_MINUTES = 15
MINUTE = 60
# The tag of a group whose machines it has made more; the value is when it last did, in seconds since 1970.
SCALED_OUT_TAG = "spotfleet:scaled-out"
# With no machine running a scale-out begins with two (rule C3).
FIRST_MACHINES = 2
# What a capacity provider has that does not say (rules C4 and C5).
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-capacityprovider-managedscaling.html
DEFAULT_WARMUP = 300
DEFAULT_MAXIMUM_STEP = 10_000


@dataclass(frozen=True)
class Seen:
    """What managed scaling looks at, once a minute.

    `needed` machines hold all tasks in the newest point of the metric, and `reservations` are its last minutes;
    `youngest` is the age of the newest machine, and `since_scale_out` how long ago managed scaling last asked for one,
    both in AWS's seconds.
    """

    needed: int
    reservations: Sequence[float | None]
    youngest: float = math.inf
    since_scale_out: float = math.inf


def wanted_machines(provider: Record, group: Record, seen: Seen) -> int:
    """Return the number of machines that managed scaling wants now.

    More after one minute above the target capacity, unless a machine is younger than the warm-up (rule C4); step by
    step fewer after fifteen minutes below it (rule C7).
    """
    scaling = provider["autoScalingGroupProvider"].get("managedScaling", {})
    target = int(scaling.get("targetCapacity", placement.FULL_PERCENT))
    desired = int(group["DesiredCapacity"])
    wanted = placement.machines_wanted(seen.needed, target)
    newest = seen.reservations[-1]
    if newest is not None and newest > target and wanted > desired:
        warm = seen.youngest >= int(scaling.get("instanceWarmupPeriod", DEFAULT_WARMUP))
        desired = _more(scaling, desired, wanted) if warm else desired
    elif wanted < desired and _is_quiet(seen, target):
        desired = max(wanted, _fewer(desired))
    return max(min(desired, int(group["MaxSize"])), int(group["MinSize"]))


def _more(scaling: Record, desired: int, wanted: int) -> int:
    step = max(wanted - desired, int(scaling.get("minimumScalingStepSize", 1)))
    if desired == 0:
        step = max(step, FIRST_MACHINES)
    return desired + min(step, int(scaling.get("maximumScalingStepSize", DEFAULT_MAXIMUM_STEP)))


def _is_quiet(seen: Seen, target: int) -> bool:
    last = seen.reservations[-SCALE_IN_MINUTES:]
    below = len(last) == SCALE_IN_MINUTES and all(value is not None and value < target for value in last)
    return below and seen.since_scale_out >= SCALE_IN_MINUTES * MINUTE


def _fewer(desired: int) -> int:
    """Return the size after one minute's scale-in: at least one machine goes, and less than half of them."""
    return desired - max(1, math.ceil(desired / 2) - 1)


def scaled_out_at(group: Record) -> float:
    """Return when managed scaling last asked for more machines of a group, by its tag, in seconds since 1970."""
    return float(next((tag["Value"] for tag in group.get("Tags") or [] if tag["Key"] == SCALED_OUT_TAG), 0))


def protects_tasks(provider: Record) -> bool:
    """Return whether managed termination protection keeps the group from ending a machine with tasks (rule C8).

    Without it the group's own termination policy chooses, which does not look at tasks.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-termination-protection.html
    """
    return bool(provider["autoScalingGroupProvider"].get("managedTerminationProtection") == "ENABLED")


def surplus(machines: Iterable[Machine], count: int, on_demand_base: int) -> list[Machine]:
    """Return up to `count` machines that may go: empty, Spot first, then the newest, never of the on-demand base."""
    staying = [machine for machine in machines if not machine.leaving]
    spare_on_demand = sum(not machine.spot for machine in staying) - on_demand_base
    empty = sorted((item for item in staying if item.empty), key=lambda item: (not item.spot, -item.launched))
    spot = [machine for machine in empty if machine.spot]
    on_demand = [machine for machine in empty if not machine.spot][: max(0, spare_on_demand)]
    return (spot + on_demand)[:count]
