"""What CloudWatch alarms and target tracking decide, on numbers.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Compare = Callable[[float, float], bool]
COMPARISONS: dict[str, Compare] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# What a period without data counts as; without an entry it counts as nothing.
SUBSTITUTES = {"breaching": True, "notBreaching": False}


def alarm_state(alarm: Mapping[str, Any], values: Sequence[float | None]) -> tuple[str, str]:
    """Return the state of an alarm and the reason, from the values of its evaluation periods, oldest first."""
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    threshold, treatment = alarm["Threshold"], alarm.get("TreatMissingData", "missing")
    periods = len(values)
    needed = alarm.get("DatapointsToAlarm") or periods
    if treatment == "ignore" and None in values:
        return alarm["StateValue"], "Missing data is ignored."
    judged = [SUBSTITUTES.get(treatment) if value is None else compare(value, threshold) for value in values]
    breaching = sum(item is True for item in judged)
    shown = ", ".join("no data" if value is None else f"{value:.4g}" for value in values)
    sentence = f"of the last {periods} datapoints [{shown}] was {_words(alarm['ComparisonOperator'])} {threshold:g}"
    if breaching >= needed:
        return "ALARM", f"Threshold Crossed: {breaching} out {sentence}."
    if all(item is None for item in judged):
        return "INSUFFICIENT_DATA", f"Insufficient Data: {periods} datapoints were unknown."
    return "OK", f"Threshold Crossed: only {breaching} out {sentence} (minimum {needed} for ALARM)."


def _words(comparison: str) -> str:
    """Return "greater than" for "GreaterThanThreshold"."""
    bare = comparison.removesuffix("ToThreshold").removesuffix("Threshold")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in bare).strip()


@dataclass(frozen=True)
class Tracked:
    """A policy's metric: its last value and the AWS minute of it, its target, and whether its alarms are in ALARM."""

    policy: str
    value: float | None
    target: float
    high: bool
    low: bool
    can_scale_in: bool = True
    minute: int = 0


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
    """Return how many tasks bring the metric to its target, within the bounds."""
    # A hundredth of a task more is the metric's noise.
    exact = capacity.counted * (tracked.value or 0.0) / tracked.target
    return min(max(math.ceil(exact - 0.01), capacity.minimum), capacity.maximum)
