"""The service's image as it is built and run: what is in it, how it ends, and what slow clients can do to it."""

import asyncio
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.clients import (
    free_port,
    latencies,
    load_until_unhealthy,
    percentile,
    slow_clients,
    trickle,
    wait_until_healthy,
)
from spotfleet.image.docker_cli import build, find_docker
from spotfleet.image.image import PLATFORMS, look_at
from spotfleet.local.host import base_image, paths
from tests.support.projects import ROOT
from tools.bill_of_materials import problems
from tools.scan_image import bill_of

DRAIN_SECONDS = 1
# What a client has for its headers, and how long the slow ones may at most stay, beside whatever else the machine does.
HEADER_SECONDS = 10
LONGEST_SECONDS = 60
# As the task definition has it, with a port of its own on the machine's loopback.
AS_ON_ECS = ["--network=host", "--read-only", "--cap-drop=ALL", "--init", "--memory=256m", "--env=HOST=127.0.0.1"]


@pytest.fixture(scope="module")
def docker() -> str:
    """The docker command."""
    return find_docker()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image is built from, checked out under a umask of 077, with a program and a link among the files."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("service", "image"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "spotfleet/facts").mkdir(parents=True)
    for name in ("Dockerfile", ".dockerignore", "spotfleet/facts/origins.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "service/data").mkdir()
    (folder / "service/data/run.py").write_text("print('ran')\n")
    (folder / "service/data/link.py").symlink_to("run.py")
    for path in (folder / "service").rglob("*"):
        # A file's mode is part of Docker's build cache: what takes long to build is shared with the other tests.
        if not path.is_symlink() and path.name != "requirements.txt":
            path.chmod(0o700 if path.is_dir() or path.name == "run.py" else 0o600)
    return folder


@pytest.fixture(scope="module")
def image(docker: str, checkout: Path) -> str:
    """The name of the service's image, built."""
    base = base_image.choose("dev") or str(paths.setting("dev", "base_image"))
    platform = PLATFORMS[str(paths.setting("dev", "cpu_architecture"))]
    image = look_at("spotfleet-test-service", base, platform, checkout, ROOT, pull=print)
    build(docker, image, lambda _: None)
    return image.uri


class Container:
    """A running container of the service."""

    def __init__(self, docker: str, name: str, port: int) -> None:
        self.docker = docker
        self.name = name
        self.port = port

    def run(self, *arguments: str) -> str:
        """Run a docker command on the container and return its output."""
        command = [self.docker, *arguments, self.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def state(self) -> dict[str, Any]:
        """Return what Docker says about it."""
        state: dict[str, Any] = json.loads(self.run("inspect", "--format={{json .State}}"))
        return state

    def alive(self) -> bool:
        """Return whether it runs."""
        return bool(self.state()["Running"])

    def stop_gently(self) -> None:
        """Send SIGTERM, as ECS does."""
        self.run("kill", "--signal=TERM")

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return int(self.run("wait"))


@contextmanager
def container(docker: str, image: str, **settings: str | float) -> Iterator[Container]:
    """Run `image` until the block ends."""
    port = free_port()
    name = f"spotfleet-test-service-{port}"
    variables = [f"--env={name}={value}" for name, value in {"PORT": port, **settings}.items()]
    command = [docker, "run", "--detach", f"--name={name}", *AS_ON_ECS, *variables, image]
    subprocess.run(command, check=True, capture_output=True)
    started = Container(docker, name, port)
    try:
        wait_until_healthy(port, started.alive)
        yield started
    finally:
        started.run("rm", "--force", "--volumes")


def inside(docker: str, image: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in a container of `image`."""
    return subprocess.run(
        [docker, "run", "--rm", "--read-only", image, *command], capture_output=True, text=True, check=False
    )


def test_the_image_has_no_shell_and_no_pip(docker: str, image: str) -> None:
    assert inside(docker, image, "sh", "-c", "exit 0").returncode != 0
    assert inside(docker, image, "python3", "-m", "pip").returncode != 0
    assert "No module named pip" in inside(docker, image, "python3", "-m", "pip").stderr


def test_the_image_runs_as_nobody_and_its_modules_are_compiled(docker: str, image: str) -> None:
    program = (
        "import os, service.server, sys\n"
        "print(os.getuid(), [m.__name__ for m in sys.modules.values() if (c := getattr(m, '__cached__', None)) "
        "and not os.path.exists(c)])"
    )
    result = inside(docker, image, "python3", "-c", program)
    assert result.stdout == "65532 []\n", result.stderr


def test_the_service_can_read_its_files_whatever_the_umask_of_the_checkout(docker: str, image: str) -> None:
    program = (
        "import os; print([(name, oct(os.stat(name).st_mode)[-3:], os.access(name, os.R_OK)) "
        "for name in ('/app', '/app/service', '/app/service/handlers.py', 'service/data', 'service/data/run.py')], "
        "os.readlink('service/data/link.py'))"
    )
    modes = [("/app", "755", True), ("/app/service", "755", True), ("/app/service/handlers.py", "644", True)]
    modes += [("service/data", "755", True), ("service/data/run.py", "755", True)]
    assert inside(docker, image, "python3", "-c", program).stdout == f"{modes} run.py\n"
    assert inside(docker, image, "python3", "service/data/link.py").stdout == "ran\n"


def test_the_image_lists_what_is_in_it(docker: str, image: str) -> None:
    bill = bill_of(docker, image)
    assert problems(bill, (ROOT / "service/requirements.txt").read_text()) == []
    assert not [part["name"] for part in bill["components"] if part["name"] in ("apt", "bash", "dpkg", "pip")]


def test_scanners_see_the_packages_of_the_base(docker: str, image: str) -> None:
    """Every library of the system is in the records of a package that is installed as far as the image says."""
    program = (
        "import glob, pathlib as p, re; info = p.Path('/var/lib/dpkg/info'); "
        "records = {r.stem.partition(':')[0]: r.read_text().splitlines() for r in info.glob('*.list')}; "
        "owned = {file for files in records.values() for file in files}; "
        "status = p.Path('/var/lib/dpkg/status').read_text(); "
        "libraries = glob.glob('/lib*/**/*.so.*', recursive=True) + glob.glob('/usr/lib/*-linux-gnu/*.so.*'); "
        "print('ID=debian' in p.Path('/etc/os-release').read_text(), len(libraries) > 5, set(libraries) - owned, "
        "set(records) == set(re.findall('(?m)^Package: (.*)', status)), 'libc6' in records, 'bash' in records)"
    )
    assert inside(docker, image, "python3", "-c", program).stdout == "True True set() True True False\n"


def test_the_image_trusts_the_usual_certificates(docker: str, image: str) -> None:
    program = (
        "import os, ssl; print(ssl.get_default_verify_paths().capath, "
        "sum(name.endswith('.0') for name in os.listdir('/etc/ssl/certs')) > 50)"
    )
    assert inside(docker, image, "python3", "-c", program).stdout == "/etc/ssl/certs True\n"


def test_sigterm_while_starting_ends_the_container(docker: str, image: str) -> None:
    name = f"spotfleet-test-service-{free_port()}"
    subprocess.run([docker, "run", "--detach", f"--name={name}", "--cpus=0.1", image], check=True, capture_output=True)
    try:
        time.sleep(0.5)
        subprocess.run([docker, "kill", "--signal=TERM", name], check=True, capture_output=True)
        ended = subprocess.run([docker, "wait", name], check=True, capture_output=True, text=True, timeout=120)
        assert ended.stdout.strip() == "0"
    finally:
        subprocess.run([docker, "rm", "--force", name], check=True, capture_output=True)


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("number", range(10))
def test_sigterm_under_load_breaks_no_request(docker: str, image: str, keep_alive: bool, number: int) -> None:
    with container(docker, image, DRAIN_SECONDS=DRAIN_SECONDS, LOG_REQUESTS="false") as service:
        threading.Timer(0.3 + number / 20, service.stop_gently).start()
        outcome = asyncio.run(load_until_unhealthy(service.port, 64, keep_alive, notice_seconds=0.6 * DRAIN_SECONDS))
        assert service.wait() == 0
        assert outcome.answered > 100
        assert (outcome.broken, outcome.refused) == ([], [])


def test_500_slow_clients_neither_slow_the_others_nor_stay(docker: str, image: str) -> None:
    with container(docker, image, HEADER_SECONDS=HEADER_SECONDS, LOG_REQUESTS="false") as service:
        with slow_clients(service.port, 500) as clients:
            start = time.monotonic()
            beside: list[float] = []
            while (cut_off := trickle(clients)) < len(clients) and time.monotonic() - start < LONGEST_SECONDS:
                beside += latencies(service.port, 5 if time.monotonic() - start < 5 else 1, pause=0.001)
            assert cut_off == len(clients)
        # Far below what the slow ones are given: nobody waits for them, however busy the machine is that all share.
        assert percentile(beside, 50) < HEADER_SECONDS / 4
