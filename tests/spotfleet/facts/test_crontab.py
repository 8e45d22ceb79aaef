"""Recurrences of a group's scheduled actions, as crontab writes them."""

from datetime import UTC, datetime

import pytest

from spotfleet.facts import crontab

MONDAY = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("30 6 * * *", True),
        ("30 6 * * 1", True),
        ("30 6 * * mon-fri", True),
        ("*/15 * * * *", True),
        ("30 6 2 3 *", True),
        # With both days given one of them is enough.
        ("30 6 13 * MON", True),
        ("30 6 2 * SUN", True),
        ("30 6 13 * SUN", False),
        ("30 6 * * 0,7", False),
        ("0 6 * * *", False),
        ("30 7 * * *", False),
        ("30 6 * 4 *", False),
    ],
)
def test_when_a_recurrence_fires(text: str, fires: bool) -> None:
    assert crontab.parse(text).fires(MONDAY) is fires


def test_sunday_is_0_and_7() -> None:
    sunday = MONDAY.replace(day=1)
    assert all(crontab.parse(f"30 6 * * {day}").fires(sunday) for day in ("0", "7", "SUN"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30 6 * *", "needs 5 fields: minute, hour, day of month, month, day of week"),
        ("60 6 * * *", "'60' is not a minute from 0 to 59"),
        ("30 6 ? * MON", "'[?]' is not a day of month"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        crontab.parse(text)
