"""Tasks end when their containers have, whoever of them is looked after meanwhile."""

import threading
from types import ModuleType
from typing import Any

import pytest


class Tasks:
    """Running tasks, and the containers that an engine runs; None while it does not answer."""

    def __init__(self, emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watch: Any = emulator.task_watch
        self.tasks: dict[str, dict[str, Any]] = {}
        self.running: set[str] | None = set()
        self.looked_at: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        monkeypatch.setattr(self.watch, "_watched", {})
        monkeypatch.setattr(self.watch, "engine_watch", self._engine)
        monkeypatch.setattr(self.watch.ecs, "_tasks", self.tasks)
        monkeypatch.setattr(self.watch.ecs, "_maybe_mark_stopped", self._end)

    def _engine(self) -> Any:  # noqa: ANN401  # the one question that it is asked
        return type("Engine", (), {"running": lambda _self: self.running})()

    def _end(self, task: dict[str, Any], _engine: object) -> None:
        self.looked_at.append(task["taskArn"])
        self.goes_on.wait(10)
        task["lastStatus"] = "STOPPED"

    def start(self, name: str) -> dict[str, Any]:
        task = self.tasks[name] = {"taskArn": name, "lastStatus": "RUNNING", "desiredStatus": "RUNNING"}
        task["_docker_ids"] = [f"{name}-container"]
        self.watch.watch(task, None, "0" * 12, "eu-west-1")
        return task

    def look(self) -> None:
        """Look once, and wait for what that has begun."""
        self.watch.look()
        for thread in threading.enumerate():
            if thread.name.startswith("ecs-watch-"):
                thread.join(10 if self.goes_on.is_set() else 0)


@pytest.fixture
def tasks(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """No task yet."""
    return Tasks(emulator, monkeypatch)


def test_only_a_task_whose_container_does_not_run_is_looked_after(tasks: Tasks) -> None:
    tasks.start("one")
    two = tasks.start("two")
    tasks.running = {"one-container", "two-container", "another's"}
    tasks.look()
    assert tasks.looked_at == []
    tasks.running = {"one-container"}
    tasks.look()
    tasks.look()
    assert tasks.looked_at == ["two"]
    assert two["lastStatus"] == "STOPPED"
    assert set(tasks.watch._watched) == {"one"}


def test_a_task_goes_on_without_a_container_that_has_done_its_work(tasks: Tasks) -> None:
    task = tasks.start("one")
    task |= {"_docker_ids": ["job", "web"], "containers": [{"lastStatus": "STOPPED"}, {"lastStatus": "RUNNING"}]}
    tasks.running = {"web"}
    tasks.look()
    assert tasks.looked_at == []
    tasks.running = set()
    tasks.look()
    assert tasks.looked_at == ["one"]


def test_an_engine_that_does_not_answer_ends_no_task(tasks: Tasks) -> None:
    tasks.start("one")
    tasks.running = None
    tasks.look()
    assert tasks.looked_at == []


def test_a_task_that_takes_long_to_end_holds_up_no_other_one(tasks: Tasks) -> None:
    tasks.start("one")
    tasks.goes_on.clear()
    tasks.look()
    tasks.start("two")
    tasks.look()
    tasks.look()
    assert tasks.looked_at == ["one", "two"]
    tasks.goes_on.set()
    tasks.look()
