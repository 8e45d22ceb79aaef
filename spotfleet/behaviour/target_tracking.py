"""What target tracking decides, on numbers (rules T1, T3 to T5, T7, T8 and T10).

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Of a task: 2 tasks at 70 % of 70 % are two, whatever floating point makes of it.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Tracked:
    """A policy's metric: its newest value and when its period ended, its target, and whether its alarms are in ALARM.

    `ended` is in seconds since 1970.
    """

    policy: str
    value: float | None
    target: float
    high: bool
    low: bool
    can_scale_in: bool = True
    ended: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """The tasks of a service. `counted` of them made the metric, or ran before a cooldown began."""

    desired: int
    counted: int
    minimum: int
    maximum: int


def track(capacity: Capacity, tracked: Sequence[Tracked]) -> tuple[int, Tracked] | None:
    """Return the desired count that target tracking wants and the policy that decides, or None when all stays.

    Out in proportion to the metric as soon as one policy asks; in only when every policy that may agrees.
    """
    out = [(wanted_count(capacity, item), item) for item in tracked if item.high and item.value is not None]
    if out:
        wanted, policy = max(out, key=lambda item: item[0])
        return (wanted, policy) if wanted > capacity.desired else None
    scaling_in = [item for item in tracked if item.can_scale_in]
    if scaling_in and all(item.low and item.value is not None for item in scaling_in):
        wanted, policy = max(((wanted_count(capacity, item), item) for item in scaling_in), key=lambda item: item[0])
        return (wanted, policy) if wanted < capacity.desired else None
    return None


def wanted_count(capacity: Capacity, tracked: Tracked) -> int:
    """Return how many tasks bring the metric to its target, within the bounds: the next whole number up (rule T3).

    AWS's formula has no tolerance. From nothing the first step is one task, because nothing tells the load (rule T10).
    """
    exact = capacity.counted * (tracked.value or 0.0) / tracked.target
    first = 1 if tracked.high and not capacity.counted else 0
    return min(max(math.ceil(exact - ROUNDING), first, capacity.minimum), capacity.maximum)


@dataclass(frozen=True)
class Change:
    """A change of a target's capacity, at a moment in seconds since 1970."""

    moment: float
    before: int
    after: int


def counted_tasks(
    measured: int, desired: int, changes: Iterable[Change], data_ended: float, cooling_since: float
) -> int:
    """Return of how many tasks a decision is the multiple: those that made the metric (rules T3 and T8).

    `measured` of them ran when the metric's data ended and run still. Those that scaling has taken away since made it
    too. What it added after `cooling_since`, when a scale-out cooldown that lasts now would have begun, counts as part
    of the answer to what the metric asks for (rule T5), as do tasks that still start.
    """
    changes = list(changes)
    taken = [item.before for item in changes if item.after < item.before and item.moment >= data_ended]
    if taken:
        return max(measured, *taken)
    added = [item.before for item in changes if item.after > item.before and item.moment > cooling_since]
    return min([min(measured, desired), *added]) if measured else desired


def scale_in_waits(changes: Iterable[Change], cooling_since: float) -> bool:
    """Return whether a scale-in cooldown holds: it begins with a scale-in, and a scale-out ends it (rule T5).

    `cooling_since` is when a cooldown that lasts now would have begun.
    """
    recent = max((item for item in changes if item.moment > cooling_since), key=lambda item: item.moment, default=None)
    return recent is not None and recent.after < recent.before
