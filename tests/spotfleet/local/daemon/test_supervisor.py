"""The supervisor that keeps controllers going, and AWS's time."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from spotfleet.local.api import embedded_aws
from spotfleet.local.controller import Controller
from spotfleet.local.daemon.supervisor import Supervisor
from spotfleet.local.host import clock
from spotfleet.local.host.console import Failure


class Counting(Controller):
    """Counts its steps and its ends; dies in the steps that a test names."""

    name = "counting"
    interval = 0.001
    made = 0
    closed = 0
    steps = 0
    dies_in: tuple[int, ...] = ()

    def __init__(self) -> None:
        type(self).made += 1

    def step(self) -> None:
        cls = type(self)
        cls.steps += 1
        if cls.steps in cls.dies_in:
            raise RuntimeError(f"step {cls.steps}")

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    """A controller of its own for each test, restarted without a pause."""
    monkeypatch.setattr("spotfleet.local.daemon.supervisor.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("spotfleet.local.daemon.supervisor.LONGEST_PAUSE", 0.001)
    return type("CountingHere", (Counting,), {})


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited 5 s"
        time.sleep(0.002)


def test_a_controller_steps_until_it_is_stopped_and_then_closes(counting: type[Counting]) -> None:
    supervisor = Supervisor([counting])
    assert supervisor.report()[0]["state"] == "starting"
    supervisor.start()
    wait_until(lambda: counting.steps > 3)
    assert supervisor.report()[0] | {"steps": 0, "last_step_seconds": 0} == {
        "name": "counting",
        "state": "running",
        "steps": 0,
        "restarts": 0,
        "last_error": "",
        "last_step_seconds": 0,
    }
    supervisor.stop()
    steps = counting.steps
    time.sleep(0.02)
    assert (counting.steps, counting.made, counting.closed) == (steps, 1, 1)
    assert supervisor.report()[0]["state"] == "stopped"


def test_a_controller_that_dies_is_made_anew_and_says_so(
    counting: type[Counting], caplog: pytest.LogCaptureFixture
) -> None:
    counting.dies_in = (2, 3)
    supervisor = Supervisor([counting])
    with caplog.at_level(logging.WARNING):
        supervisor.start()
        wait_until(lambda: counting.steps > 5)
    supervisor.stop()
    assert counting.made == 3
    assert counting.closed == 1, "what it started goes on while it is made anew"
    report = supervisor.report()[0]
    assert (report["restarts"], report["last_error"]) == (2, "RuntimeError: step 3")
    assert "The controller counting died and starts again: RuntimeError: step 2" in caplog.text


def test_what_a_controller_that_died_has_left_is_ended(
    counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spotfleet.local.daemon.supervisor.FIRST_PAUSE", 5)
    counting.dies_in = (1,)
    supervisor = Supervisor([counting])
    supervisor.start()
    wait_until(lambda: supervisor.report()[0]["state"] == "restarting")
    supervisor.stop()
    assert counting.closed == 1


def test_one_that_cannot_even_be_made_is_tried_again(counting: type[Counting]) -> None:
    def make() -> Controller:
        if not attempts:
            attempts.append(1)
            raise OSError("not yet")
        return counting()

    attempts: list[int] = []
    supervisor = Supervisor([make])
    supervisor.start()
    wait_until(lambda: counting.steps > 0)
    supervisor.stop()
    assert supervisor.report()[0]["restarts"] == 1


def test_a_dying_controller_leaves_the_others_alone(counting: type[Counting]) -> None:
    class Dying(Counting):
        name = "dying"
        dies_in = tuple(range(1000))

    supervisor = Supervisor([Dying, counting])
    supervisor.start()
    wait_until(lambda: counting.steps > 5 and Dying.made > 2)
    supervisor.stop()
    assert [report["restarts"] > 0 for report in supervisor.report()] == [True, False]


def test_a_step_that_does_not_end_is_shown(counting: type[Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotfleet.local.daemon.supervisor.STUCK_SECONDS", 0.01)
    go_on = threading.Event()
    monkeypatch.setattr(counting, "step", lambda _self: go_on.wait(5))
    supervisor = Supervisor([counting])
    supervisor.start()
    wait_until(lambda: supervisor.report()[0]["state"] == "stuck")
    go_on.set()
    supervisor.stop()


def test_an_aws_that_does_not_answer_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_aws, "find", lambda: None)
    with pytest.raises(ConnectionError):
        embedded_aws.regions()
    monkeypatch.setattr(embedded_aws, "find", lambda: {"stacks": [{"region": "b"}, {"region": "a"}] * 2})
    assert embedded_aws.regions() == ["a", "b"]


def test_time_is_divided_by_one_factor_which_is_10_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "1")
    assert (clock.seconds(60), clock.aws_seconds(60), clock.label()) == (60, 60, "AWS's times, real")
    monkeypatch.delenv("LOCAL_SPEED")
    assert (clock.seconds(60), clock.aws_seconds(6)) == (6, 60)
    assert clock.label() == "AWS's times, 10 times faster (LOCAL_SPEED=10; real with LOCAL_SPEED=1)"


@pytest.mark.parametrize("value", ["fast", "0", "-1", "0.5", "61", "nan"])
def test_a_speed_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LOCAL_SPEED", value)
    with pytest.raises(Failure, match=f"LOCAL_SPEED is '{value}': give a number from 1"):
        clock.speed()
