"""Metrics in CloudWatch by the minutes of AWS: what the controllers publish and read.

One AWS minute is `clock.seconds(60)` of the wall clock, so its points are kept with high resolution. What is published
every 20 of AWS's seconds has periods of these instead. Points carry whole seconds, so that some of them fall together
above LOCAL_SPEED=20, and each of their periods then has their average.
"""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from spotfleet.behaviour.delays import FAST_METRIC_PUBLISHED, METRIC_PUBLISHED
from spotfleet.local.api import clients
from spotfleet.local.host import clock, delays

MINUTE = 60
# Units by what a metric's name ends with; what AWS counts in none of them has none.
UNITS = {
    **{"Utilization": "Percent", "Reservation": "Percent", "ResponseTime": "Seconds"},
    **{"Bytes": "Bytes", "NetworkIn": "Bytes", "NetworkOut": "Bytes"},
    **{"Count": "Count", "PerTarget": "Count", "_System": "Count", "_Instance": "Count", "StatusCheckFailed": "Count"},
}
Dimensions = Mapping[str, str]
# Namespace, name and dimensions.
Metric = tuple[str, str, Dimensions]
# CloudWatch takes 1,000 metrics in a call of at most 1 MB, some of which have 100 values, and 500 questions.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
PUT_AT_ONCE = 250
READ_AT_ONCE = 500

# What a thread publishes together, by client and namespace.
Gathered = dict[tuple[clients.Client, str], list[dict[str, Any]]]
_of_thread = threading.local()


def minute(moment: float, unit: int = MINUTE) -> int:
    """Return the number of the AWS minute, or period of `unit` seconds, that a moment (seconds since 1970) is in."""
    return int(moment // clock.seconds(unit))


def end(number: int, unit: int = MINUTE) -> float:
    """Return the moment (seconds since 1970) at which an AWS minute, or period of `unit` seconds, ends."""
    return (number + 1) * clock.seconds(unit)


def newest_readable(metric: Metric, moment: float, unit: int = MINUTE) -> int:
    """Return the newest minute, or period of `unit` seconds, of a metric that AWS lets one read at a moment (rule W1).

    A period is published some time after its end, and never before the one that it follows. What is put into this store
    is there at once: whoever plays a part of AWS's that reads metrics asks here how far.
    """
    delay = METRIC_PUBLISHED if unit >= MINUTE else FAST_METRIC_PUBLISHED
    namespace, name, dimensions = metric
    ended = minute(moment, unit) - 1
    # Whatever was drawn, what ended longer ago has been published.
    first = ended - math.ceil(delay.longest / unit)
    for number in range(first, ended + 1):
        drawn = delays.of(delay, f"{namespace}/{name}/{sorted(dimensions.items())}/{number}")
        if end(number, unit) + clock.seconds(drawn) > moment:
            return number - 1
    return ended


def unit_of(metric: str) -> str:
    """Return the unit in which AWS publishes a metric."""
    return next((unit for ending, unit in UNITS.items() if metric.endswith(ending)), "None")


def publish(
    cloudwatch: clients.Client,
    namespace: str,
    values: Mapping[str, Sequence[float]],
    dimensions: Dimensions,
    number: int,
    *,
    unit: int = MINUTE,
    samples: Mapping[str, float] | None = None,
) -> None:
    """Put the values of metrics, by their name, into one AWS minute, or into one period of `unit` seconds.

    `samples` are how many samples the values of a metric stand for, where they are not all that were taken.
    """
    moment = datetime.fromtimestamp(number * clock.seconds(unit), UTC)
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Timestamp": moment,
            "Values": list(taken),
            "Counts": [(samples or {}).get(name, len(taken)) / len(taken)] * len(taken),
            "Unit": unit_of(name),
            "StorageResolution": 1,
        }
        for name, taken in values.items()
        if taken
    ]
    if not data:
        return
    gathered: Gathered | None = getattr(_of_thread, "gathered", None)
    if gathered is None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    else:
        gathered.setdefault((cloudwatch, namespace), []).extend(data)


@contextmanager
def together() -> Iterator[None]:
    """Send what this thread publishes in the block with its end, in as few calls as CloudWatch takes."""
    gathered: Gathered = {}
    _of_thread.gathered = gathered
    try:
        yield
    finally:
        _of_thread.gathered = None
        for (cloudwatch, namespace), data in gathered.items():
            for first in range(0, len(data), PUT_AT_ONCE):
                cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[first : first + PUT_AT_ONCE])


@dataclass(frozen=True)
class Periods:
    """Which periods of a metric are read: the last `count` up to the AWS minute `last`.

    One is `minutes_each` AWS minutes long, or as many times `unit` seconds, which `last` then counts as well.
    """

    metric: Metric
    statistic: str
    last: int
    count: int
    minutes_each: int = 1
    unit: int = MINUTE

    @property
    def begins(self) -> list[int]:
        """The seconds since 1970 in which each minute of them begins, and the one that follows."""
        first = self.last - self.count * self.minutes_each + 1
        return [_second(number, self.unit) for number in range(first, self.last + 2)]

    @property
    def end(self) -> int:
        """The second that the reading ends before."""
        begins = self.begins
        return max(begins[-1], begins[-2] + 1)


def read(
    cloudwatch: clients.Client,
    metric: Metric,
    statistic: str,
    last: int,
    count: int,
    *,
    minutes_each: int = 1,
    unit: int = MINUTE,
) -> list[float | None]:
    """Return the values of a metric's periods, see `Periods`, oldest first; None where nothing came."""
    return read_all(cloudwatch, [Periods(metric, statistic, last, count, minutes_each, unit)])[0]


def read_all(cloudwatch: clients.Client, wanted: Sequence[Periods]) -> list[list[float | None]]:
    """Return the values of the periods of several metrics, as `read` does, with as few calls as CloudWatch takes."""
    found: list[list[float | None]] = []
    for first in range(0, len(wanted), READ_AT_ONCE):
        part = wanted[first : first + READ_AT_ONCE]
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[_query(f"m{number}", one) for number, one in enumerate(part)],
            StartTime=datetime.fromtimestamp(min(one.begins[0] for one in part), UTC),
            EndTime=datetime.fromtimestamp(max(one.end for one in part), UTC),
        )
        results = {result["Id"]: result for result in answer["MetricDataResults"]}
        found += [_values(one, results[f"m{number}"]) for number, one in enumerate(part)]
    return found


def _query(name: str, one: Periods) -> dict[str, Any]:
    namespace, metric, dimensions = one.metric
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            },
            "Period": 1,
            "Stat": one.statistic,
        },
    }


def _values(one: Periods, result: Mapping[str, Any]) -> list[float | None]:
    points = {
        int(moment.timestamp()): value for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
    }
    periods: list[list[float]] = [[] for _ in range(one.count)]
    for number, (begin, following) in enumerate(pairwise(one.begins)):
        # At least the second in which it begins, which shorter ones share.
        found = [points[second] for second in range(begin, max(following, begin + 1)) if second in points]
        periods[number // one.minutes_each].extend(found)
    return [_together(values, one.statistic) if values else None for values in periods]


def _second(number: int, unit: int) -> int:
    """Return the whole second that the points of a period carry: their moments lose their fraction on the way."""
    return int(datetime.fromtimestamp(number * clock.seconds(unit), UTC).timestamp())


def _together(values: Sequence[float], statistic: str) -> float:
    """Return the statistic of a period from those of its minutes."""
    match statistic:
        case "Sum" | "SampleCount":
            return sum(values)
        case "Minimum":
            return min(values)
        case "Maximum":
            return max(values)
    return sum(values) / len(values)
