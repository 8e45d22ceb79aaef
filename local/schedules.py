"""When a scheduled action is due: at(...), rate(...) and cron(...) expressions.

https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html
"""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from local import clock

EXPRESSION = re.compile(r"^(?P<kind>at|rate|cron)\((?P<value>.+)\)$")
RATE = re.compile(r"^(?P<number>\d+) (?P<unit>minute|hour|day)s?$")
UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Cron counts the days of the week from Sunday, 1.
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
CRON_FIELDS = 6


def is_due(expression: str, zone: str, created: datetime, last: datetime, now: datetime) -> bool:
    """Tell whether a schedule fires after `last` and not later than `now`; all moments know their zone.

    A rate's period is a waiting time of AWS, so it follows LOCAL_SPEED; at and cron name moments of the wall clock.
    Raises ValueError when the expression is none.
    """
    match = EXPRESSION.match(expression.strip())
    if not match:
        raise ValueError(f"{expression!r} is not an at(), rate() or cron() expression")
    if match["kind"] == "at":
        moment = datetime.fromisoformat(match["value"]).replace(tzinfo=ZoneInfo(zone))
        return last < moment <= now
    if match["kind"] == "rate":
        period = _period(match["value"])
        return (now - created) // period > (last - created) // period
    return _cron_fires(match["value"], zone, last, now)


def _period(value: str) -> timedelta:
    match = RATE.match(value.strip())
    if not match:
        raise ValueError(f"{value!r} is not a rate such as 5 minutes")
    return timedelta(seconds=clock.seconds(int(match["number"]) * UNIT_SECONDS[match["unit"]]))


def _cron_fires(value: str, zone: str, last: datetime, now: datetime) -> bool:
    fields = value.split()
    if len(fields) != CRON_FIELDS:
        raise ValueError(f"cron({value}) needs {CRON_FIELDS} fields: minutes, hours, day, month, weekday, year")
    # The whole minutes after the last look; one that starts late does not make up for more than an hour.
    moment = max(last, now - timedelta(hours=1)).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment <= now:
        if _matches(fields, moment.astimezone(ZoneInfo(zone))):
            return True
        moment += timedelta(minutes=1)
    return False


def _matches(fields: list[str], moment: datetime) -> bool:
    minutes, hours, day, month, weekday, year = fields
    return (
        _holds(minutes, moment.minute)
        and _holds(hours, moment.hour)
        and _holds(day, moment.day)
        and _holds(month, moment.month, MONTHS)
        and _holds(weekday, moment.isoweekday() % 7 + 1, DAYS)
        and _holds(year, moment.year)
    )


def _holds(field: str, value: int, names: tuple[str, ...] = ()) -> bool:
    """Tell whether a field (5, 1-5, */10, MON-FRI, 1,3, * or ?) holds a value."""
    return any(_part_holds(part, value, names) for part in field.split(","))


def _part_holds(part: str, value: int, names: tuple[str, ...]) -> bool:
    span, _, step = part.partition("/")
    first, _, last = span.partition("-")
    if first in ("*", "?"):
        return value % int(step or 1) == 0
    start = _number(first, names)
    end = _number(last, names) if last else (value if step else start)
    return start <= value <= end and (value - start) % int(step or 1) == 0


def _number(text: str, names: tuple[str, ...]) -> int:
    return names.index(text.upper()) + 1 if text.upper() in names else int(text)
