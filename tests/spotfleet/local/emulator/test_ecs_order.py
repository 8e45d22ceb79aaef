"""The agent starts and stops the containers of a task in their order."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import docker.errors
import pytest


@pytest.fixture
def order(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The emulator's part of it, which sleeps as a test says."""
    module: ModuleType = emulator.ecs_order
    monkeypatch.setenv("LOCAL_SPEED", "1")
    return module


WEB = {"name": "web", "dependsOn": [{"containerName": "job", "condition": "SUCCESS"}]}
JOB = {"name": "job", "essential": False, "startTimeout": 120}


class Engine:
    """A Docker engine with containers in the states that a test gives, each as Docker has it, by their ids."""

    def __init__(self, **states: dict[str, Any]) -> None:
        self.states = states
        self.containers = self

    def get(self, name: str) -> SimpleNamespace:
        """Return a container."""
        if name not in self.states:
            raise docker.errors.NotFound(name)
        return SimpleNamespace(attrs={"State": self.states[name]})

    def running(self) -> set[str]:
        """Answer as host.running_containers does."""
        return {name for name, state in self.states.items() if state["Status"] == "running"}


RUNS = {"Status": "running", "ExitCode": 0}


def ended(code: int) -> dict[str, Any]:
    """Return the state of a container that has ended."""
    return {"Status": "exited", "ExitCode": code}


@pytest.fixture
def task(order: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A task whose container "job" has been started, for which "web" waits."""
    found: dict[str, Any] = {"taskArn": "t", "taskDefinitionArn": "web:1", "lastStatus": "ACTIVATING"}
    found |= {"containers": [{"name": "web"}, {"name": "job"}], "_docker_ids": ["id"], "desiredStatus": "RUNNING"}
    definition = {"containerDefinitions": [WEB, JOB]}
    ordered = order.in_order_of_start(found, definition)
    assert [item["name"] for item in ordered["containerDefinitions"]] == ["job", "web"]
    monkeypatch.setitem(order.ecs._tasks, "t", found)
    monkeypatch.setitem(order.ecs._task_defs, "web:1", definition)
    return found


def test_a_task_lists_its_containers_as_they_start(order: ModuleType, task: dict[str, Any]) -> None:
    assert [item["name"] for item in task["containers"]] == ["job", "web"]
    assert task["_container_essentials"] == [False, True]
    assert order.started_containers(task) == {"job": "id"}


def test_whoever_reads_its_containers_meanwhile_finds_all_of_them(order: ModuleType) -> None:
    listed: list[dict[str, Any]] = [{"name": "web"}, {"name": "job"}]
    task: dict[str, Any] = {"containers": listed}
    order.in_order_of_start(task, {"containerDefinitions": [WEB, JOB]})
    assert task["containers"] == [{"name": "job"}, {"name": "web"}]
    assert listed == [{"name": "web"}, {"name": "job"}]


def waits(order: ModuleType, monkeypatch: pytest.MonkeyPatch, engine: Engine, after: Callable[[], None]) -> list[float]:
    """Let time pass by itself, half a minute a look; return the looks' distances."""
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += 30
        after()

    monkeypatch.setattr(order.time, "sleep", sleep)
    monkeypatch.setattr(order.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(order, "engine_watch", lambda: engine)
    return slept


def test_a_container_starts_when_the_other_one_has_succeeded(
    order: ModuleType, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(id=RUNS)
    looks = waits(order, monkeypatch, engine, lambda: engine.states.update(id=ended(0)))
    order.wait_for_others(task, WEB, engine)
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("states", "words"),
    [({"id": ended(3)}, "job of container web will not be SUCCESS"), ({"id": RUNS}, "timed out after 120 s")],
)
def test_what_a_container_waits_for_in_vain_ends_its_task(
    order: ModuleType,
    task: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, dict[str, Any]],
    words: str,
) -> None:
    engine = Engine(**states)
    waits(order, monkeypatch, engine, lambda: None)
    with pytest.raises(order.UnmetDependencyError, match=words):
        order.wait_for_others(task, WEB, engine)


def test_an_essential_container_that_ends_meanwhile_ends_the_task(
    order: ModuleType, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(id=RUNS, side=ended(1))
    waits(order, monkeypatch, engine, lambda: None)
    task |= {"containers": [*task["containers"][:1], {"name": "side"}, {"name": "web"}]}
    task |= {"_docker_ids": ["id", "side"], "_container_essentials": [False, True, True]}
    with pytest.raises(order.UnmetDependencyError, match="Essential container in task exited"):
        order.wait_for_others(task, WEB, engine)


def test_nobody_waits_for_a_task_that_is_stopped(
    order: ModuleType, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(id=RUNS)
    looks = waits(order, monkeypatch, engine, lambda: task.update(desiredStatus="STOPPED"))
    order.wait_for_others(task, WEB, engine)
    assert len(looks) == 1


def test_containers_stop_in_the_reverse_order_and_none_is_left(
    order: ModuleType, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task |= {"_docker_ids": ["job", "web"], "lastStatus": "STOPPED"}
    engine, stopped = Engine(job=RUNS, web=RUNS), []
    monkeypatch.setattr(order, "engine_watch", lambda: engine)
    monkeypatch.setattr(order.ecs, "_remove_docker_container", lambda _engine, name: stopped.append(name))
    # MiniStack leaves what runs when an essential container has ended: it gives no engine then.
    monkeypatch.setattr(order.ecs, "_get_docker", lambda: engine)
    order.stopping_in_order(lambda *_arguments: stopped.append("the rest"), task, None)
    assert stopped == ["web", "job", "the rest"]
