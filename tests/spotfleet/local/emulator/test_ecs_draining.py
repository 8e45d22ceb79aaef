"""A task leaves its load balancer before it gets SIGTERM (rule E15)."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def leaving(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a clock that goes on when it waits, and a delay of 30 s."""
    module: ModuleType = emulator.ecs_draining
    clock = SimpleNamespace(now=0.0)
    clock.time = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "deregistration_delay", lambda _group: 30.0)
    monkeypatch.setattr(module, "_count_again", lambda _task: None)
    monkeypatch.setattr(module, "_service_ends", lambda _task: False)
    monkeypatch.setattr(module.target_health, "is_idle", lambda *_item: True)
    monkeypatch.setattr(module.ecs, "_get_docker", lambda: None)
    return module


@pytest.mark.parametrize(("groups", "seconds"), [([("group", "target")], 30), ([], 0)])
def test_sigterm_comes_after_the_whole_delay_of_an_idle_target(
    leaving: ModuleType, monkeypatch: pytest.MonkeyPatch, groups: list[Any], seconds: int
) -> None:
    signalled: list[tuple[float, str]] = []
    note = lambda task, _engine: signalled.append((leaving.time.now, task["lastStatus"]))  # noqa: E731
    monkeypatch.setattr(leaving.ecs, "_cleanup_task_resources", note)
    task: dict[str, Any] = {"taskArn": "one", "lastStatus": "DEACTIVATING", "containers": [{}]}
    leaving._leave(task, groups)
    ((moment, status),) = signalled
    assert seconds <= moment < seconds + 0.2
    assert (status, task["lastStatus"]) == ("STOPPING", "STOPPED")


@pytest.mark.parametrize(
    ("code", "told"), [("", "UserInitiated"), ("ServiceSchedulerInitiated", "ServiceSchedulerInitiated")]
)
def test_a_task_tells_who_has_stopped_it(
    leaving: ModuleType, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    task: dict[str, Any] = {"taskArn": "one", "lastStatus": "RUNNING", "stopCode": code, "containers": []}
    monkeypatch.setattr(leaving.ecs, "_resolve_cluster_name", lambda name: name)
    monkeypatch.setattr(leaving.ecs, "_resolve_task", lambda _name, _cluster: task)
    monkeypatch.setattr(leaving, "groups_of", lambda _task: [])
    monkeypatch.setattr(leaving, "spawn_background", lambda *_work, **_name: None)
    status, _headers, _body = leaving.after_deregistration(pytest.fail, {"task": "one", "cluster": "c"})
    assert (status, task["lastStatus"], task["stopCode"]) == (200, "DEACTIVATING", told)
