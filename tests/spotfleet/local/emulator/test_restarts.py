"""The embedded AWS starts a container again where it is, as its definition says (rule E17)."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOR_A_MINUTE = {"enabled": True, "restartAttemptPeriod": 60}


@pytest.fixture(scope="module")
def restarts(emulator: ModuleType) -> ModuleType:
    """The emulator's part that restarts containers."""
    module: ModuleType = emulator.ecs_restarts
    return module


class Container:
    """A container whose process has ended, so many seconds after its start."""

    def __init__(self, ran: float, exit_code: int = 1) -> None:
        self.id = "a"
        self.starts = 0
        self.attrs: dict[str, Any] = {}
        self.end(ran, exit_code)

    def end(self, ran: float, exit_code: int = 1) -> None:
        """Let its process end."""
        now = datetime.now(UTC)
        state = {"Status": "exited", "StartedAt": (now - timedelta(seconds=ran)).isoformat(), "ExitCode": exit_code}
        self.attrs = {"State": state | {"FinishedAt": now.isoformat()}}

    def start(self) -> None:
        """Run again."""
        self.starts += 1
        self.attrs["State"]["Status"] = "running"

    def logs(self, **options: object) -> Iterator[bytes]:
        """Return what it has printed since a moment."""
        assert options["since"] == pytest.approx(time.time(), abs=60)
        yield b"again\nand again\n"


class Away:
    """An engine's watch that found it away, so many seconds ago."""

    def __init__(self, ago: float) -> None:
        self.moment = time.time() - ago

    def was_away_after(self, moment: float) -> bool:
        """Answer as host.running_containers does."""
        return self.moment >= moment


@pytest.fixture
def in_real_time(restarts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AWS's seconds be real ones, and an engine answer that has always done so."""
    monkeypatch.setenv("LOCAL_SPEED", "1")
    monkeypatch.setattr(restarts, "engine_watch", lambda: Away(3600))


def look(
    restarts: ModuleType, monkeypatch: pytest.MonkeyPatch, container: Container, policy: object, status: str = "RUNNING"
) -> dict[str, Any]:
    """Let the embedded AWS look at a task with one container, and return what it says of that."""
    definition = {"containerDefinitions": [{"name": "web", "restartPolicy": policy}]}
    monkeypatch.setitem(restarts.ecs._task_defs, "web:1", definition)
    task: dict[str, Any] = {
        **{"taskArn": "t", "taskDefinitionArn": "web:1", "desiredStatus": status, "lastStatus": "RUNNING"},
        **{"_docker_ids": ["a"], "containers": [{"name": "web", "healthStatus": "UNKNOWN", "lastStatus": "STOPPED"}]},
    }
    described: dict[str, Any] = task["containers"][0]
    described["exitCode"] = 1
    monkeypatch.setitem(restarts.ecs._tasks, "t", task)
    engine = SimpleNamespace(containers=SimpleNamespace(get=lambda _name: container))
    restarts.restart_ended(task, engine)
    return described


@pytest.mark.usefixtures("in_real_time")
def test_a_container_restarts_once_in_its_period(restarts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container(70)
    described = look(restarts, monkeypatch, container, FOR_A_MINUTE)
    assert container.starts == 1
    assert (described["lastStatus"], "exitCode" in described) == ("RUNNING", False)
    # It runs, whatever an older answer of the engine says.
    look(restarts, monkeypatch, container, FOR_A_MINUTE)
    assert container.starts == 1
    container.end(30)
    look(restarts, monkeypatch, container, FOR_A_MINUTE)
    assert container.starts == 1


@pytest.mark.usefixtures("in_real_time")
@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (None, "RUNNING"),
        ({"enabled": False}, "RUNNING"),
        ({"enabled": True, "ignoredExitCodes": [1]}, "RUNNING"),
        ({"enabled": True}, "STOPPED"),
    ],
)
def test_a_container_is_not_restarted_against_its_definition_or_when_its_task_is_stopped(
    restarts: ModuleType, monkeypatch: pytest.MonkeyPatch, policy: object, status: str
) -> None:
    container = Container(600)
    look(restarts, monkeypatch, container, policy, status)
    assert container.starts == 0


@pytest.mark.usefixtures("in_real_time")
def test_what_ended_with_the_engine_is_not_restarted(restarts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "engine_watch", lambda: Away(-1))
    container = Container(600)
    look(restarts, monkeypatch, container, FOR_A_MINUTE)
    assert container.starts == 0


def test_what_a_restarted_container_prints_goes_into_the_same_log_stream(
    restarts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[tuple[str, str]] = []
    monkeypatch.setattr(
        restarts.ecs, "_emit_awslogs_event", lambda config, line: printed.append((config["stream"], line))
    )
    options = {"awslogs-group": "web", "awslogs-stream-prefix": "ecs"}
    definition = {"name": "web", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    restarts._follow_log_again({"taskArn": "task/web/1"}, Container(600), definition, time.time())
    deadline = time.monotonic() + 10
    while len(printed) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert printed == [("ecs/web/1", "again"), ("ecs/web/1", "and again")]


def test_the_moments_of_docker_have_more_digits_than_those_of_python(restarts: ModuleType) -> None:
    assert restarts.moment("2026-01-02T03:04:05.123456789Z") == pytest.approx(1767323045.123456)


def test_a_chosen_port_is_free(restarts: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", restarts.free_port())) as listener:
        assert listener.getsockname()[1] > 0
