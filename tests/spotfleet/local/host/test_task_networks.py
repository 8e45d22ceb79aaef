"""Networks of tasks with a router: what is told when the engine has none, and how rules reach the router."""

import json
import socket
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from spotfleet.local.host import paths, task_networks, task_router
from spotfleet.local.host.task_networks import Rules

RULES = Rules([(6, 443, 443, "0.0.0.0/0"), (0, 0, 0, "203.0.113.0/24")], ["10.0.0.0/8"])


class Engine:
    """A connection to an engine that can be closed, and a router there that can be told of new rules."""

    def __init__(self) -> None:
        self.is_closed = False
        self.told: list[str] = []
        self.api = self

    def kill(self, router: str, signal: str) -> None:
        self.told.append(f"{router} {signal}")

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module know nothing yet, and write into the test's folder."""
    monkeypatch.setattr(paths, "STATE", tmp_path / ".local")
    monkeypatch.setattr(task_networks, "_networks", {})
    monkeypatch.setattr(task_networks, "_problem", "")
    monkeypatch.setattr(task_networks, "_failed_at", None)


def test_an_engine_without_a_router_is_said_in_one_line_and_not_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def refuse(*_arguments: object, **_named: object) -> Any:  # noqa: ANN401  # nothing
        asked.append(1)
        raise docker.errors.APIError("no\nsysctls here")

    monkeypatch.setattr(task_networks, "_make", refuse)
    monkeypatch.setattr(task_networks, "_remove", lambda *_arguments: True)
    engines = [Engine(), Engine()]
    monkeypatch.setattr(docker, "from_env", iter(engines).__next__)
    assert not task_networks.ensure("spotfleet-1-a", RULES)
    assert not task_networks.ensure("spotfleet-1-a", RULES)
    assert len(asked) == 1
    assert all(engine.is_closed for engine in engines)
    assert "no sysctls here" in task_networks.problem()
    assert "\n" not in task_networks.problem()


def test_a_router_is_told_of_other_rules_by_a_connection_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    monkeypatch.setattr(docker, "from_env", lambda: engine)
    monkeypatch.setitem(task_networks._networks, "tasks", task_networks._Standing("router", RULES))
    task_networks.set_rules("tasks", RULES)
    assert engine.told == []
    task_networks.set_rules("tasks", Rules([], []))
    assert (engine.told, engine.is_closed) == (["router SIGHUP"], True)


def test_the_router_reads_rules_as_they_are_written() -> None:
    settings = json.loads(RULES.as_json())
    found = task_router.rules(settings)
    assert found == [
        task_router.rule(1000, task_router.BLACKHOLE, "10.0.0.0/8"),
        task_router.rule(1001, task_router.TO_TABLE, "0.0.0.0/0", 6, 443, 443),
        task_router.rule(1002, task_router.TO_TABLE, "203.0.113.0/24"),
    ]


def test_no_range_of_the_kernel_ends_with_the_highest_port() -> None:
    allowed: list[list[object]] = [[6, 1024, 65535, "0.0.0.0/0"], [6, 65535, 65535, "0.0.0.0/0"]]
    found = task_router.rules({"never": [], "allowed": allowed})
    assert found == [task_router.rule(1000, task_router.TO_TABLE, "0.0.0.0/0", 6, 1024, 65534)]


@pytest.mark.parametrize("folder", ["short", "a-long-name-of-a-folder" * 8])
def test_tasks_reach_aws_from_a_folder_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path / folder)
    for _start in range(2):
        bound = task_networks.bind_aws_socket()
        assert bound is not None
        with bound:
            assert task_networks.aws_socket().is_socket()


def test_without_a_socket_it_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError("no sockets here")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert task_networks.bind_aws_socket() is None
    assert "Tasks find no AWS (rule N3): no sockets here" in caplog.text


def test_the_socket_and_the_rules_are_in_a_folder_for_their_owner_only() -> None:
    assert task_networks.folder().stat().st_mode & 0o777 == 0o700
    assert task_networks.aws_socket().parent == task_networks.folder()
