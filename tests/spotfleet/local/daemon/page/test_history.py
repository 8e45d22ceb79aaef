"""What the live page's charts know of the past."""

import pytest

from spotfleet.local.daemon.page import history
from spotfleet.local.daemon.page.history import History


def test_figures_are_kept_for_a_while_and_then_forgotten() -> None:
    history = History(seconds=10, points=10)
    for moment in range(100, 130):
        history.add(moment, {"rate": moment})
    assert history.kept().as_json() == {"times": list(range(120, 130)), "series": {"rate": list(range(120, 130))}}


def test_of_looks_within_a_step_the_newest_stays() -> None:
    history = History(seconds=100, points=10)
    for moment in (1000.0, 1004.0, 1009.9, 1010.0):
        history.add(moment, {"rate": moment})
    assert history.kept().as_json()["times"] == [1009.9, 1010.0]


def test_what_comes_and_goes_leaves_gaps() -> None:
    history = History(seconds=100, points=100)
    history.add(1, {"services/web/rate": 5, "services/web/p50": None})
    history.add(2, {"services/web/rate": 6, "services/web/p50": 0.1, "services/api/rate": 1})
    history.add(3, {"services/api/rate": 2})
    series = {"services/api/rate": [None, 1, 2], "services/web/p50": [None, 0.1, None]}
    assert history.kept().as_json()["series"] == series | {"services/web/rate": [5, 6, None]}


def test_times_go_forward_even_when_the_clock_was_set_back() -> None:
    history = History(seconds=100, points=100)
    for moment in (50, 51, 20, 21):
        history.add(moment, {"rate": moment})
    assert history.kept().as_json()["times"] == [20, 21]


def test_nothing_is_a_history_too() -> None:
    assert History(seconds=100).kept().as_json() == {"times": [], "series": {}}


@pytest.mark.parametrize(("speed", "seconds"), [("1", 3600), ("10", 360), ("60", 300)])
def test_an_hour_of_aws_is_kept_but_never_less_than_can_be_followed(
    monkeypatch: pytest.MonkeyPatch, speed: str, seconds: float
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    assert history.window() == seconds
