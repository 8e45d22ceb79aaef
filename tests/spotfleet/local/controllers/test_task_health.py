"""Tasks that fail their load balancer's health checks are reported once their grace period is over (rule E8)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotfleet.local.backchannel import container_restarts
from spotfleet.local.controllers.task_health import TaskHealth
from tests.support.answers import Answer, answering
from tests.support.balancers import GROUP, Elbv2

FIRST_PORT = 32768
REASON = f"Task failed ELB health checks in (target-group {GROUP})"


class Ecs:
    """What ECS answers of one service, whose tasks a test adds; each has the port of its place in the list."""

    def __init__(self) -> None:
        self.reported: list[dict[str, str]] = []
        self.tasks: list[Answer] = []
        self.service = {
            "serviceName": "web",
            "status": "ACTIVE",
            "healthCheckGracePeriodSeconds": 30,
            "loadBalancers": [{"targetGroupArn": GROUP}],
        }

    def add(self, age: float = 60, **changes: str) -> Answer:
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
    def present(self) -> list[Answer]:
        return [task for task in self.tasks if task["desiredStatus"] == "RUNNING"]

    def list_clusters(self) -> Answer:
        return {"clusterArns": ["cluster/c"]}

    def describe_clusters(self, **_asked: Any) -> Answer:  # noqa: ANN401
        return {"clusters": [{"clusterName": "c", "status": "ACTIVE"}]}

    def list_services(self, **_asked: str) -> Answer:
        return {"serviceArns": ["service/c/web"]}

    def describe_services(self, **_asked: Any) -> Answer:  # noqa: ANN401
        return {"services": [self.service]}

    def list_tasks(self, **_asked: str) -> Answer:
        return {"taskArns": [task["taskArn"] for task in self.present]}

    def describe_tasks(self, tasks: list[str], **_cluster: str) -> Answer:
        return {"tasks": [task for task in self.tasks if task["taskArn"] in tasks]}

    def submit_task_state_change(self, **reported: str) -> Answer:
        self.reported.append(reported)
        return {"acknowledgment": "ACCEPT"}


def look(ecs: Ecs, *states: str, times: int = 1) -> None:
    """Let the controller look while the first tasks have these states."""
    elbv2 = Elbv2()
    elbv2.targets = {("i-1", FIRST_PORT + number): state for number, state in enumerate(states)}
    clients = {"ecs": answering("ecs", ecs), "elbv2": elbv2.client}
    controller = TaskHealth(lambda: ["eu-west-1"], lambda service, _region: clients[service])
    for _ in range(times):
        controller.step()


@pytest.mark.parametrize(
    ("state", "age", "reported"),
    [("unhealthy", 31, 1), ("unhealthy", 20, 0), ("healthy", 31, 0), ("initial", 31, 0), ("draining", 31, 0)],
)
def test_a_task_that_fails_its_checks_is_reported_after_the_grace_period(state: str, age: float, reported: int) -> None:
    ecs = Ecs()
    ecs.add(age)
    look(ecs, state, times=2)
    told = {"cluster": "c", "task": "task/0", "status": "UNHEALTHY", "reason": REASON}
    assert ecs.reported == [told] * reported


@pytest.mark.parametrize(("grace", "age", "reported"), [(30, 22, 0), (30, 30, 1), (10, 9, 0), (10, 22, 1)])
def test_a_task_unhealthy_at_22_s_is_replaced_at_the_end_of_its_grace_period(
    grace: int, age: float, reported: int
) -> None:
    ecs = Ecs()
    ecs.service["healthCheckGracePeriodSeconds"] = grace
    ecs.add(age)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == reported


@pytest.mark.parametrize(("grace", "age", "reported"), [(30, 14, 0), (30, 16, 1), (10, 9, 0), (10, 11, 1), (0, 1, 1)])
def test_the_grace_period_leaves_real_time_for_a_start_at_any_speed(
    monkeypatch: pytest.MonkeyPatch, grace: int, age: float, reported: int
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    ecs = Ecs()
    ecs.service["healthCheckGracePeriodSeconds"] = grace
    ecs.add(age)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == reported


def test_a_task_of_another_service_or_one_that_leaves_already_is_left_alone() -> None:
    ecs = Ecs()
    ecs.add(startedBy="other")
    ecs.add(lastStatus="DEACTIVATING", desiredStatus="STOPPED")
    look(ecs, "unhealthy", "unhealthy")
    assert ecs.reported == []


def test_a_container_that_starts_again_has_real_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    ecs = Ecs()
    ecs.add(600)
    monkeypatch.setattr(container_restarts, "seconds_since", {"task/0": 11.0}.get)
    look(ecs, "unhealthy")
    assert ecs.reported == []
    monkeypatch.setattr(container_restarts, "seconds_since", {"task/0": 13.0}.get)
    look(ecs, "unhealthy")
    assert len(ecs.reported) == 1
