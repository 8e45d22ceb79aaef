"""Alarms change state by their metrics.

Each is judged every minute of AWS at a second of its own, or every ten seconds, by what can be read then
(rules W1 and W2).
"""

import logging
import time
from collections.abc import Sequence

from spotfleet.behaviour import alarms
from spotfleet.behaviour.delays import ALARM_LOOK
from spotfleet.behaviour.record import Record
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.clients import pages
from spotfleet.local.backchannel import alarm_actions
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.alarms")


class Alarms(controller.Controller):
    """Gives every metric alarm the state that its metric calls for."""

    name = "alarms"

    def __init__(self) -> None:
        self.interval = controller.pace()
        # By region and alarm: when it was judged last.
        self._judged: dict[tuple[str, str], float] = {}

    def step(self) -> None:
        """Judge the alarms whose moment has come."""
        now = time.time()
        seen: dict[tuple[str, str], float] = {}
        for region in embedded_aws.regions():
            cloudwatch = clients.client("cloudwatch", region)
            # An alarm on an expression has no metric of its own.
            described = [
                alarm
                for alarm in pages(cloudwatch, "describe_alarms", "MetricAlarms")
                if "MetricName" in alarm and alarm["ComparisonOperator"] in alarms.COMPARISONS
            ]
            alarm_actions.forget(region, {alarm["AlarmName"] for alarm in described})
            looks = {alarm["AlarmName"]: last_look(region, alarm, now) for alarm in described}
            due = [
                alarm for alarm in described if self._judged.get((region, name := alarm["AlarmName"])) != looks[name]
            ]
            # All of them together: a call costs much more than one more question in it.
            wanted = [_fetched(alarm, looks[alarm["AlarmName"]]) for alarm in due]
            for alarm, periods, values in zip(due, wanted, metrics_store.read_all(cloudwatch, wanted), strict=True):
                _judge(region, cloudwatch, alarm, looks[alarm["AlarmName"]], values, periods.last)
            seen |= {(region, name): look for name, look in looks.items()}
        self._judged = seen


def last_look(region: str, alarm: Record, now: float) -> float:
    """Return the moment, at `now` at the latest, at which AWS judged an alarm last; in seconds since 1970."""
    phase = delays.of(ALARM_LOOK, f"{region}/{alarm['AlarmName']}")
    every = alarms.seconds_between_looks(alarm["Period"])
    return alarms.last_look(now, clock.seconds(every), clock.seconds(phase))


def _judge(
    region: str,
    cloudwatch: clients.Client,
    alarm: Record,
    moment: float,
    values: Sequence[float | None],
    last: int,
) -> None:
    """Give an alarm the state that the values ask for which AWS fetched at a moment, up to the period `last`."""
    samples = _samples(cloudwatch, alarm, last) if alarm.get("EvaluateLowSampleCountPercentile") == "ignore" else []
    state, reason = alarms.alarm_state(alarm, values, samples)
    if state != alarm["StateValue"]:
        logger.info("The alarm %s is %s: %s", alarm["AlarmName"], state, reason)
        cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason=reason)
    alarm_actions.report(region, alarm["AlarmName"], moment, in_alarm=state == "ALARM")


def fetched_values(cloudwatch: clients.Client, alarm: Record, moment: float) -> tuple[list[float | None], int]:
    """Return the values that AWS fetches for an alarm at a moment, oldest first, and the number of the newest period.

    The periods are AWS minutes, or of `unit(alarm)` seconds.
    """
    periods = _fetched(alarm, moment)
    return metrics_store.read_all(cloudwatch, [periods])[0], periods.last


def _fetched(alarm: Record, moment: float) -> metrics_store.Periods:
    # MiniStack says Average as well where an alarm goes by a percentile.
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    return _periods(alarm, statistic, metrics_store.newest_readable(_metric(alarm), moment, unit(alarm)))


def unit(alarm: Record) -> int:
    """Return the seconds in which an alarm's periods are counted: a minute, or a shorter period itself."""
    return min(int(alarm["Period"]), metrics_store.MINUTE)


def _samples(cloudwatch: clients.Client, alarm: Record, last: int) -> list[float | None]:
    """Return how many samples the values of an alarm's periods have, as many as AWS's longer minutes would have."""
    (counts,) = metrics_store.read_all(cloudwatch, [_periods(alarm, "SampleCount", last)])
    return [None if count is None else clock.aws_seconds(count) for count in counts]


def _periods(alarm: Record, statistic: str, last: int) -> metrics_store.Periods:
    count, each = alarms.fetched_periods(alarm), max(1, alarm["Period"] // metrics_store.MINUTE)
    return metrics_store.Periods(_metric(alarm), statistic, last, count, each, unit(alarm))


def _metric(alarm: Record) -> metrics_store.Metric:
    return (alarm["Namespace"], alarm["MetricName"], {item["Name"]: item["Value"] for item in alarm["Dimensions"]})
