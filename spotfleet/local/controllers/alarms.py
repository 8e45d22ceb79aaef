"""Alarms change state by their metrics."""

import logging
import time

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.scaling import COMPARISONS, alarm_state
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.clients import pages

logger = logging.getLogger("spotfleet.alarms")


class Alarms(controller.Controller):
    """Gives every metric alarm the state that its metric calls for."""

    name = "alarms"

    def __init__(self) -> None:
        self.interval = controller.pace()

    def step(self) -> None:
        """Judge all alarms by the AWS minutes that have ended."""
        last = metrics_store.minute(time.time()) - 1
        for region in embedded_aws.regions():
            cloudwatch = clients.client("cloudwatch", region)
            for alarm in pages(cloudwatch, "describe_alarms", "MetricAlarms"):
                _judge(cloudwatch, alarm, last)


def _judge(cloudwatch: clients.Client, alarm: Record, last: int) -> None:
    # An alarm on an expression has no metric of its own.
    if "MetricName" not in alarm or alarm["ComparisonOperator"] not in COMPARISONS:
        return
    values, _newest = latest_values(cloudwatch, alarm, last)
    state, reason = alarm_state(alarm, values)
    if state != alarm["StateValue"]:
        logger.info("The alarm %s is %s: %s", alarm["AlarmName"], state, reason)
        cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason=reason)


def latest_values(cloudwatch: clients.Client, alarm: Record, last: int) -> tuple[list[float | None], int]:
    """Return the values of an alarm's periods, and the newest AWS minute of them: `last`, once it has arrived."""
    metric = (alarm["Namespace"], alarm["MetricName"], {item["Name"]: item["Value"] for item in alarm["Dimensions"]})
    # MiniStack says Average as well where an alarm goes by a percentile.
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    minutes_each = max(1, alarm["Period"] // metrics_store.MINUTE)
    count = alarm["EvaluationPeriods"]
    values = metrics_store.read(cloudwatch, metric, statistic, last, count + 1, minutes_each=minutes_each)
    return (values[1:], last) if values[-1] is not None else (values[:-1], last - minutes_each)
