"""What cannot be launched is named in one line, and nothing has changed then."""

import socket

import pytest

from tests.support.projects import Project


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("vpc_cidr: 10.0.0.0/16", "", ["dev/", "vpc_cidr is missing: add it to config.yaml in the same folder"]),
        ("vpc_cidr: 10.0.0.0/16", "vpc_cidr: 10.0.0.0/29", ["config/dev/config.yaml", "vpc_cidr", "10.0.0.0/29"]),
        ("min_tasks: 2", "min_task: 2\nmin_tasks: 2", ["config/dev/config.yaml", "min_task", "min_tasks"]),
        ("listener_priority: 100", "listener_priority: 0", ["config/dev/config.yaml", "listener_priority", "0"]),
    ],
)
def test_a_wrong_setting_is_named_before_anything_changes(fresh: Project, old: str, new: str, words: list[str]) -> None:
    fresh.replace("config/dev/config.yaml", old, new)
    launched = fresh.local("up")
    assert launched.returncode == 1
    assert "Traceback" not in launched.stdout
    for word in words:
        assert word in launched.stdout
    assert fresh.status()["stacks"] == {}


def test_an_environment_that_does_not_exist_is_named(fresh: Project) -> None:
    launched = fresh.local("up", "staging")
    assert launched.returncode == 1
    assert launched.stdout == "There is no environment 'staging' in config/. Environments: dev, prod.\n"
    plain = fresh.sceptre("launch", "-y", "staging")
    assert plain.returncode != 0
    assert "Traceback" not in plain.stdout


def test_a_port_in_use_is_named(fresh: Project) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        launched = fresh.local("up")
    assert launched.returncode == 1
    line = launched.stdout.splitlines()[-1]
    assert f"Port {fresh.port}" in line
    assert "LOCAL_AWS_PORT" in line


def test_a_port_of_the_load_balancer_in_use_is_named(fresh: Project) -> None:
    port = int(fresh.variables["LOCAL_HTTP_PORT"])
    with socket.create_server(("127.0.0.1", port)):
        launched = fresh.local("up")
    assert launched.returncode == 1
    line = launched.stdout.splitlines()[-1]
    assert line.startswith(f"Port {port}, where the load balancer would answer, is not free")
    assert "LOCAL_HTTP_PORT" in line


def test_no_docker_engine_is_named(fresh: Project) -> None:
    nowhere = "unix:///nonexistent/docker.sock"
    launched = fresh.local("up", DOCKER_HOST=nowhere)
    assert launched.returncode == 1
    assert launched.stdout.splitlines()[-1].startswith(f"No Docker engine answers at DOCKER_HOST={nowhere}")


def test_status_says_when_nothing_runs(fresh: Project) -> None:
    shown = fresh.local("status")
    assert shown.returncode == 1
    assert "does not run" in shown.stdout
    assert fresh.local("down").returncode == 0
