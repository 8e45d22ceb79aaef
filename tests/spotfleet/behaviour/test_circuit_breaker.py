"""When a deployment has failed: the worked examples of rules E5, E6 and E7."""

import pytest

from spotfleet.behaviour.circuit_breaker import Failure, bake_seconds, counts, threshold


@pytest.mark.parametrize(("desired", "failures"), [(1, 3), (12, 6), (25, 13), (400, 200), (800, 200)])
def test_half_of_the_tasks_end_a_deployment(desired: int, failures: int) -> None:
    assert threshold({"enable": True}, desired) == failures


@pytest.mark.parametrize(
    ("kind", "value", "failures"),
    [("COUNT", 2, 2), ("UNBOUNDED_PERCENT", 10, 1), ("UNBOUNDED_PERCENT", 80, 8), ("BOUNDED_PERCENT", 80, 8)],
)
def test_the_threshold_can_be_configured(kind: str, value: int, failures: int) -> None:
    assert threshold({"thresholdConfiguration": {"type": kind, "value": value}}, 10) == failures


@pytest.mark.parametrize(
    ("failure", "has_run", "counted"),
    [
        (Failure.START, False, True),
        (Failure.START, True, False),
        (Failure.HEALTH, True, True),
        (Failure.EXIT, False, False),
        (Failure.EXIT, True, False),
    ],
)
def test_a_crash_after_running_is_no_failure(failure: Failure, has_run: bool, counted: bool) -> None:
    assert counts(failure, has_run=has_run) is counted


@pytest.mark.parametrize(
    ("minutes", "windows", "seconds"),
    [(None, [3 * 60, 5 * 60], 300), (None, [], 0), (0, [300], 0), (10, [300], 600)],
)
def test_the_bake_time_follows_from_the_alarms(minutes: float | None, windows: list[float], seconds: float) -> None:
    assert bake_seconds(minutes, windows) == seconds
