"""Tasks that fail their load balancer's health checks are reported once their grace period is over (rule E8)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotfleet.local.backchannel import container_restarts
from spotfleet.local.controllers.task_health import TaskHealth
from tests.support.balancers import GROUP, FakeElbv2

FIRST_PORT = 32768
REASON = f"Task failed ELB health checks in (target-group {GROUP})"


class FakeEcs:
    """ECS with one service, whose tasks a test adds; each has the port of its place in the list."""

    def __init__(self) -> None:
        self.reported: list[dict[str, str]] = []
        self.tasks: list[dict[str, Any]] = []
        self.service = {
            "serviceName": "web",
            "status": "ACTIVE",
            "healthCheckGracePeriodSeconds": 30,
            "loadBalancers": [{"targetGroupArn": GROUP}],
        }

    def add(self, age: float = 60, **changes: str) -> dict[str, Any]:
        """Add a task that was started so many seconds ago."""
        port = FIRST_PORT + len(self.tasks)
        task = {
            "taskArn": f"task/{len(self.tasks)}",
            "startedBy": "web",
            "desiredStatus": "RUNNING",
            "lastStatus": "RUNNING",
            "healthStatus": "UNKNOWN",
            "startedAt": datetime.now(UTC) - timedelta(seconds=age),
            "containers": [{"networkBindings": [{"hostPort": port}]}],
        }
        self.tasks.append(task | changes)
        return self.tasks[-1]

    @property
    def present(self) -> list[dict[str, Any]]:
        return [task for task in self.tasks if task["desiredStatus"] == "RUNNING"]

    def get_paginator(self, operation: str) -> Any:  # noqa: ANN401  # as boto3's
        key, values = {
            "list_clusters": ("clusterArns", ["cluster/c"]),
            "list_services": ("serviceArns", ["service/c/web"]),
            "list_tasks": ("taskArns", [task["taskArn"] for task in self.present]),
        }[operation]
        return type("Paginator", (), {"paginate": lambda _self, **_parameters: [{key: values}]})()

    def describe_clusters(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"clusters": [{"clusterName": "c", "status": "ACTIVE"}]}

    def describe_services(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"services": [self.service]}

    def describe_tasks(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"tasks": self.present}

    def submit_task_state_change(self, **parameters: str) -> None:
        self.reported.append(parameters)
        next(task for task in self.tasks if task["taskArn"] == parameters["task"])["healthStatus"] = parameters[
            "status"
        ]


def look(ecs: FakeEcs, *states: str) -> None:
    """Let the controller look once while the first tasks have these states."""
    elbv2 = FakeElbv2()
    elbv2.targets = {("i-1", FIRST_PORT + number): state for number, state in enumerate(states)}
    TaskHealth(lambda: ["eu-west-1"], lambda service, _region: {"ecs": ecs, "elbv2": elbv2}[service]).step()


@pytest.mark.parametrize(
    ("state", "age", "reported"),
    [("unhealthy", 31, 1), ("unhealthy", 20, 0), ("healthy", 31, 0), ("initial", 31, 0), ("draining", 31, 0)],
)
def test_a_task_that_fails_its_checks_is_reported_after_the_grace_period(state: str, age: float, reported: int) -> None:
    ecs = FakeEcs()
    ecs.add(age)
    look(ecs, state)
    look(ecs, state)
    told = {"cluster": "c", "task": "task/0", "status": "UNHEALTHY", "reason": REASON}
    assert ecs.reported == [told] * reported


@pytest.mark.parametrize(("grace", "age", "reported"), [(30, 22, 0), (30, 30, 1), (10, 9, 0), (10, 22, 1)])
def test_a_task_unhealthy_at_22_s_is_replaced_at_the_end_of_its_grace_period(
    grace: int, age: float, reported: int
) -> None:
    ecs = FakeEcs()
    ecs.service["healthCheckGracePeriodSeconds"] = grace
    ecs.add(age)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == reported


@pytest.mark.parametrize(("grace", "age", "reported"), [(30, 14, 0), (30, 16, 1), (10, 9, 0), (10, 11, 1), (0, 1, 1)])
def test_the_grace_period_leaves_real_time_for_a_start_at_any_speed(
    monkeypatch: pytest.MonkeyPatch, grace: int, age: float, reported: int
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    ecs = FakeEcs()
    ecs.service["healthCheckGracePeriodSeconds"] = grace
    ecs.add(age)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == reported


def test_a_task_of_another_service_or_one_that_leaves_already_is_left_alone() -> None:
    ecs = FakeEcs()
    ecs.add(startedBy="other")
    ecs.add(lastStatus="DEACTIVATING", desiredStatus="STOPPED")
    look(ecs, "unhealthy", "unhealthy")
    assert ecs.reported == []


def test_a_container_that_starts_again_has_real_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    ecs = FakeEcs()
    ecs.add(600)
    monkeypatch.setattr(container_restarts, "seconds_since", {"task/0": 11.0}.get)
    look(ecs, "unhealthy")
    assert ecs.reported == []
    monkeypatch.setattr(container_restarts, "seconds_since", {"task/0": 13.0}.get)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == 1
