"""The commands around the embedded AWS: what they say and return when something is not as it should be."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from spotfleet.cli import launch, main, status
from spotfleet.local.api import embedded_aws
from spotfleet.local.api.clients import client
from spotfleet.local.balancer import haproxy
from spotfleet.local.daemon import environment_status, process, server
from spotfleet.local.emulator.api_parameters import api_parameters
from spotfleet.local.emulator.resource_types.base import Owner
from spotfleet.local.emulator.resource_types.ecs import Service
from spotfleet.local.host import base_image, console, docker_engine, machine_check, paths, variables
from spotfleet.local.host.console import Failure
from tests.support import sample_project

Captured = pytest.CaptureFixture[str]
# Any one that there is.
ENVIRONMENT = paths.environments()[0]


@contextmanager
def listener() -> Iterator[int]:
    """Occupy a port on loopback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Point the commands to a port where nothing listens, and to a state folder of their own."""
    with listener() as port:
        pass
    monkeypatch.setenv("LOCAL_AWS_PORT", str(port))
    monkeypatch.setattr(paths, "STATE", tmp_path)
    return port


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command, as `make` does."""
    command = [sys.executable, "-m", "spotfleet", *arguments]
    return subprocess.run(
        command, cwd=paths.ROOT, env=os.environ | variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs a verb in this process, whose variables it leaves alone."""
    monkeypatch.setattr(variables, "enter", dict)
    return lambda *arguments: CliRunner().invoke(main.spotfleet, arguments, prog_name="spotfleet")


Invoke = Callable[..., Result]


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_unknown_environment_names_those_that_exist(command: str) -> None:
    result = run(command, "nowhere")
    assert result.returncode == 1
    known = ", ".join(paths.environments())
    assert result.stderr == f"There is no environment 'nowhere' in config/. Environments: {known}.\n"


def test_status_without_embedded_aws(free_port: int) -> None:
    result = run("status", ENVIRONMENT, LOCAL_AWS_PORT=str(free_port))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"The embedded AWS does not run at http://127.0.0.1:{free_port}" in result.stderr


def test_down_without_embedded_aws_is_no_error(free_port: int) -> None:
    result = run("down", ENVIRONMENT, LOCAL_AWS_PORT=str(free_port), DOCKER_HOST="unix:///nonexistent.sock")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "The embedded AWS does not run.\n"


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1"])
def test_port_that_is_none(value: str) -> None:
    result = run("status", LOCAL_AWS_PORT=value)
    assert result.returncode == 1
    assert result.stderr == f"LOCAL_AWS_PORT is {value!r}: give a port number from 1 to 65535.\n"


def test_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as port:
        monkeypatch.setenv("LOCAL_AWS_PORT", str(port))
        with pytest.raises(Failure, match=f"Port {port}, .* is not free .*LOCAL_AWS_PORT="):
            server.serve()


def test_interrupt_ends_with_130_and_one_line(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "of_environment", interrupted)
    result = invoke("status", ENVIRONMENT)
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1


def test_only_one_command_at_a_time(tmp_path: Path) -> None:
    with console.only_one(tmp_path / "lock"), pytest.raises(Failure, match="is running here"):  # noqa: SIM117
        with console.only_one(tmp_path / "lock"):
            pass
    with console.only_one(tmp_path / "lock"):
        pass


def test_a_silent_command_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(console, "QUIET", 0.1)
    code = console.run(
        [sys.executable, "-c", "import time; print('a'); time.sleep(0.5); print('b'); exit(3)"], "waiting"
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 3
    # On a busy machine it is silent before its first line as well, for as long as that takes.
    reports = [line for line in lines if line.startswith("... still waiting (")]
    assert [line for line in lines if line not in reports] == ["a", "b"]
    assert reports


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(Failure, match="Cannot run no-such-command: No such file"):
        console.run(["no-such-command"], "trying")


def test_wait_for_gives_up(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(console, "QUIET", 0.1)
    monkeypatch.setattr(console, "POLL", 0.01)
    assert console.wait_for(lambda: False, "hoping", 0.3) is False
    assert "... still hoping (0 s)" in capsys.readouterr().out
    assert console.wait_for(lambda: True, "hoping", 0) is True


# --- Docker engine


@pytest.mark.usefixtures("no_engine")
def test_no_engine_and_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name, **_path: f"/usr/bin/{name}" if name == "apt-get" else None)
    with pytest.raises(Failure, match="No Docker engine answers: install and start one with: sudo apt-get install"):
        docker_engine.ensure()


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("chosen", "value"), [("DOCKER_HOST", "tcp://127.0.0.1:1"), ("DOCKER_CONTEXT", "x"), ("DOCKER_TLS_VERIFY", "1")]
)
def test_no_engine_where_a_variable_says(monkeypatch: pytest.MonkeyPatch, chosen: str, value: str) -> None:
    monkeypatch.setenv(chosen, value)
    with pytest.raises(Failure, match=re.escape(f"No Docker engine answers at {chosen}={value}: start it or unset")):
        docker_engine.ensure()


@pytest.mark.usefixtures("no_engine")
def test_no_engine_in_the_context_of_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "desktop-linux"}')
    with pytest.raises(Failure, match=r"in the context desktop-linux: start it, or `docker context use default`"):
        docker_engine.ensure()


@pytest.mark.usefixtures("no_engine")
def test_root_installs_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def remember(command: list[str], *_rest: object) -> int:
        commands.append(command)
        return 100 if "install" in command else 0

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_path: f"/usr/bin/{name}" if name == "apt-get" else None)
    monkeypatch.setattr(console, "run", remember)
    with pytest.raises(Failure, match=r"apt-get could not install docker\.io"):
        docker_engine.ensure()
    assert [command[1] for command in commands] == ["update", "install"]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no Docker engine answer."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker_engine, "answers", lambda: False)


def test_engine_of_somebody_else_is_never_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docker_engine, "PID_FILE", tmp_path / "dockerd.pid")
    assert docker_engine.stop_if_ours() is False
    # The number belongs to another process by now: this one.
    docker_engine.PID_FILE.write_text(str(os.getpid()))
    assert docker_engine.stop_if_ours() is False
    assert not docker_engine.PID_FILE.exists()


@pytest.mark.parametrize(
    ("started", "containers", "words"),
    [
        (True, "", "is stopped"),
        # Of another checkout, whose `up` found the engine running.
        (True, "4f1c\n", "keeps running: other containers need it"),
        # DOCKER_HOST leads elsewhere.
        (True, None, "keeps running: `docker ps` does not say"),
        (False, "", None),
        (False, "4f1c\n", None),
    ],
)
def test_engine_stays_while_others_need_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: bool, containers: str | None, words: str | None
) -> None:
    monkeypatch.setattr(docker_engine, "PID_FILE", tmp_path / "dockerd.pid")
    monkeypatch.setattr(docker_engine, "_is_dockerd", lambda _pid: True)
    monkeypatch.setattr(docker_engine, "output", lambda _command: containers)
    monkeypatch.setattr(docker_engine, "stop_if_ours", docker_engine.PID_FILE.exists)
    if started:
        docker_engine.PID_FILE.write_text("1")
    said = docker_engine.give_up()
    assert said is None if words is None else words in str(said)


# --- Base image


@pytest.fixture
def in_sample_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands read the settings of the tests' own project."""
    monkeypatch.setattr(paths, "ROOT", sample_project.folder())


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Run a web server that gives every request one answer, and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"a page")

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


