"""Recurrences of an Auto Scaling group's scheduled actions, as crontab writes them: five fields, not AWS's own six.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html
"""

from dataclasses import dataclass
from datetime import datetime

from spotfleet.facts import schedule
from spotfleet.facts.schedule import DAY, HOURS, MINUTES, MONTH, Field

# From Sunday, 0, which 7 is as well.
WEEKDAY = Field("day of week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
FIELDS = (MINUTES, HOURS, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True)
class Crontab:
    """A recurrence; a day has to hold where only one of its two fields says something, else one of both is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def fires(self, moment: datetime) -> bool:
        """Return whether it fires in the minute of `moment`, which is in the action's time zone."""
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and (day and weekday if self.any_day or self.any_weekday else day or weekday)
        )


def parse(text: str) -> Crontab:
    """Return a recurrence. Raises ValueError with a sentence for a person when it is none."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        names = ", ".join(field.name for field in FIELDS)
        raise ValueError(f"{text!r} needs {len(FIELDS)} fields: {names}")
    minutes, hours, days, months, weekdays = (
        schedule.numbers(value, field) for value, field in zip(fields, FIELDS, strict=True)
    )
    weekdays = frozenset(weekday % 7 for weekday in weekdays)
    return Crontab(minutes, hours, days, months, weekdays, fields[2] == "*", fields[4] == "*")
