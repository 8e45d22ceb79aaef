"""What the embedded AWS makes of a Docker engine that is away, and of containers that are gone."""

import logging
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker.errors
import pytest
import requests

from spotfleet.local.controllers import container_use
from spotfleet.local.host import running_containers
from spotfleet.local.host.running_containers import EngineWatch


class FakeEngine:
    """The Docker SDK's client of an engine that a test takes away."""

    def __init__(self, *running: str) -> None:
        self.present = set(running)
        self.away = False
        self.asked = 0
        self.headers: dict[str, str] = {}
        self.api = self
        # What it tells of as it happens; without, nobody can listen.
        self.happened: queue.Queue[bytes] | None = None

    def close(self) -> None:
        """Close the connection."""

    def events(self, since: int, filters: dict[str, Any]) -> Iterator[bytes]:
        """Tell what happens from now on."""
        assert since <= time.time()
        assert filters["label"] == "mine"
        if self.happened is None:
            raise requests.ConnectionError("no such socket")
        return iter(self.happened.get, b"end")

    def containers(self, filters: dict[str, str]) -> list[dict[str, str]]:
        """List the containers."""
        assert filters == {"label": "mine", "status": "running"}
        # Otherwise an engine that is ending would answer on a connection that it has had.
        assert self.headers == {"Connection": "close"}
        self._answer()
        return [{"Id": name} for name in sorted(self.present)]

    def inspect_container(self, name: str) -> dict[str, str]:
        """Describe a container."""
        self._answer()
        if name not in self.present:
            raise docker.errors.NotFound(name)
        return {"Id": name}

    def stats(self, name: str, **_options: bool) -> dict[str, Any]:
        """Tell what a container uses."""
        self.inspect_container(name)
        return {"memory_stats": {"usage": 1}}

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise requests.ConnectionError("no such socket")


@pytest.fixture
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer hold for longer than the question."""
    monkeypatch.setattr(running_containers, "FRESH_SECONDS", -1)


def test_one_answer_serves_everybody_who_asks_within_a_moment() -> None:
    engine: Any = FakeEngine("a")
    watch = EngineWatch("mine", lambda: engine)
    assert [watch.running() for _ in range(20)] == [{"a"}] * 20
    assert engine.asked == 1


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_engine_that_tells_of_events_is_asked_after_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_containers, "FRESH_SECONDS", 0.02)
    engine: Any = FakeEngine("a")
    happened = engine.happened = queue.Queue()
    watch = EngineWatch("mine", lambda: engine)
    monkeypatch.setattr(running_containers, "SETTLING_SECONDS", 0.5)
    _wait_until(lambda: watch.running() == {"a"} and watch._holds() == running_containers.LONGEST_SECONDS)
    asked = engine.asked
    time.sleep(0.1)
    assert watch.running() == {"a"}
    assert engine.asked == asked, "nothing has happened"

    engine.present = {"a", "b"}
    happened.put(b"start")
    _wait_until(lambda: watch.running() == {"a", "b"})

    # It may list for a moment what was before an event.
    asked = engine.asked
    happened.put(b"die")
    _wait_until(lambda: watch.running() == {"a", "b"} and engine.asked > asked)
    engine.present = {"b"}
    _wait_until(lambda: watch.running() == {"b"})
    engine.present = {"a", "b"}
    happened.put(b"start")
    _wait_until(lambda: watch.running() == {"a", "b"})

    # One that has failed to answer once is asked again.
    engine.away = True
    happened.put(b"die")
    _wait_until(lambda: watch.running() is None)
    engine.away = False
    _wait_until(lambda: watch.running() == {"a", "b"})

    # An engine that ends tells of no more events.
    engine.away, engine.happened = True, None
    happened.put(b"end")
    _wait_until(lambda: watch.running() is None)


@pytest.mark.usefixtures("always_asked")
def test_an_engine_that_is_away_is_told_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture) -> None:
    engine: Any = FakeEngine("a")
    watch = EngineWatch("mine", lambda: engine)
    with caplog.at_level(logging.INFO):
        assert watch.running() == {"a"}
        engine.away = True
        assert [watch.running() for _ in range(5)] == [None] * 5
        engine.away, engine.present = False, set()
        assert [watch.running() for _ in range(5)] == [set()] * 5
    assert [record.message for record in caplog.records] == [
        "The Docker engine does not answer: no task starts or ends until it does (no such socket).",
        "The Docker engine answers again.",
    ]


@pytest.mark.usefixtures("always_asked")
def test_it_is_known_whether_an_engine_was_away_since_a_moment() -> None:
    engine: Any = FakeEngine("a")
    watch = EngineWatch("mine", lambda: engine)
    before = time.time()
    watch.running()
    assert not watch.was_away_after(before)
    engine.away = True
    watch.running()
    engine.away = False
    watch.running()
    assert watch.was_away_after(before)
    assert not watch.was_away_after(time.time() + 1)


def test_only_an_engine_that_answers_knows_that_a_container_is_gone() -> None:
    engine: Any = FakeEngine("a")
    assert [running_containers.is_gone(engine, name) for name in ("a", "b")] == [False, True]
    engine.away = True
    assert not running_containers.is_gone(engine, "b")


def test_metrics_leave_out_what_no_engine_tells() -> None:
    engine: Any = FakeEngine("a")
    tasks = [{"containers": [{"runtimeId": name}]} for name in ("a", "b")]
    reader = container_use.Reader(engine)
    assert set(reader.of_tasks(tasks)) == {"a"}
    engine.away = True
    assert reader.of_tasks(tasks) == {}