@pytest.mark.parametrize(("status", "shown"), [(200, "200 OK"), (404, "404 Not Found"), (401, "401 Unauthorized")])
def test_what_a_service_answers_is_shown(status: int, shown: str) -> None:
    with answering(status) as url:
        assert launch._answer(url) == f"HTTP/1.1 {shown}\na page"


def test_a_service_that_cannot_answer_is_a_failure() -> None:
    with answering(503) as url, pytest.raises(Failure, match=f"GET {url} answered 503 Service Unavailable"):
        launch._answer(url)


@pytest.mark.usefixtures("in_sample_project")
def test_base_image_of_the_user_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_IMAGE", "mine:1")
    assert base_image.choose("dev") == "mine:1"


@pytest.mark.usefixtures("in_sample_project")
def test_base_image_in_the_cache_is_used_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    configured = paths.setting("dev", "base_image")
    monkeypatch.setattr(base_image, "_in_docker_cache", lambda image: image == configured)
    monkeypatch.setattr(base_image, "registry_answers", lambda _host: False)
    assert base_image.choose("dev") is None


@pytest.mark.usefixtures("in_sample_project")
def test_base_image_is_built_once_where_no_registry_is(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    built: list[str] = []
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    monkeypatch.setattr(base_image, "_in_docker_cache", lambda image: image in built)
    monkeypatch.setattr(base_image, "registry_answers", lambda _host: False)
    monkeypatch.setattr(base_image, "_codename", lambda _registry: "bookworm")
    monkeypatch.setattr(base_image, "_build", lambda image, *_rest: built.append(image))
    assert base_image.choose("dev") == "spotfleet-base:bookworm"
    assert base_image.choose("dev") == "spotfleet-base:bookworm"
    assert built == ["spotfleet-base:bookworm"]
    assert "cannot be reached: using spotfleet-base:bookworm" in capsys.readouterr().out


def test_no_base_image_without_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name, **_path: None)
    with pytest.raises(Failure, match="only Debian and Ubuntu can build a base image"):
        base_image._codename("public.ecr.aws")


