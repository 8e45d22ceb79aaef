"""When a scheduled action is due, and what one of a group sets."""

from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from spotfleet.behaviour.record import Record
from spotfleet.facts import crontab, schedule

# A cron schedule that came due while nothing looked is made up for within this time.
CRON_LOOKBACK = timedelta(hours=1)


def is_due(expression: str, zone: str, created: datetime, last: datetime, now: datetime, speed: float = 1) -> bool:
    """Return whether a schedule fires after `last` and not later than `now`; all moments know their zone.

    A rate's period is a waiting time of AWS, and passes `speed` times faster; at and cron name moments of the
    wall clock.
    Raises ValueError when the expression is none.
    """
    parsed = schedule.parse(expression)
    if isinstance(parsed, datetime):
        return last < parsed.replace(tzinfo=ZoneInfo(zone)) <= now
    if isinstance(parsed, timedelta):
        period = timedelta(seconds=parsed.total_seconds() / speed)
        return (now - created) // period > (last - created) // period
    return _fires(parsed, ZoneInfo(zone), last, now)


def is_action_due(action: Record, last: datetime, now: datetime) -> bool:
    """Return whether a scheduled action of a group, as its API tells it, is due after `last` and not later than `now`.

    It is at its start, and then as often as it recurs, in its time zone and not at its end itself any more (rule G13).
    Raises ValueError when the recurrence is none.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html
    """
    start, end = action.get("StartTime"), action.get("EndTime")
    if end is not None and now >= end:
        return False
    if start is not None and last < start <= now:
        return True
    if not action.get("Recurrence") or (start is not None and now < start):
        return False
    since = max(last, start) if start is not None else last
    return _fires(crontab.parse(action["Recurrence"]), ZoneInfo(action.get("TimeZone", "UTC")), since, now)


def sizes_after(action: Record, group: Record) -> dict[str, int]:
    """Return the sizes of a group after a scheduled action: what it leaves out stays, within the bounds.

    Raises ValueError when they contradict each other.
    """
    least, most = (int(action.get(name, group[name])) for name in ("MinSize", "MaxSize"))
    desired = int(action.get("DesiredCapacity", min(max(group["DesiredCapacity"], least), most)))
    if not least <= desired <= most:
        raise ValueError(
            f"Desired capacity:{desired} must be between the specified min size:{least} and max size:{most}"
        )
    return {"MinSize": least, "MaxSize": most, "DesiredCapacity": desired}


class _Cron(Protocol):
    """A recurrence of one of AWS's two dialects."""

    def fires(self, moment: datetime) -> bool:
        """Return whether it fires in the minute of `moment`."""


def _fires(cron: _Cron, zone: ZoneInfo, last: datetime, now: datetime) -> bool:
    """Return whether a cron expression fires in one of the whole minutes after `last`."""
    moment = max(last, now - CRON_LOOKBACK).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment <= now:
        if cron.fires(moment.astimezone(zone)):
            return True
        moment += timedelta(minutes=1)
    return False
