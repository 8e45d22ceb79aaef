"""Of what kind and in which zone an Auto Scaling group launches: decisions only.

Base and share (rules G4 and G10):
https://docs.aws.amazon.com/autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html
Zones (rule G7): https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour.record import Record

ALL = 100  # percent
# By how much a group may exceed its size for a while, where it launches before it ends a machine, and how many it
# replaces at a time: the share of it, and one at least.
MARGIN = 0.10
# How uneven zones may be: one machine more than another is what an odd number comes to.
EVEN = 1


@dataclass(frozen=True)
class Distribution:
    """How many machines are on-demand: the first `base`, and of those above it a share in percent, rounded up."""

    base: int = 0
    percent: int = ALL

    def on_demand(self, total: int) -> int:
        """Return how many of so many machines are on-demand."""
        return min(self.base, total) + math.ceil(max(total - self.base, 0) * self.percent / ALL)


def distribution_of(group: Record) -> Distribution:
    """Return how a group, as Auto Scaling describes it, mixes its machines; all on-demand without a policy."""
    told = (group.get("MixedInstancesPolicy") or {}).get("InstancesDistribution") or {}
    return Distribution(
        int(told.get("OnDemandBaseCapacity", 0)), int(told.get("OnDemandPercentageAboveBaseCapacity", ALL))
    )


def launches(distribution: Distribution, on_demand: int, spot: int, missing: int) -> tuple[int, int]:
    """Return how many on-demand and how many Spot machines a group launches that misses so many.

    `on_demand` and `spot` are its members, those too that go once their successor is there: the kind is decided at the
    launch, and is never changed for want of capacity.
    """
    short = distribution.on_demand(on_demand + spot + missing) - on_demand
    first = max(0, min(short, missing))
    return first, missing - first


def is_spot_to_leave(distribution: Distribution, on_demand: int, spot: int) -> bool:
    """Return whether the next machine to leave is a Spot one: unless more are on-demand than is their share."""
    if not on_demand or not spot:
        return bool(spot)
    return on_demand <= distribution.on_demand(on_demand + spot - 1)


def zones_by_members(zones: Sequence[str], members: Sequence[str]) -> list[str]:
    """Return zones in the order in which a launch tries them: the one with the fewest of the members' zones first."""
    return sorted(zones, key=list(members).count)


def zone_to_relieve(members: Mapping[str, int], launchable: Sequence[str]) -> str | None:
    """Return the zone that has too many machines, or None while none has.

    `members` has the machines of every zone of the group; `launchable` are those where another may come: what finds no
    capacity is not moved.
    """
    fullest = max(members, key=lambda zone: members[zone], default=None)
    if fullest is None or not launchable:
        return None
    emptiest = min(members[zone] for zone in launchable)
    return fullest if members[fullest] - emptiest > EVEN else None


def margin(size: int) -> int:
    """Return by how many machines a group of that size may exceed it for a while."""
    return max(1, math.floor(size * MARGIN))
