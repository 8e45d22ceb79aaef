"""When alarms are judged and what they make of their data points: AWS's tables and examples (rules T1, W2 to W5)."""

from typing import Any

import pytest

from spotfleet.behaviour import alarms
from spotfleet.behaviour.alarms import alarm_state

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEEPS = "the state that it had"
# Rule W3: `X` breaches, `0` does not, `-` is missing, the newest is on the right; the columns are the treatments.
THREE_OF_THREE = {
    "0 - X - X": ("OK", "OK", "OK", "OK"),
    "0 - - - -": ("OK", "OK", "OK", "OK"),
    "- - - - -": ("INSUFFICIENT_DATA", KEEPS, "ALARM", "OK"),
    "0 X X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "- - X - -": ("ALARM", KEEPS, "ALARM", "OK"),
}
TWO_OF_THREE = {
    "0 - X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 0 X 0 X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 - X - -": ("OK", "OK", "ALARM", "OK"),
    "- - - - 0": ("OK", "OK", "ALARM", "OK"),
    "- - - X -": ("ALARM", KEEPS, "ALARM", "OK"),
}
VALUES = {"X": 99.0, "0": 1.0, "-": None}


def alarm(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # each member has its own type
    """Return an alarm that fires above 70."""
    usual = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 70.0, "EvaluationPeriods": 3}
    return usual | {"StateValue": "OK"} | changes


def state(pattern: str, **changes: Any) -> str:  # noqa: ANN401  # each member has its own type
    """Return what an alarm's state is by a row of the table."""
    return alarm_state(alarm(**changes), [VALUES[letter] for letter in pattern.split()])[0]


@pytest.mark.parametrize("before", ["OK", "ALARM", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize(
    ("needed", "pattern", "treatment", "expected"),
    [
        (needed, pattern, treatment, expected)
        for needed, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
        for pattern, row in table.items()
        for treatment, expected in zip(TREATMENTS, row, strict=True)
    ],
)
def test_missing_data_as_in_awss_table(needed: int, pattern: str, treatment: str, expected: str, before: str) -> None:
    found = state(pattern, DatapointsToAlarm=needed, TreatMissingData=treatment, StateValue=before)

    assert found == (before if expected == KEEPS else expected)


def test_a_metric_that_stops_is_judged_while_its_points_are_in_the_range() -> None:
    """Rule W4: one point at minute 0, then nothing."""
    minutes = ["- - - - X", "- - - X -", "- - X - -", "- X - - -", "X - - - -", "- - - - -"]

    assert [state(pattern, StateValue="INSUFFICIENT_DATA") for pattern in minutes] == [
        *("OK", "OK", "ALARM", "ALARM", "ALARM", "INSUFFICIENT_DATA")
    ]


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        ({}, [0.0, 0.0, 71.0, 80.0, 99.0], "ALARM"),
        ({}, [99.0, 99.0, 71.0, 70.0, 99.0], "OK"),
        ({"DatapointsToAlarm": 2}, [0.0, 0.0, 71.0, 70.0, 99.0], "ALARM"),
        ({"ComparisonOperator": "LessThanOrEqualToThreshold"}, [70.0] * 5, "ALARM"),
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, [70.0] * 5, "ALARM"),
        # Rule T1: target tracking's low alarm at 90 % of a target of 70.
        *[
            (
                {"ComparisonOperator": "LessThanThreshold", "Threshold": 63.0, "EvaluationPeriods": 15},
                [value] * 17,
                then,
            )
            for value, then in ((62.9, "ALARM"), (63.0, "OK"))
        ],
    ],
)
def test_whether_points_breach(changes: dict[str, Any], values: list[float | None], expected: str) -> None:
    assert alarm_state(alarm(**changes), values)[0] == expected


def test_an_alarm_says_why() -> None:
    assert alarm_state(alarm(), [1.0, 71.0, 60.0, None, 80.25])[1] == (
        "Threshold Crossed: 2 of the last 3 datapoints [71, 60, 80.25] breach: greater than 70 (3 of 3 ring)."
    )
    assert "[no data, no data, no data, no data, 71]" in alarm_state(alarm(), [None] * 4 + [71.0])[1]


@pytest.mark.parametrize(("statistic", "samples"), [("p99", 1000), ("p95", 200), ("p90", 100), ("p10", 100)])
def test_how_many_samples_a_percentile_needs(statistic: str, samples: float) -> None:
    assert alarms.samples_needed(statistic) == samples


def test_a_percentile_of_few_samples_rings_unless_they_are_ignored() -> None:
    """Rule W5: 20 requests, one of 3 s, p99 alarm at more than 1 s."""
    slow = alarm(ExtendedStatistic="p99", Threshold=1.0, EvaluationPeriods=1)

    assert alarm_state(slow, [None, None, 3.0])[0] == "ALARM"
    assert alarm_state(slow, [None, None, 3.0], [None, None, 20.0])[0] == "OK"
    assert alarm_state(slow, [None, None, 3.0], [None, None, 1000.0])[0] == "ALARM"
    assert alarm_state(slow | {"StateValue": "ALARM"}, [None, None, 0.1], [None, None, 20.0])[0] == "ALARM"


def test_an_alarm_is_judged_each_minute_at_its_own_second() -> None:
    """Rule W2: a point that becomes readable at 301 changes the state of an alarm with phase :30 at 330."""
    assert alarms.last_look(329.9, 60, 30) == 270
    assert alarms.last_look(330, 60, 30) == 330
    assert alarms.last_look(389.9, 60, 30) == 330
    assert alarms.last_look(29, 60, 30) == -30
    # Of ten seconds the phase is the rest.
    assert alarms.last_look(329.9, 10, 34) == 324


@pytest.mark.parametrize(("period", "seconds"), [(10, 10), (20, 10), (30, 10), (60, 60), (300, 60)])
def test_how_often_an_alarm_is_judged(period: int, seconds: int) -> None:
    assert alarms.seconds_between_looks(period) == seconds
