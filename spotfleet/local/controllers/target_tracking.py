"""Which alarms a target tracking policy follows."""

import time

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.scaling import Tracked
from spotfleet.local.api import clients, metrics_store
from spotfleet.local.controllers.alarms import latest_values


def tracked_by(cloudwatch: clients.Client, policy: Record, configuration: Record) -> Tracked:
    """Return what the alarms and the metric of a target tracking policy say."""
    names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    alarms = {item["AlarmName"]: item for item in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]}
    states = {
        name.rpartition("-Alarm")[2].split("-")[0]: alarms[name]["StateValue"] for name in names if name in alarms
    }
    last = metrics_store.minute(time.time()) - 1
    values, newest = latest_values(cloudwatch, alarms[names[0]], last) if names[0] in alarms else ([None], last)
    return Tracked(
        policy=policy["PolicyName"],
        minute=newest,
        value=values[-1],
        target=configuration["TargetValue"],
        high=states.get("High") == "ALARM",
        low=states.get("Low") == "ALARM",
        can_scale_in=not configuration.get("DisableScaleIn", False),
    )
