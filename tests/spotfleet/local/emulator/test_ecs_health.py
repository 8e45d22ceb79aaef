"""The agent's part in health checks of containers: what Docker is told, and what ECS hears (rule E3)."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from spotfleet.local.host import container_health as engine_health

ARN = "arn:aws:ecs:eu-west-1:000000000000:task/c/1"
WEB = {"name": "web", "essential": True, "healthCheck": {"command": ["CMD", "/up"]}}
SIDE = {"name": "side", "essential": False}
SECOND = 1_000_000_000


@pytest.fixture
def health(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The emulator's part of it, in a rehearsal without delays in which Docker tells nothing by itself."""
    module: ModuleType = emulator.ecs_health
    monkeypatch.setattr(module, "watch", lambda: None)
    monkeypatch.setattr(module.delays, "of", lambda _delay, _occurrence: 0.0)
    return module


@pytest.fixture
def task(health: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A task with a container that is checked, and one beside it."""
    found: dict[str, Any] = {
        **{"taskArn": ARN, "clusterArn": "arn:aws:ecs:eu-west-1:000000000000:cluster/c", "healthStatus": "UNKNOWN"},
        **{"lastStatus": "RUNNING", "desiredStatus": "RUNNING", "containerInstanceArn": "m"},
        "containers": [{"name": name, "healthStatus": "UNKNOWN"} for name in ("web", "side")],
    }
    health.prepare(found, {"containerDefinitions": [WEB, SIDE]})
    with health.request_scope("000000000000", "eu-west-1"):
        monkeypatch.setitem(health.ecs._tasks, ARN, found)
    return found


@pytest.mark.parametrize(
    ("speed", "interval", "start_period", "told"),
    [("1", 30, 60, (30, 60)), ("10", 30, 60, (3, 15)), ("10", 5, 0, (1, 0)), ("60", 30, 300, (1, 15))],
)
def test_docker_checks_in_aws_time_and_gives_a_check_its_own(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, speed: str, interval: int, start_period: int, told: object
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    check = {"command": ["CMD-SHELL", "exit 0"], "interval": interval, "startPeriod": start_period, "timeout": 7}
    found = health.docker_check({"healthCheck": check})
    assert (found["interval"] / SECOND, found["start_period"] / SECOND) == told
    assert (found["test"], found["timeout"], found["retries"]) == (["CMD-SHELL", "exit 0"], 7 * SECOND, 3)
    assert health.docker_check(SIDE) is None


def labels(name: str) -> dict[str, str]:
    """Return what Docker tells a container by."""
    return {"com.amazonaws.ecs.task-arn": ARN, "com.amazonaws.ecs.container-name": name}


@pytest.fixture
def hear(health: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """What Docker says of a container is reported when the test looks."""

    class AtOnce:
        daemon = False

        def __init__(self, _seconds: float, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
            self.start = lambda: work(*arguments)

    monkeypatch.setattr(health.threading, "Timer", AtOnce)
    return lambda name, said: health._hear(labels(name), said)


def test_ecs_hears_how_a_container_and_its_task_are(
    task: dict[str, Any], hear: Callable[[str, str], None], health: ModuleType
) -> None:
    hear("web", "healthy")
    assert (task["containers"][0]["healthStatus"], task["healthStatus"]) == ("HEALTHY", "HEALTHY")
    # The check of its image, which is none to ECS.
    hear("side", "unhealthy")
    assert (task["containers"][1]["healthStatus"], task["healthStatus"]) == ("UNKNOWN", "HEALTHY")
    hear("web", "unhealthy")
    assert (task["healthStatus"], health.passes(task)) == ("UNHEALTHY", False)
    health.begin_anew(task, "web")
    assert task["healthStatus"] == "UNKNOWN"


def test_the_agent_of_a_lost_machine_reports_nothing(
    task: dict[str, Any], hear: Callable[[str, str], None], health: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "is_on_lost_machine", lambda _task: True)
    hear("web", "unhealthy")
    assert task["healthStatus"] == "UNKNOWN"


def test_what_changes_again_before_the_report_is_not_reported(
    task: dict[str, Any], health: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[], None]] = []

    class Later:
        daemon = False

        def __init__(self, _seconds: float, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
            self.start = lambda: waiting.append(lambda: work(*arguments))

    monkeypatch.setattr(health.threading, "Timer", Later)
    for said in ("healthy", "unhealthy"):
        health._hear(labels("web"), said)
    for report in reversed(waiting):
        report()
        assert task["healthStatus"] == "UNHEALTHY"


@pytest.mark.parametrize(("grace", "age", "failed"), [(0, 1, True), (30, 29, False), (30, 31, True)])
def test_unhealthy_containers_count_after_the_grace_period(
    task: dict[str, Any], health: ModuleType, monkeypatch: pytest.MonkeyPatch, grace: int, age: int, failed: bool
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "1")
    task["healthStatus"] = "UNHEALTHY"
    service = {"healthCheckGracePeriodSeconds": grace}
    assert health.has_failed(service, task, health.time.time() - age) is failed


class Engine:
    """A Docker engine with two containers, one of which gets unhealthy."""

    def __init__(self) -> None:
        self.api = self

    def events(self, **asked: object) -> list[dict[str, Any]]:
        """Answer what has happened since."""
        assert asked["filters"] == {"type": "container", "event": "health_status", "label": "mine"}
        said = [("health_status: unhealthy", "a"), ("health_status: starting", "b")]
        return [{"Action": action, "Actor": {"Attributes": {"name": name}}} for action, name in said]

    def containers(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        """List those that run with a health."""
        return [{"Labels": {"name": "a"}}] if filters["health"] == "healthy" else []


def test_docker_is_asked_once_and_tells_of_changes_by_itself() -> None:
    heard: list[tuple[str, str]] = []
    engine_health.follow("mine", lambda names, said: heard.append((names["name"], said)), Engine())  # type: ignore[arg-type]
    assert heard == [("a", "healthy"), ("a", "unhealthy")]
