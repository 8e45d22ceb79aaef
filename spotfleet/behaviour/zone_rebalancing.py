"""Where a steady service has too few of its tasks. Decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html (rule E12)
"""

from collections.abc import Mapping, Sequence

from spotfleet.behaviour.placement import FULL_PERCENT, ZONE


def is_on(setting: str | None, strategies: Sequence[Mapping[str, str]], maximum_percent: int) -> bool:
    """Return whether ECS evens a service's zones out: where nothing is said, since 5 September 2025, it does.

    It needs room for one task more, and zones as the first strategy, which is also what no strategy means.
    """
    zones_first = not strategies or strategies[0] == {"type": "spread", "field": ZONE}
    return setting in (None, "ENABLED") and zones_first and maximum_percent > FULL_PERCENT


def zone_to_fill(tasks: Mapping[str, int]) -> str | None:
    """Return the zone in which one task more starts, or None while they are even; `tasks` are the tasks by zone.

    Only zones with machines count: ECS adds no machine for it. The task that leaves is scale-in's, of the fullest zone.
    """
    if not tasks or max(tasks.values()) - min(tasks.values()) <= 1:
        return None
    return min(sorted(tasks), key=lambda zone: tasks[zone])
