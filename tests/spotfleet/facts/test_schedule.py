"""Schedules of Application Auto Scaling, as AWS reads them."""

from datetime import datetime, timedelta

import pytest

from spotfleet.facts import schedule


@pytest.mark.parametrize(
    ("fields", "moment", "fires"),
    [
        ("0 12 * * ? *", "2026-03-02T12:00", True),
        ("0 12 * * ? *", "2026-03-02T12:01", False),
        ("0 12 ? * MON-FRI *", "2026-03-02T12:00", True),
        ("0 12 ? * 1,7 *", "2026-03-02T12:00", False),
        ("*/15 10-13 2 MAR ? 2026", "2026-03-02T12:45", True),
        ("5/5 12 * * ? *", "2026-03-02T12:00", False),
        ("5/5 12 * * ? *", "2026-03-02T12:10", True),
        ("0 12 * * ? 2027", "2026-03-02T12:00", False),
        # Days and months are counted from 1.
        ("0 0 */2 * ? *", "2026-03-01T00:00", True),
        ("0 0 */2 * ? *", "2026-03-02T00:00", False),
        ("0 0 1 */3 ? *", "2026-04-01T00:00", True),
        # Ranges may go past the end.
        ("0 0 ? * FRI-MON *", "2026-03-01T00:00", True),
        ("0 0 ? * FRI-MON *", "2026-03-04T00:00", False),
        ("0 22-2 * * ? *", "2026-03-04T01:00", True),
        ("0 22-2 * * ? *", "2026-03-04T03:00", False),
        # The last day, the one three before it, and the last working one: 28 February 2026 is a Saturday.
        ("0 20 L * ? *", "2026-02-28T20:00", True),
        ("0 20 L * ? *", "2026-02-27T20:00", False),
        ("0 20 L-3 * ? *", "2026-02-25T20:00", True),
        ("0 20 LW * ? *", "2026-02-27T20:00", True),
        # The working day nearest to the 15th, a Sunday, and to the 1st, a Sunday as well, and a Saturday.
        ("0 20 15W * ? *", "2026-02-16T20:00", True),
        ("0 20 15W * ? *", "2026-02-15T20:00", False),
        ("0 20 1W * ? *", "2026-02-02T20:00", True),
        ("0 20 1W * ? *", "2026-08-03T20:00", True),
        # The last Friday, the second Friday, and every Saturday.
        ("0 20 ? * 6L *", "2026-02-27T20:00", True),
        ("0 20 ? * FRIL *", "2026-02-20T20:00", False),
        ("0 20 ? * FRI#2 *", "2026-02-13T20:00", True),
        ("0 20 ? * 6#2 *", "2026-02-20T20:00", False),
        ("0 20 ? * L *", "2026-02-28T20:00", True),
    ],
)
def test_cron(fields: str, moment: str, fires: bool) -> None:
    cron = schedule.parse(f"cron({fields})")
    assert isinstance(cron, schedule.Cron)
    assert cron.fires(datetime.fromisoformat(moment)) is fires


def test_at_and_rate() -> None:
    assert schedule.parse("at(2026-03-02T12:00:15)") == datetime.fromisoformat("2026-03-02T12:00:15")
    assert schedule.parse("rate(1 minute)") == timedelta(minutes=1)
    assert schedule.parse("rate(12 hours)") == timedelta(hours=12)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tomorrow", "is not an at(), rate() or cron() expression"),
        ("cron(0 12 * *)", "needs 6 fields: minute, hour, day of month, month, day of week, year"),
        ("cron(0 20 * * * *)", "needs a ? as its day of month or as its day of week"),
        ("cron(0 20 ? * ? *)", "needs a ? as its day of month or as its day of week"),
        ("cron(60 20 * * ? *)", "'60' is not a minute from 0 to 59"),
        ("cron(0 20 32 * ? *)", "'32' is not a day of month"),
        ("cron(0 20 * FOO ? *)", "'FOO' is not a month"),
        ("cron(0 20 ? * 0 *)", "'0' is not a day of week from 1 to 7"),
        ("cron(0 20 ? * MON#6 *)", "is not a day of week"),
        ("cron(0/0 20 * * ? *)", "'0' is not a step"),
        ("rate(five minutes)", "is not a rate such as rate(5 minutes)"),
        ("rate(0 minutes)", "is not a rate"),
        ("at(20:00)", "is not a moment such as"),
        ("at(2026-13-01T20:00:00)", "month must be in 1..12"),
    ],
)
def test_what_is_no_schedule_is_said(expression: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the words are checked below, they hold brackets
        schedule.parse(expression)
    assert words in str(refused.value)
