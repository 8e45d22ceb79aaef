"""Schedules of Application Auto Scaling in AWS's dialect: at(...), rate(...) and cron(...).

https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

EXPRESSION = re.compile(r"(?P<kind>at|rate|cron)\((?P<value>.+)\)")
AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
RATE = re.compile(r"(?P<number>[1-9]\d*) (?P<unit>minute|hour|day)s?")
# What a cron expression says of a day besides numbers: the last one (of a month, or of its Fridays), the working day
# nearest to one, and the second Friday of a month.
LAST_DAY = re.compile(r"L(-(?P<before>\d+))?(?P<working>W)?")
WORKING_DAY = re.compile(r"(?P<day>\d+)W")
LAST_WEEKDAY = re.compile(r"(?P<day>\w+)L")
NTH_WEEKDAY = re.compile(r"(?P<day>\w+)#(?P<nth>[1-5])")


@dataclass(frozen=True)
class Field:
    """A field of a cron expression: its bounds and the names that numbers from the first on have."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MINUTES = Field("minute", 0, 59)
HOURS = Field("hour", 0, 23)
DAY = Field("day of month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of week", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
YEAR = Field("year", 1970, 2199)
FIELDS = (MINUTES, HOURS, DAY, MONTH, WEEKDAY, YEAR)


@dataclass(frozen=True)
class Cron:
    """A cron expression. `day` and `weekday` are as written, the others the numbers that they hold."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day: str
    months: frozenset[int]
    weekday: str
    years: frozenset[int]

    def fires(self, moment: datetime) -> bool:
        """Return whether it fires in the minute of `moment`, which is in the schedule's time zone."""
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and moment.year in self.years
            and _day_holds(self.day, moment.date())
            and _weekday_holds(self.weekday, moment.date())
        )


def parse(expression: str) -> datetime | timedelta | Cron:
    """Return the moment of an at(), the period of a rate(), or a cron(); moments are in the schedule's time zone.

    Raises ValueError with a sentence for a person when it is none of them.
    """
    match = EXPRESSION.fullmatch(expression.strip())
    if not match:
        raise ValueError(f"{expression!r} is not an at(), rate() or cron() expression")
    value = match["value"].strip()
    if match["kind"] == "at":
        return _moment(value)
    return _period(value) if match["kind"] == "rate" else _cron(value)


def _moment(value: str) -> datetime:
    if not AT.fullmatch(value):
        raise ValueError(f"at({value}) is not a moment such as at(2026-12-31T20:00:00)")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"at({value}): {error}") from error


def _period(value: str) -> timedelta:
    match = RATE.fullmatch(value)
    if not match:
        raise ValueError(f"rate({value}) is not a rate such as rate(5 minutes)")
    return timedelta(**{f"{match['unit']}s": int(match["number"])})


def _cron(value: str) -> Cron:
    fields = value.split()
    if len(fields) != len(FIELDS):
        raise ValueError(f"cron({value}) needs {len(FIELDS)} fields: {', '.join(field.name for field in FIELDS)}")
    minutes, hours, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ValueError(f"cron({value}) needs a ? as its day of month or as its day of week, and not as both")
    _check_day(day)
    _check_weekday(weekday)
    return Cron(
        numbers(minutes, MINUTES),
        numbers(hours, HOURS),
        day,
        numbers(month, MONTH),
        weekday,
        numbers(year, YEAR),
    )


def numbers(text: str, field: Field) -> frozenset[int]:
    """Return the numbers that a field (5, 1-5, FRI-MON, 0/10, 1,3 or *) holds."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step) > 0):
            raise ValueError(f"{part!r} is not a {field.name}: {step!r} is not a step")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = field.first, field.last
        else:
            low = _number(first, field)
            high = _number(last, field) if dash else (field.last if slash else low)
        # A range may go past the end, as FRI-MON does.
        numbers = [*range(low, high + 1)] or [*range(low, field.last + 1), *range(field.first, high + 1)]
        found.update(numbers[:: int(step) if slash else 1])
    return frozenset(found)


def _number(text: str, field: Field) -> int:
    number = field.names.index(text.upper()) + field.first if text.upper() in field.names else text
    if not (str(number).isdigit() and field.first <= int(number) <= field.last):
        raise ValueError(f"{text!r} is not a {field.name} from {field.first} to {field.last}")
    return int(number)


def _check_day(text: str) -> None:
    working = WORKING_DAY.fullmatch(text)
    if text != "?" and not LAST_DAY.fullmatch(text):
        numbers(working["day"] if working else text, DAY)


def _check_weekday(text: str) -> None:
    of_month = LAST_WEEKDAY.fullmatch(text) or NTH_WEEKDAY.fullmatch(text)
    if text not in ("?", "L"):
        numbers(of_month["day"] if of_month else text, WEEKDAY)


def _day_holds(text: str, day: date) -> bool:
    if text == "?":
        return True
    last = calendar.monthrange(day.year, day.month)[1]
    if match := LAST_DAY.fullmatch(text):
        wanted = max(1, last - int(match["before"] or 0))
        return day.day == (_nearest_working_day(day.replace(day=wanted), last) if match["working"] else wanted)
    if match := WORKING_DAY.fullmatch(text):
        return day.day == _nearest_working_day(day.replace(day=min(int(match["day"]), last)), last)
    return day.day in numbers(text, DAY)


def _nearest_working_day(day: date, last: int) -> int:
    """Return the day from Monday to Friday that is nearest to a day, and in the same month."""
    if day.weekday() == calendar.SATURDAY:
        return day.day - 1 if day.day > 1 else day.day + 2
    if day.weekday() == calendar.SUNDAY:
        return day.day + 1 if day.day < last else day.day - 2
    return day.day


def _weekday_holds(text: str, day: date) -> bool:
    # AWS counts from Sunday, 1.
    weekday = day.isoweekday() % 7 + 1
    if text == "?":
        return True
    if text == "L":
        return weekday == WEEKDAY.last
    if match := NTH_WEEKDAY.fullmatch(text):
        return weekday == _number(match["day"], WEEKDAY) and (day.day - 1) // 7 + 1 == int(match["nth"])
    if match := LAST_WEEKDAY.fullmatch(text):
        last_week = day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        return weekday == _number(match["day"], WEEKDAY) and last_week
    return weekday in numbers(text, WEEKDAY)
