"""Copies of this project in which an end-to-end test may change anything, each with an embedded AWS of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.support import sample_project, signed
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
# Longer than any one command takes, so that a command that hangs fails its test.
COMMAND_SECONDS = 300
# A lost task is noticed, replaced, and found healthy, on a busy machine.
HEAL_SECONDS = 180
LAYERS = {"vpc", "load-balancer", "cluster", "machines", "service"}


class Project:
    """A copy of the project's files, with the settings and pages of tests/sample, and the commands of its user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _output("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        sample_project.write_config(folder / "config")
        shutil.copy2(sample_project.SAMPLE / "handlers.py", folder / "service/handlers.py")
        self.port = free_port()
        self.variables = os.environ | local_variables(self.port)

    @property
    def container_label(self) -> str:
        """The filter for `docker ps` that finds the containers of this project's embedded AWS."""
        return f"label=ministack.instance={socket.gethostname()}:{self.port}"

    def containers(self) -> list[str]:
        """Return the ids of the containers that run in this project's embedded AWS."""
        return _output("docker", "ps", "-q", "--filter", self.container_label).split()

    def pid(self) -> int:
        """Return the process of this project's embedded AWS."""
        return int(signed.ask(self.folder, self.port, "/_spotfleet")["pid"])

    def local(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of `spotfleet`."""
        return self.run(sys.executable, "-m", "spotfleet", *arguments, **variables)

    def sceptre(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run plain `sceptre` with the variables that `spotfleet env` prints, and nothing else of ours."""
        sceptre = Path(sys.executable).with_name("sceptre")
        script = f'eval "$({sys.executable} -m spotfleet env)" && exec {sceptre} "$@"'
        return self.run("sh", "-c", script, "sh", *arguments, **variables)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder and return its exit code and all that it printed, in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.variables | variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def client(self, service: str) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
        """Return a client of the embedded AWS."""
        session = boto3.Session("local", signed.key(self.folder, self.port), region_name="eu-west-1")
        url = f"http://127.0.0.1:{self.port}"
        return session.client(service, endpoint_url=url, config=Config(proxies={}))  # type: ignore[call-overload]

    def status(self, environment: str = "dev") -> dict[str, Any]:
        """Return what `spotfleet status --json` prints, without the figures, which are other ones each time."""
        status: dict[str, Any] = json.loads(self.local("status", environment, "--json").stdout)
        del status["figures"]
        return status

    def replace(self, file: str, old: str, new: str) -> None:
        """Edit a file of the project; `old` must be in it."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def leftovers(self) -> list[str]:
        """List what is left of this project, see the function `leftovers`."""
        return leftovers(self.folder, self.variables)


def stacks_in_good_state(project: Project, environment: str = "dev") -> set[str]:
    """Return the layers of an environment whose stacks are as a launch leaves them."""
    stacks = project.status(environment)["stacks"]
    good = {name for name, state in stacks.items() if state in ("CREATE_COMPLETE", "UPDATE_COMPLETE")}
    return {name.removeprefix(f"spotfleet-{environment}-") for name in good}


def wait_until_two_tasks_serve(project: Project) -> None:
    """Wait until dev has lost nothing any more."""
    deadline = time.monotonic() + HEAL_SECONDS
    while not (len(project.containers()) == 2 and project.status()["complete"]):
        assert time.monotonic() < deadline, project.status()
        time.sleep(0.5)


@contextmanager
def launched(project: Project) -> Iterator[Project]:
    """Launch a project's environment dev for the block, and delete it; then nothing may be left."""
    up = project.local("up")
    assert up.returncode == 0, up.stdout
    try:
        yield project
    finally:
        down = project.local("down")
    assert down.returncode == 0, down.stdout
    assert project.leftovers() == []


def leftovers(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """List what a project has left of containers, images and processes, and who listens on its ports.

    `variables` are those with which its commands ran.
    """
    port = variables["LOCAL_AWS_PORT"]
    filters = {
        "container": ["ps", "-aq", "--filter", f"label=ministack.instance={socket.gethostname()}:{port}"],
        "router": ["ps", "-aq", "--filter", f"label=spotfleet.instance={socket.gethostname()}:{port}"],
        "network": ["network", "ls", "-q", "--filter", f"label=spotfleet.instance={socket.gethostname()}:{port}"],
        "image": ["images", "-q", "--filter", f"reference=127.0.0.1:{port}/*"],
    }
    found = [f"{kind} {name}" for kind, command in filters.items() for name in _output("docker", *command).split()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = (process / "cwd").resolve().is_relative_to(folder)
            command = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if ours:
            found.append(f"process {process.name}: {command}")
    for name in ("LOCAL_AWS_PORT", "LOCAL_HTTP_PORT", "LOCAL_HTTPS_PORT"):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(variables[name]))) == 0:
                found.append(f"a listener on port {variables[name]}, {name}")
    return found


class Redirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer that it is."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        """Ask nobody else."""


class Requests:
    """Sends requests, one after the other, and counts the answers."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send, args=(url,))

    def __enter__(self) -> "Requests":
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._end.set()
        self._thread.join()

    def _send(self, url: str) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Redirects())
        while not self._end.is_set():
            try:
                with opener.open(url, timeout=10) as response:
                    self.answers[str(response.status)] += 1
            except urllib.error.HTTPError as error:
                self.answers[str(error.code)] += 1
            except OSError as error:
                self.answers[f"{error}"] += 1
            time.sleep(0.01)


def get(url: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of what `url` answers."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # the URL of our own load balancer
        return response.status, dict(response.headers), response.read().decode()


def local_variables(port: int) -> dict[str, str]:
    """Return the variables of an embedded AWS that shares no port with another one, and does not make the test wait."""
    ports = {"LOCAL_HTTP_PORT": str(free_port()), "LOCAL_HTTPS_PORT": str(free_port())}
    # What a user sees, and the same each time.
    as_rehearsed = {"LOCAL_SPEED": "10", "LOCAL_DELAYS": "typical", "LOCAL_SEED": "1"}
    return {"LOCAL_AWS_PORT": str(port), **as_rehearsed, **ports}


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True).stdout
