"""When a CloudWatch alarm is judged, by which data points, and which state they give it (rules W2 to W5).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Compare = Callable[[float, float], bool]
COMPARISONS: dict[str, Compare] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# Seconds between two looks at an alarm, by whether its period is shorter than a minute.
EVERY, EVERY_HIGH_RESOLUTION = 60, 10
MINUTE = 60
# Data points that are fetched beyond the evaluation periods, so that a gap need not count.
FETCHED_BESIDES = 2
MEDIAN = 50.0


def seconds_between_looks(period: int) -> int:
    """Return how often an alarm on periods of so many seconds is judged (rule W2)."""
    return EVERY if period >= MINUTE else EVERY_HIGH_RESOLUTION


def last_look(moment: float, every: float, phase: float) -> float:
    """Return when an alarm was judged last, at a moment at the latest: every `every` seconds, `phase` after whole ones.

    All are in one unit, and moments count from where CloudWatch's minutes begin.
    """
    offset = phase % every
    return math.floor((moment - offset) / every) * every + offset


def fetched_periods(alarm: Mapping[str, Any]) -> int:
    """Return how many periods an alarm looks back over: more than its evaluation periods (rule W3)."""
    return int(alarm["EvaluationPeriods"]) + FETCHED_BESIDES


def samples_needed(statistic: str) -> float:
    """Return how many samples a percentile such as p99 needs to mean something: 1,000 (rule W5)."""
    percentile = float(statistic[1:])
    beyond = 100 - percentile if percentile > MEDIAN else percentile
    return round(1000 / beyond, 6) if beyond else math.inf


def alarm_state(
    alarm: Mapping[str, Any], values: Sequence[float | None], samples: Sequence[float | None] = ()
) -> tuple[str, str]:
    """Return the state of an alarm and the reason, from the values of the periods that it fetched, oldest first.

    `samples` are how many each value was made of; only an alarm on a percentile that ignores few samples asks.
    """
    if any(count is not None and count < samples_needed(alarm["ExtendedStatistic"]) for count in samples):
        return alarm["StateValue"], "Percentiles of a few samples are ignored."
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    periods = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    judged = [None if value is None else compare(value, alarm["Threshold"]) for value in values]
    state = _state(judged, periods, needed, alarm.get("TreatMissingData") or "missing")
    return state or alarm["StateValue"], _reason(alarm, values, judged, needed)


def _state(judged: Sequence[bool | None], periods: int, needed: int, treatment: str) -> str | None:
    """Return the state by rule W3, or None for the one that it has. `judged` tells which periods breach.

    Where enough periods have data the newest of these decide. Where too few have, all that there is counts, and the
    treatment of missing data says what the rest is.
    """
    real = [item for item in judged if item is not None]
    if len(real) >= periods:
        return "ALARM" if sum(real[-periods:]) >= needed else "OK"
    early = len(real) < needed and _breaches_since(judged, needed)
    match treatment:
        case "breaching":
            return "ALARM" if early or sum(real) + periods - len(real) >= needed else "OK"
        case "notBreaching":
            return "ALARM" if sum(real) >= needed else "OK"
        case "ignore" if early or all(real):
            return "ALARM" if sum(real) >= needed else None
        case _ if not real:
            return "INSUFFICIENT_DATA"
    return "ALARM" if early or sum(real) >= needed else "OK"


def _breaches_since(judged: Sequence[bool | None], needed: int) -> bool:
    """Return whether the oldest period that breaches is `needed` periods old, and no newer one is known not to."""
    if True not in judged:
        return False
    since = judged[judged.index(True) :]
    return len(since) >= needed and False not in since


def _reason(
    alarm: Mapping[str, Any], values: Sequence[float | None], judged: Sequence[bool | None], needed: int
) -> str:
    """Return why the alarm has its state, much as CloudWatch words it."""
    periods = int(alarm["EvaluationPeriods"])
    if not any(item is not None for item in judged):
        return f"Insufficient Data: {len(judged)} datapoints were unknown."
    real = [item for item in judged if item is not None][-periods:]
    # As many as are judged, or all that were fetched where some of them have no data.
    shown_values = [value for value in values if value is not None][-periods:] if len(real) == periods else values
    shown = ", ".join("no data" if value is None else f"{value:.4g}" for value in shown_values)
    words = f"{_words(alarm['ComparisonOperator'])} {alarm['Threshold']:g}"
    sentence = f"{sum(real)} of the last {len(shown_values)} datapoints [{shown}] breach: {words}"
    return f"Threshold Crossed: {sentence} ({needed} of {periods} ring)."


def _words(comparison: str) -> str:
    """Return "greater than" for "GreaterThanThreshold"."""
    bare = comparison.removesuffix("ToThreshold").removesuffix("Threshold")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in bare).strip()
