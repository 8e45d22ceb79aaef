"""EventBridge is told of machines that have changed (rule E18)."""

from collections import UserDict
from collections.abc import ValuesView
from types import ModuleType
from typing import Any

import pytest


class Tasks(UserDict[str, dict[str, Any]]):
    """MiniStack's table of tasks, which counts how often somebody goes through all of them."""

    looks = 0

    def values(self) -> ValuesView[dict[str, Any]]:
        self.looks += 1
        return super().values()


class Machines:
    """Machines of a cluster with their tasks, and what EventBridge is told of them."""

    def __init__(self, emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self._module: Any = emulator.ecs_machines
        self.records: dict[str, dict[str, Any]] = {}
        self.tasks = Tasks()
        self.told: list[tuple[str, str, int]] = []
        monkeypatch.setattr(self._module, "container_instances", self.records)
        monkeypatch.setattr(self._module.ecs, "_tasks", self.tasks)
        monkeypatch.setattr(self._module.ecs, "_task_defs", {"web:1": {"memory": "256"}})
        monkeypatch.setattr(self._module.event_bridge, "is_heard", lambda: True)
        monkeypatch.setattr(self._module.event_bridge, "send", self._send)

    def _send(self, _kind: str, arn: str, detail: dict[str, Any]) -> None:
        memory = next(item for item in detail["remainingResources"] if item["name"] == "MEMORY")
        self.told.append((arn, detail["status"], memory["integerValue"]))

    def add(self, arn: str) -> dict[str, Any]:
        resources = [{"name": name, "integerValue": 1024} for name in ("CPU", "MEMORY")]
        record = {"containerInstanceArn": arn, "ec2InstanceId": arn, "status": "ACTIVE", "agentConnected": True}
        more = {"attributes": [], "version": 1, "_cluster": "web", "registeredAt": 0.0, "capacityProviderName": "own"}
        self.records[arn] = {**record, **more, "registeredResources": resources}
        return self.records[arn]

    def run(self, task: str, machine: str) -> None:
        states = {"lastStatus": "RUNNING", "desiredStatus": "RUNNING", "taskDefinitionArn": "web:1"}
        self.tasks[task] = {"taskArn": task, "containerInstanceArn": machine, **states}

    def tell(self) -> list[tuple[str, str, int]]:
        """Return what is told now."""
        self.told.clear()
        self._module.tell_machines("web")
        return list(self.told)


@pytest.fixture
def machines(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """No machine yet."""
    return Machines(emulator, monkeypatch)


def test_a_machine_is_told_of_with_the_room_that_its_own_tasks_leave(machines: Machines) -> None:
    machines.add("a")
    machines.add("b")
    machines.run("one", "a")
    assert machines.tell() == [("a", "ACTIVE", 768), ("b", "ACTIVE", 1024)]
    assert machines.tell() == []
    machines.run("two", "b")
    assert machines.tell() == [("b", "ACTIVE", 768)]


def test_of_a_machine_that_has_left_nothing_more_is_told(machines: Machines) -> None:
    record = machines.add("a")
    machines.run("one", "a")
    record |= {"status": "INACTIVE", "agentConnected": False}
    assert machines.tell() == [("a", "INACTIVE", 768)]
    machines.tasks.clear()
    assert machines.tell() == []


def test_all_tasks_are_gone_through_once_however_many_machines_there_are(machines: Machines) -> None:
    for number in range(50):
        machines.add(str(number))
    machines.tell()
    machines.tasks.looks = 0
    machines.tell()
    assert machines.tasks.looks == 1
