"""What the embedded AWS makes of a Docker engine that is away, and of containers that are gone."""

import logging
import time
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
