"""Which alarms a target tracking policy follows."""

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.target_tracking import Tracked
from spotfleet.local.api import clients, metrics_store
from spotfleet.local.controllers.alarms import fetched_values, unit


def tracked_by(cloudwatch: clients.Client, policy: Record, configuration: Record, moment: float) -> Tracked:
    """Return what the alarms and the metric of a target tracking policy say, as AWS reads them at a moment."""
    names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    alarms = {item["AlarmName"]: item for item in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]}
    states = {
        name.rpartition("-Alarm")[2].split("-")[0]: alarms[name]["StateValue"] for name in names if name in alarms
    }
    value, ended = _newest(cloudwatch, alarms[names[0]], moment) if names[0] in alarms else (None, moment)
    return Tracked(
        policy=policy["PolicyName"],
        ended=ended,
        value=value,
        target=configuration["TargetValue"],
        high=states.get("High") == "ALARM",
        low=states.get("Low") == "ALARM",
        can_scale_in=not configuration.get("DisableScaleIn", False),
    )


def _newest(cloudwatch: clients.Client, alarm: Record, moment: float) -> tuple[float | None, float]:
    """Return the newest value of an alarm's metric, and when its period ended."""
    values, last = fetched_values(cloudwatch, alarm, moment)
    each = max(1, alarm["Period"] // metrics_store.MINUTE)
    found = [(value, last - age * each) for age, value in enumerate(reversed(values)) if value is not None]
    value, number = found[0] if found else (None, last)
    return value, metrics_store.end(number, unit(alarm))
