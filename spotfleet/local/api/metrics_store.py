"""Metrics in CloudWatch by the minutes of AWS: what the controllers publish and read.

One AWS minute is `clock.seconds(60)` of the wall clock, so its points are kept with high resolution. What is published
every 20 of AWS's seconds has periods of these instead. Points carry whole seconds, so that some of them fall together
above LOCAL_SPEED=20, and each of their periods then has their average.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

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
    if data:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)


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
    """Return a metric's last `count` periods up to the AWS minute `last`, oldest first; None where nothing came.

    A period is `minutes_each` AWS minutes long, or as many times `unit` seconds, which `last` then counts as well.
    """
    namespace, name, dimensions = metric
    first = last - count * minutes_each + 1
    begins = [_second(number, unit) for number in range(first, last + 2)]
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace,
                        "MetricName": name,
                        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                    },
                    "Period": 1,
                    "Stat": statistic,
                },
            }
        ],
        StartTime=datetime.fromtimestamp(begins[0], UTC),
        EndTime=datetime.fromtimestamp(max(begins[-1], begins[-2] + 1), UTC),
    )["MetricDataResults"][0]
    points = {
        int(moment.timestamp()): value for moment, value in zip(answer["Timestamps"], answer["Values"], strict=True)
    }
    periods: list[list[float]] = [[] for _ in range(count)]
    for number, (begin, following) in enumerate(pairwise(begins)):
        # At least the second in which it begins, which shorter ones share.
        found = [points[second] for second in range(begin, max(following, begin + 1)) if second in points]
        periods[number // minutes_each].extend(found)
    return [_together(values, statistic) if values else None for values in periods]


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
