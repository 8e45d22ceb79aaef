"""What is over is forgotten: an embedded AWS that runs all day does not grow."""

import pytest

from spotfleet.local.emulator import retention
from spotfleet.local.emulator.records import Record

NOW = 1_800_000_000.0


def test_points_are_kept_as_long_as_somebody_may_look_back() -> None:
    points = [{"Timestamp": NOW - 10}, {"Timestamp": NOW}, {"Timestamp": NOW + 10}]

    assert retention.recent(points, NOW) == points[1:]


def test_only_tasks_that_stopped_long_ago_go() -> None:
    tasks: dict[str, Record] = {
        "running": {"lastStatus": "RUNNING"},
        "just-stopped": {"lastStatus": "STOPPED", "stoppedAt": NOW + 1},
        "long-gone": {"lastStatus": "STOPPED", "stoppedAt": NOW - 1},
        "long-gone-as-text": {"lastStatus": "STOPPED", "stoppedAt": "2020-01-01T00:00:00+00:00"},
        "without-an-end": {"lastStatus": "STOPPED"},
    }

    assert retention.over(tasks.items(), NOW) == ["long-gone", "long-gone-as-text"]


@pytest.mark.parametrize("stopped", [True, False])
def test_who_stops_a_task_learns_whether_it_did(monkeypatch: pytest.MonkeyPatch, *, stopped: bool) -> None:
    """Who has stopped it stops what is left of its containers."""
    monkeypatch.setattr("ministack.services.ecs._tasks", {})
    assert retention.and_forget_older_ones(lambda *_arguments: stopped, "arn", {}) is stopped