def test_failed_build_leaves_no_archive(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    def fill_disk(command: list[str], *_rest: object) -> int:
        Path(command[-2]).write_text("half an archive")
        return 1

    monkeypatch.setattr(shutil, "which", lambda name, **_path: f"/usr/bin/{name}")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(console, "run", fill_disk)
    with pytest.raises(Failure, match="mmdebstrap could not build spotfleet-base:bookworm"):
        base_image._build("spotfleet-base:bookworm", "public.ecr.aws", "x86_64")
    assert list((paths.STATE / str(free_port)).glob("*.tar")) == []


def test_base_image_for_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(Failure, match="a base image for arm64 cannot be built on x86_64"):
        base_image._build("spotfleet-base:bookworm", "public.ecr.aws", "arm64")


def test_package_sources_are_those_of_the_release(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example bookworm main\n"
        "deb [arch=amd64] http://mirror.example/debian bookworm main contrib\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    (folder / "other.list").write_text("deb https://tools.example/apt tools-bookworm main\n")
    (folder / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm-updates trixie\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian.gpg\n\n"
        "Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n"
    )
    assert base_image.package_sources(tmp_path, "bookworm") == [
        "deb [arch=amd64] http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm-updates main",
    ]


# --- Settings, parameters, status


@pytest.mark.usefixtures("in_sample_project")
def test_setting_is_read_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_IMAGE", "mine:1")
    assert paths.setting("dev", "base_image") == "mine:1"
    assert paths.setting("dev", "project_code") == "spotfleet"
    assert paths.setting("dev", "no_such_key") is None


@pytest.mark.usefixtures("in_sample_project")
def test_layers_are_the_stack_files() -> None:
    assert paths.layers("dev") == ["cluster", "load-balancer", "machines", "service", "vpc"]


@pytest.mark.usefixtures("in_sample_project")
def test_stacks_of_an_environment() -> None:
    names = ("spotfleet-dev-vpc", "spotfleet-dev-load-balancer", "spotfleet-prod-vpc", "spotfleet-dev-other")
    identity = {"stacks": [{"name": name, "region": "eu-west-1"} for name in names]}
    assert environment_status.stack_names("dev", identity) == {
        "spotfleet-dev-vpc": "eu-west-1",
        "spotfleet-dev-load-balancer": "eu-west-1",
    }


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Return what writes files below config/ in a project of the test's own, and makes it the commands' project."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def launched(*names: str) -> dict[str, Any]:
    return {"stacks": [{"name": name, "region": "eu-west-1"} for name in names]}


Configured = Callable[[dict[str, str]], None]


@pytest.mark.parametrize(
    ("name", "other"),
    [("dev", "pre-dev"), ("prod", "non-prod"), ("dev", "eu/dev"), ("eu/dev", "dev"), ("a", "b-a"), ("vpc", "a-vpc")],
)
def test_environments_of_which_one_ends_like_the_other_are_told_apart(
    configured: Configured, name: str, other: str
) -> None:
    files = {f"{folder}/{layer}.yaml": "" for folder in (name, other) for layer in ("vpc", "service", "config")}
    configured({"config.yaml": "project_code: shop", **files})
    assert paths.environments() == sorted([name, other])
    stacks = {f: [f"shop-{f.replace('/', '-')}-{layer}" for layer in ("service", "vpc")] for f in (name, other)}
    identity = launched(*stacks[name], *stacks[other])
    assert list(environment_status.stack_names(name, identity)) == stacks[name]
    assert list(environment_status.stack_names(other, identity)) == stacks[other]
    assert environment_status.stack_names(name, launched(*stacks[other])) == {}


def test_projects_of_which_ones_code_ends_like_the_others_are_told_apart(configured: Configured) -> None:
    configured({"config.yaml": "project_code: shop", "dev/config.yaml": "", "dev/vpc.yaml": ""})
    identity = launched("web-shop-dev-vpc", "shop-dev-vpc", "old-dev-vpc")
    assert list(environment_status.stack_names("dev", identity)) == ["shop-dev-vpc"]


def test_a_file_that_has_changed_is_read_again(configured: Configured) -> None:
    configured({"config.yaml": "project_code: shop", "dev/config.yaml": "", "dev/vpc.yaml": ""})
    # An editor's lock leads nowhere.
    (paths.ROOT / "config/dev/.#lock").symlink_to("me@here")
    assert paths.stacks("dev") == ["shop-dev-vpc"]
    configured({"dev/config.yaml": "project_code: web", "dev/service.yaml": ""})
    assert paths.stacks("dev") == ["web-dev-service", "web-dev-vpc"]


def test_project_code_is_read_as_sceptre_reads_it(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "blue")
    configured(
        {
            "config.yaml": "project_code: {{ environment_variable.TEAM }}-shop\nregion: eu-west-1",
            "eu/config.yaml": "project_code: {{ project_code }}-{{ region }}",
            "eu/dev/config.yaml": "{% set n = 2 %}\nproject_code: {{ (project_code ~ n) | tojson }}",
            **{"eu/dev/vpc.yaml": "", "us/config.yaml": "region: us-east-1", "us/vpc.yaml": ""},
        }
    )
    assert paths.environments() == ["eu/dev", "us"]
    assert paths.stacks("eu/dev") == ["blue-shop-eu-west-12-eu-dev-vpc"]
    assert paths.stacks("us") == ["blue-shop-us-vpc"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secrets: {A: *hunter2}", "config/dev/config.yaml is not YAML: see its line 1."),
        ("a: 1\nsecrets: {A: 'hunter2", "config/dev/config.yaml is not YAML: see its line 2."),
        ("a: 1\n\n{{ hunter2 !}}", "config/dev/config.yaml is not a Jinja2 template: see its line 3."),
        ("a: {{ 1 / 0 }}", "config/dev/config.yaml cannot be read: ZeroDivisionError."),
        ("hunter2", "config/dev/config.yaml must hold settings, such as region: eu-west-1."),
        ("a: \x01", "config/dev/config.yaml is not YAML."),
        ("{% include 'hunter2' %}", "config/dev/config.yaml cannot be read: TemplateNotFound."),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_its_text(configured: Configured, text: str, problem: str) -> None:
    configured({"config.yaml": "project_code: shop", "dev/config.yaml": text, "dev/vpc.yaml": ""})
    with pytest.raises(Failure) as failure:
        paths.stacks("dev")
    assert str(failure.value) == problem


def test_down_names_stacks_of_a_former_project_code(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    configured({"config.yaml": "project_code: new", "dev/config.yaml": "", "dev/vpc.yaml": ""})
    monkeypatch.setattr(embedded_aws, "find", lambda: launched("old-dev-vpc"))
    assert launch._other_stacks("dev") == ["old-dev-vpc"]


def test_properties_get_the_type_of_the_api() -> None:
    ecs = client("ecs", "eu-west-1")
    properties = {"ServiceName": "s", "DesiredCount": "2", "EnableECSManagedTags": "true", "NotThere": 1}
    assert api_parameters(ecs, "CreateService", properties) == {
        "serviceName": "s",
        "desiredCount": 2,
        "enableECSManagedTags": True,
    }


def test_generated_names_fit_and_differ() -> None:
    owner = Owner("s" * 300, "Service")
    assert len(owner.generated_name()) == 255
    assert owner.generated_name() != owner.generated_name()


def complete_status() -> environment_status.Status:
    """Return the status of an environment in which all is well."""
    current = environment_status.Status("dev", url="http://127.0.0.1:8080/", image="web:1", desired_tasks=1)
    current.stacks = {f"spotfleet-dev-{layer}": "CREATE_COMPLETE" for layer in paths.layers("dev")}
    current.tasks = [environment_status.Task("t", "RUNNING", "healthy", "127.0.0.1:32768", "web:1")]
    current.machines = [environment_status.Machine("i-1", "eu-west-1a", "InService", "t3.micro", "spot")]
    return current


@pytest.mark.usefixtures("in_sample_project")
def test_a_status_is_the_same_after_it_was_sent() -> None:
    current = complete_status()
    current.services, current.groups = [("eu-west-1", "arn")], [("eu-west-1", "group")]
    assert environment_status.Status.from_json(json.loads(json.dumps(current.as_json()))) == current


@pytest.mark.usefixtures("in_sample_project")
def test_an_environment_that_cannot_be_read_now_is_said_so(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.setattr(embedded_aws, "status", lambda _name: {"problem": "Stack x does not exist"})
    result = invoke("status", "dev")
    assert result.exit_code == 1
    assert result.stderr == "dev is being launched or deleted; look again in a moment: Stack x does not exist\n"


@pytest.mark.usefixtures("in_sample_project")
def test_status_as_json_and_text(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.setattr(status, "of_environment", lambda _name: complete_status())
    result = invoke("status", "dev", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert {"url", "stacks", "image", "tasks", "machines"} <= answer.keys()
    assert answer["stacks"]["spotfleet-dev-vpc"] == "CREATE_COMPLETE"
    result = invoke("status")
    assert result.exit_code == 0
    text = result.stdout
    for word in ("spotfleet-dev-vpc", "web:1", "spot", "healthy", "http://127.0.0.1:8080/"):
        assert word in text
    assert len(text.splitlines()) < 24


@pytest.mark.usefixtures("in_sample_project")
def test_status_tells_how_the_services_do_and_why_they_scaled() -> None:
    current = complete_status()
    activity = {"time": "2026-03-02T12:00:05+00:00", "why": "an instance was started"}
    service = {
        **{"name": "web", "cpu_percent": [10.0, 64.6, None], "cpu_target_percent": 70.0},
        "groups": [{"requests_per_second": 412.34, "p50": 0.003, "p99": None}],
        "activities": [{"time": f"2026-03-02T12:00:0{second}+00:00", "why": f"at {second}"} for second in (9, 7, 3)],
    }
    current.figures = {"services": [service], "machine_activities": [activity]}
    lines = status.as_text(current).splitlines()
    assert "  web: 412.3 requests/s, p50 3 ms, p99 -, CPU 65 % (target 70 %)" in lines
    assert lines[-3:] == ["  12:00:09  at 9", "  12:00:07  at 7", "  12:00:05  an instance was started"]


@pytest.mark.usefixtures("in_sample_project")
def test_status_tells_the_cpu_credits_of_the_machines() -> None:
    current = complete_status()
    held = {"balance": 0.0, "surplus": 0.0, "vcpus": 2.0, "allowed_vcpus": 0.2, "dollars": 0.0}
    current.figures = {
        "cpu_credits": {
            "i-1": held | {"mode": "standard"},
            "i-2": held | {"mode": "unlimited", "balance": 3.25},
            "i-3": held | {"mode": "unlimited", "surplus": 12.0, "dollars": 0.01},
        }
    }
    lines = status.as_text(current).splitlines()
    first = lines.index("CPU credits") + 1
    assert [line.split(maxsplit=1)[1] for line in lines[first : first + 3]] == [
        "0.0; may use 0.20 of 2 vCPUs",
        "3.2; AWS would bill 0.0000 $",
        "12.0 of surplus; AWS would bill 0.0100 $",
    ]


@pytest.mark.usefixtures("in_sample_project")
@pytest.mark.parametrize("change", ["stack", "task"])
def test_status_of_what_is_not_well(monkeypatch: pytest.MonkeyPatch, invoke: Invoke, change: str) -> None:
    current = complete_status()
    if change == "stack":
        current.stacks["spotfleet-dev-vpc"] = "ROLLBACK_COMPLETE"
    else:
        current.tasks[0].health = "answers 503"
    monkeypatch.setattr(status, "of_environment", lambda _name: current)
    assert invoke("status", "dev", "--json").exit_code == 1


# --- The end of a launch


@pytest.fixture
def launching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let a launch succeed at once, and be given no time for its services."""
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(launch, "SERVICE_SECONDS", 0)
    for module, name in (
        *((docker_engine, "ensure"), (haproxy, "ensure_installed"), (process, "start")),
        *((base_image, "choose"), (console, "run")),
    ):
        monkeypatch.setattr(module, name, lambda *_arguments, **_more: 0)
    monkeypatch.setattr(machine_check, "lacks", lambda _image: [])


def services_of(*names: str) -> list[tuple[str, str]]:
    return [("eu-west-1", f"arn:aws:ecs:eu-west-1:000000000000:service/c/{name}") for name in names]


@pytest.mark.usefixtures("launching", "in_sample_project")
@pytest.mark.parametrize("others", [[], ["api"]])
def test_up_succeeds_while_a_service_is_to_have_no_task(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke, others: list[str]
) -> None:
    current = complete_status()
    current.services, current.at_zero = services_of("web", *others), ["web"]
    if not others:
        current.desired_tasks, current.tasks = 0, []
    monkeypatch.setattr(status, "of_environment", lambda _name: current)
    # Whoever asked the URL, on which nothing listens, would get no answer.
    result = invoke("up")
    assert result.exit_code == 0
    _blank, url, line, _blank, _rehearsal, _page = result.stdout.splitlines()
    assert url == "http://127.0.0.1:8080/"
    assert line.startswith("The desired count of web is 0, by schedule or by hand: nothing answers there")


@pytest.mark.usefixtures("launching", "in_sample_project")
def test_up_fails_while_no_service_is_active(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    current = complete_status()
    current.desired_tasks, current.tasks = 0, []
    monkeypatch.setattr(status, "of_environment", lambda _name: current)
    result = invoke("up")
    assert result.exit_code == 1
    assert "The service of dev is not healthy: see spotfleet status dev" in result.stderr


# --- A service that does not get steady


@pytest.fixture
def stubber() -> Iterator[Stubber]:
    """ECS with the answers that a test adds, which botocore holds to its own model."""
    with Stubber(boto3.client("ecs", region_name="eu-west-1")) as stubber:
        yield stubber


@pytest.fixture
def ecs(stubber: Stubber) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
    """ECS with two tasks that have stopped."""
    first = {"stoppedAt": 1, "stoppedReason": "first", "containers": []}
    last = {"stoppedAt": 2, "stoppedReason": "Essential container exited", "containers": [{"exitCode": 3}]}
    stubber.add_response("list_tasks", {"taskArns": ["arn:1", "arn:2"]})
    stubber.add_response("describe_tasks", {"tasks": [last, first]})
    return stubber.client


def described_service(**deployment: str) -> dict[str, Any]:
    """Return a service with one deployment."""
    only = {"id": "d", "status": "PRIMARY", "rolloutState": "COMPLETED", **deployment}
    return {
        "serviceName": "s",
        "clusterArn": "c",
        "runningCount": 1,
        "desiredCount": 1,
        "deployments": [only],
        "events": [],
    }


def test_completed_deployment_is_steady(ecs: Any) -> None:  # noqa: ANN401
    assert Service._steady(ecs, described_service(), "d") is True
    assert Service._steady(ecs, described_service(rolloutState="IN_PROGRESS"), "d") is False
    assert Service._steady(ecs, {**described_service(), "runningCount": 0}, "d") is False


@pytest.mark.parametrize("deployment", [{"rolloutState": "FAILED"}, {"status": "ACTIVE"}, {"id": "another"}])
def test_failed_deployment_tells_why_the_last_task_stopped(ecs: Any, deployment: dict[str, str]) -> None:  # noqa: ANN401
    service = described_service(**deployment)
    with pytest.raises(ValueError, match=r"Last task stopped: Essential container exited \(exit code 3\)"):
        Service._steady(ecs, service, "d")


def test_a_deployment_that_found_no_image_names_it(stubber: Stubber) -> None:
    containers = [{"image": "repository/web:1"}]
    stubber.add_response("describe_task_definition", {"taskDefinition": {"containerDefinitions": containers}})
    reason = "Three unsuccessful image digest resolution attempts."
    service = described_service(rolloutState="FAILED", rolloutStateReason=reason, taskDefinition="arn:2")
    with pytest.raises(
        ValueError, match=r"CannotPullContainerError: failed to resolve ref repository/web:1: not found"
    ):
        Service._steady(stubber.client, service, "d")


def test_service_that_never_settles_fails_after_the_deadline(
    ecs: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spotfleet.local.emulator.resource_types.ecs.STEADY_SECONDS", -1)
    with pytest.raises(ValueError, match=r"s was not steady after -1 s\. Last task stopped: Essential container"):
        Service()._wait(ecs, described_service(rolloutState="IN_PROGRESS"), Owner("stack", "Service"))


def test_a_cancelled_update_waits_for_its_service_no_longer(ecs: Any) -> None:  # noqa: ANN401
    cancelled = Owner("stack", "Service", lambda: "Resource update cancelled.")
    with pytest.raises(ValueError, match=r"Resource update cancelled\. Last task stopped: Essential container"):
        Service()._wait(ecs, described_service(rolloutState="IN_PROGRESS"), cancelled)


def test_a_failed_deployment_that_is_gone_tells_its_reason_through_the_events(ecs: Any) -> None:  # noqa: ANN401
    event = {"message": "(service s) (deployment gone) deployment failed: no image."}
    with pytest.raises(ValueError, match=r"no image\. Last task stopped"):
        Service._steady(ecs, described_service() | {"events": [event]}, "gone")
