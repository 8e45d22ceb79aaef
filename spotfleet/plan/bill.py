"""What an environment costs each month, from nobody using it to all of it at full use, line by line.

Idle it is what docs/settings.md has, unless its fewest tasks need more machines than its fewest. Traffic, logs and all
that is paid by use come on top.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from spotfleet.facts import instance_types
from spotfleet.plan import prices
from spotfleet.plan.prices import Line
from spotfleet.settings.capacity import tasks_per_machine
from spotfleet.settings.environment import Settings
from spotfleet.settings.service import ServiceSettings


@dataclass(frozen=True)
class Bill:
    """Two bills, and what CPU credits add at worst, when every vCPU of the larger one is busy all month.

    `unknown` are the instance types without a price here; then no number is whole.
    """

    idle: tuple[Line, ...]
    full: tuple[Line, ...]
    surplus: tuple[Line, ...]
    unknown: tuple[str, ...] = ()

    @property
    def range(self) -> tuple[float, float, float]:
        """The sums: idle, at full scale, and that with the surplus of credits."""
        full = prices.total([*self.full])
        return prices.total([*self.idle]), full, full + prices.total([*self.surplus])


def of(settings: Settings, services: Collection[ServiceSettings]) -> Bill:
    """Return the bill of an environment with these services."""
    needed = {settings.instance_types[0]} if settings.instance_types else {"types by attributes"}
    if settings.egress == "nat_instance":
        needed.add(settings.nat_instance_type)
    unknown = tuple(sorted(name for name in needed if name not in prices.MACHINE))
    if unknown:
        return Bill((), (), (), unknown)
    idle, full = _fewest(settings, services), settings.max_machines
    return Bill(
        tuple(prices.bill(settings, idle, services)),
        tuple(prices.bill(settings, full, services)),
        tuple(_surplus(settings, full)),
    )


def _fewest(settings: Settings, services: Collection[ServiceSettings]) -> int:
    """Return how many machines run when nobody asks for anything."""
    # Each service's tasks may fill their machines with others' in between, so that together they need no more.
    needed = sum(service.min_tasks / max(1, tasks_per_machine(settings, service)) for service in services)
    return min(settings.max_machines, max(settings.min_machines, math.ceil(needed)))


def _surplus(settings: Settings, machines: int) -> list[Line]:
    """Return what CPU credits add at worst; nothing with standard ones, which slow down instead."""
    first = settings.instance_types[0]
    lines = []
    if settings.cpu_credits == "unlimited" and instance_types.is_burstable(first):
        lines.append(Line(f"surplus CPU credits: {machines} {first}", machines * prices.most_surplus(first)))
    if settings.egress == "nat_instance":
        nat = settings.nat_instance_type
        lines.append(Line(f"surplus CPU credits: NAT instance, {nat}", prices.most_surplus(nat)))
    return [line for line in lines if line.dollars]
