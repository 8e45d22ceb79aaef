"""Where tasks get their room, and what a service says when they find none (rules E18, E19 and E21)."""

import threading
import time
from types import ModuleType
from typing import Any

import pytest

ARN = "arn:aws:ecs:us-east-1:000000000000"
MEBIBYTES = 837


@pytest.fixture
def placing(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with one t3.micro in the cluster c and a service web whose tasks need 256 MiB."""
    module: ModuleType = emulator.ecs_placement
    record: dict[str, Any] = {
        "containerInstanceArn": "m1",
        "_cluster": "c",
        "status": "ACTIVE",
        "agentConnected": True,
        "capacityProviderName": "fleet",
    }
    sizes = {"CPU": 2048, "MEMORY": MEBIBYTES}
    record["registeredResources"] = [{"name": name, "integerValue": value} for name, value in sizes.items()]
    record["attributes"] = [{"name": "ecs.instance-type", "value": "t3.micro"}]
    monkeypatch.setattr(module, "container_instances", {"m1": record})
    monkeypatch.setattr(module.ecs, "_tasks", {})
    monkeypatch.setattr(module.ecs, "_services", {"c/web": {"serviceName": "web", "events": []}})
    monkeypatch.setattr(module.ecs, "_task_defs", {"web:1": {"cpu": "256", "memory": "256"}})
    monkeypatch.setattr(module.ecs, "_resolve_td_key", lambda _name: "web:1")
    monkeypatch.setattr(module.ecs, "_mark_task_pending", lambda _arn, task: task.update(lastStatus="PENDING"))
    monkeypatch.setattr(module, "ROOM_SECONDS", 0.001)
    return module


def add(module: ModuleType, name: str, status: str, *, on: str | None = "m1") -> dict[str, Any]:
    task: dict[str, Any] = {
        "taskArn": name,
        "clusterArn": f"{ARN}:cluster/c",
        "startedBy": "web",
        "taskDefinitionArn": "web:1",
    }
    task |= {"lastStatus": status, "desiredStatus": "STOPPED" if status == "STOPPING" else "RUNNING"}
    task |= {"containerInstanceArn": on, "_has_room": on is not None}
    module.ecs._tasks[name] = task
    return task


def test_room_of_a_stopping_task_is_given_away_and_used_when_it_is_gone(placing: ModuleType) -> None:
    for name in ("one", "two"):
        add(placing, name, "RUNNING")
    stopping = add(placing, "three", "STOPPING")
    fourth = add(placing, "four", "PROVISIONING", on=None)
    assert placing._wait_for_machine(fourth)
    assert fourth["containerInstanceArn"] == "m1"
    waiting = threading.Thread(target=placing._wait_for_room, args=(fourth,))
    waiting.start()
    time.sleep(0.02)
    assert (fourth["lastStatus"], fourth["_has_room"]) == ("PENDING", False)
    stopping["lastStatus"] = "STOPPED"
    waiting.join(5)
    assert fourth["_has_room"]
    # Nobody else gets it.
    assert placing._choose_machine(add(placing, "five", "PROVISIONING", on=None)) is None


def test_a_service_says_once_that_its_tasks_find_no_room(placing: ModuleType) -> None:
    for name in ("one", "two", "three"):
        add(placing, name, "RUNNING")
    for name in ("four", "five"):
        assert placing._choose_machine(add(placing, name, "PROVISIONING", on=None)) is None
    service = placing.ecs._services["c/web"]
    assert service["_lack"] == "RESOURCE:MEMORY"
    (event,) = service["events"]
    assert "(service web) was unable to place a task" in event["message"]
    assert "insufficient memory" in event["message"]


def test_a_machine_that_no_constraint_lets_in_gets_no_task(placing: ModuleType) -> None:
    expression = "attribute:ecs.instance-type == t3.small"
    service = placing.ecs._services["c/web"]
    service["placementConstraints"] = [{"type": "memberOf", "expression": expression}]
    assert placing._choose_machine(add(placing, "one", "PROVISIONING", on=None)) is None
    assert "placement constraints" in service["events"][0]["message"]
    service["placementConstraints"] = [{"type": "memberOf", "expression": expression.replace("small", "micro")}]
    assert placing._choose_machine(add(placing, "two", "PROVISIONING", on=None)) is not None
