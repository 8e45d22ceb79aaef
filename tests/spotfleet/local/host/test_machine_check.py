"""What a machine lacks for `spotfleet up` is said at once, and what only administrators have on their PATH is found."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spotfleet.image import docker_cli
from spotfleet.local.balancer import haproxy, ports
from spotfleet.local.host import machine_check, packages, paths
from spotfleet.local.host.machine_check import Lack, lacks, message
from tests.support.ports import free_port

Program = Callable[..., Path]
# A docker command with an engine and BuildKit.
WHOLE_DOCKER = 'case "$1" in version|buildx) echo 28.0;; image) ;; *) echo "Docker version 28.0.1, build x";; esac'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of an ordinary user's with nothing installed and no port taken; returns its folders' folder."""
    for name in ("bin", "sbin"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(packages, "ADMINISTRATORS_FOLDERS", str(tmp_path / "sbin"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine_check, "ROOT", tmp_path)
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for variable in machine_check.PORTS:
        monkeypatch.setenv(variable, str(free_port()))
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Program:
    """Return what installs a program, a shell script, in a folder of that machine."""

    def install(name: str, script: str = "", where: str = "bin") -> Path:
        file = folder / where / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    return install


def test_nothing_is_missing_where_all_is_there(program: Program) -> None:
    program("docker", WHOLE_DOCKER)
    program("haproxy")
    assert lacks(None) == []
    assert message([]) is None


def test_what_is_in_an_administrators_folder_is_there(program: Program, folder: Path) -> None:
    program("docker", WHOLE_DOCKER)
    found = program("haproxy", where="sbin")
    assert shutil.which("haproxy") is None
    assert packages.find("haproxy") == str(found)
    # Neither told to install what is installed, nor left without it when it is run.
    haproxy.ensure_installed()
    assert haproxy.Process(folder)._haproxy()[0] == str(found)
    assert lacks(None) == []


def test_all_that_is_missing_is_said_at_once_with_the_command_that_installs_it(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("apt-get")
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    monkeypatch.setattr(machine_check, "registry_answers", lambda _host: False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("LOCAL_HTTP_PORT", str(port))
        words = message(lacks("public.ecr.aws/docker/library/python:3.13")) or ""
    first, *others = words.splitlines()
    assert first == "`spotfleet up` needs 4 things that are not here:"
    assert [line[2:].partition(":")[0].split(",")[0] for line in others] == [
        "No Docker engine answers",
        "HAProxy (the load balancer) is not installed",
        f"Port {port}",
        "public.ecr.aws cannot be reached",
    ]
    ways = ("docker.io", "haproxy", f"LOCAL_HTTP_PORT={port + 100}", "mmdebstrap")
    assert [line.rstrip(".").endswith(way) for line, way in zip(others, ways, strict=True)] == [True] * 4


def test_one_thing_is_one_line(program: Program) -> None:
    program("docker", WHOLE_DOCKER)
    program("apt-get")
    words = "HAProxy (the load balancer) is not installed: install it with sudo apt-get install haproxy."
    assert message(lacks(None)) == words


def test_what_root_gets_by_itself_is_no_obstacle(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = lacks(None)
    assert [lack.text for lack in found] == ["Docker, installed", "HAProxy (the load balancer), installed"]
    assert message(found) is None
    program("dockerd", where="sbin")
    assert lacks(None)[0] == Lack("a Docker engine, started", comes=True)


def test_an_engine_that_refuses_this_user_is_told_from_one_that_does_not_run(program: Program) -> None:
    program("docker", 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1')
    assert "usermod -aG docker" in str(machine_check.engine_problem())
    program("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    program("systemctl")
    assert "sudo systemctl start docker" in str(machine_check.engine_problem())


@pytest.mark.parametrize(("release", "is_missing"), [("20.10.24", False), ("22.06.0", False), ("24.0.7", True)])
def test_a_docker_command_without_buildkit_is_named(program: Program, release: str, is_missing: bool) -> None:
    program("haproxy")
    told = f'echo "Docker version {release}, x"'
    client = program("docker", f'case "$1" in version) echo 1;; buildx) exit 1;; *) {told};; esac')
    found = [lack.text for lack in lacks(None)]
    assert bool(found) == is_missing
    assert all(text.startswith(f"{client} cannot build with BuildKit: install it with ") for text in found)


def test_the_ports_of_an_embedded_aws_that_runs_here_are_its_own(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("docker", WHOLE_DOCKER)
    program("haproxy")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("LOCAL_AWS_PORT", str(port))
        assert f"Port {port}, where the embedded AWS would answer, is not free (" in lacks(None)[0].text
        (folder / ".local" / str(port)).mkdir(parents=True)
        (folder / ".local" / str(port) / "running").touch()
        assert lacks(None) == []


def test_a_port_that_is_none_is_named(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("docker", WHOLE_DOCKER)
    program("haproxy")
    monkeypatch.setenv("LOCAL_AWS_PORT", "http")
    assert message(lacks(None)) == "LOCAL_AWS_PORT is 'http': give a port number from 1 to 65535."


def test_a_base_image_that_is_there_or_can_be_pulled_needs_no_builder(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    program("apt-get")
    name = "public.ecr.aws/docker/library/python:3.13"

    def missing(answers: bool = False) -> bool:
        monkeypatch.setattr(machine_check, "registry_answers", lambda _host: answers)
        return bool(list(machine_check._builder_of_base_image(name)))

    program("docker", "exit 1")
    assert missing()
    assert not missing(answers=True)
    for cached in (name, "spotfleet-base:bookworm"):
        program("docker", f"echo {cached}")
        assert not missing()
    program("docker", "exit 1")
    program("mmdebstrap")
    assert not missing()


def test_it_says_the_same_as_those_who_ask_later() -> None:
    assert {paths.PORT_VARIABLE: paths.DEFAULT_PORT, **dict(ports.VARIABLES.values())} == {
        name: default for name, (default, _who) in machine_check.PORTS.items()
    }
    assert machine_check.LAST_RELEASE_WITH_BUILDKIT == docker_cli.LAST_RELEASE_WITH_BUILDKIT


def test_it_reads_the_base_image_before_yaml_and_jinja_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    for environment in paths.environments():
        assert machine_check.configured_base_image(environment) == paths.setting(environment, "base_image")
    assert machine_check.configured_base_image("nowhere") is None


@pytest.mark.parametrize("installed", [False, True])
def test_make_up_says_it_before_it_installs_anything(tmp_path: Path, installed: bool) -> None:
    """With a Python that has no package of ours; once all is installed, `spotfleet up` is the one to say it."""
    for name in ("spotfleet", "tools"):
        shutil.copytree(paths.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    if installed:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv/installed").touch()
    said = subprocess.run(
        [str(shutil.which("make")), "machine"],
        cwd=tmp_path, env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (said.returncode == 0) == installed
    assert ("No Docker engine answers" in said.stderr) != installed
    assert "Traceback" not in said.stderr
