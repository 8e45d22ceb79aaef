"""Metrics in CloudWatch by the minutes of AWS: what the controllers publish and read.

One AWS minute is `clock.seconds(60)` of the wall clock, so its points are kept with high resolution.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from spotfleet.local.api import clients
from spotfleet.local.host import clock

MINUTE = 60
# Units by what a metric's name ends with; what AWS counts in none of them has none.
UNITS = {
    **{"Utilization": "Percent", "Reservation": "Percent", "ResponseTime": "Seconds"},
    **{"Bytes": "Bytes", "NetworkIn": "Bytes", "NetworkOut": "Bytes"},
    **{"Count": "Count", "PerTarget": "Count", "_System": "Count", "_Instance": "Count", "StatusCheckFailed": "Count"},
}
Dimensions = Mapping[str, str]


def minute(moment: float) -> int:
    """Return the number of the AWS minute that a moment (seconds since 1970) is in."""
    return int(moment // clock.seconds(MINUTE))


def end(number: int) -> float:
    """Return the moment (seconds since 1970) at which an AWS minute ends."""
    return (number + 1) * clock.seconds(MINUTE)


def unit(metric: str) -> str:
    """Return the unit in which AWS publishes a metric."""
    return next((unit for ending, unit in UNITS.items() if metric.endswith(ending)), "None")


def publish(
    cloudwatch: clients.Client,
    namespace: str,
    values: Mapping[str, Sequence[float]],
    dimensions: Dimensions,
    number: int,
) -> None:
    """Put the values of metrics, by their name, into one AWS minute."""
    moment = datetime.fromtimestamp(number * clock.seconds(MINUTE), UTC)
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Timestamp": moment,
            "Values": list(samples),
            "Unit": unit(name),
            "StorageResolution": 1,
        }
        for name, samples in values.items()
        if samples
    ]
    if data:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)


def read(
    cloudwatch: clients.Client,
    metric: tuple[str, str, Dimensions],
    statistic: str,
    last: int,
    count: int,
    *,
    minutes_each: int = 1,
) -> list[float | None]:
    """Return a metric's last `count` periods up to the AWS minute `last`, oldest first; None where nothing came.

    `metric` is namespace, name and dimensions. A period is `minutes_each` AWS minutes long.
    """
    namespace, name, dimensions = metric
    length = clock.seconds(MINUTE)
    first = last - count * minutes_each + 1
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
        StartTime=datetime.fromtimestamp(first * length, UTC),
        EndTime=datetime.fromtimestamp((last + 1) * length, UTC),
    )["MetricDataResults"][0]
    periods: list[list[float]] = [[] for _ in range(count)]
    for moment, value in zip(answer["Timestamps"], answer["Values"], strict=True):
        # Half a minute more, because the moment may have lost its fraction on the way.
        number = minute(moment.timestamp() + length / 2)
        if first <= number <= last:
            periods[(number - first) // minutes_each].append(value)
    return [_together(values, statistic) if values else None for values in periods]


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
