"""When a scheduled action is due."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from spotfleet.facts import schedule

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


def _fires(cron: schedule.Cron, zone: ZoneInfo, last: datetime, now: datetime) -> bool:
    """Return whether a cron expression fires in one of the whole minutes after `last`."""
    moment = max(last, now - CRON_LOOKBACK).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment <= now:
        if cron.fires(moment.astimezone(zone)):
            return True
        moment += timedelta(minutes=1)
    return False
