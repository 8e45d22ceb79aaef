"""What this machine lacks for `spotfleet up`, all of it at once, and how to get it.

`make up` runs it as `python3 -m spotfleet.local.host.machine_check ENVIRONMENT` before it installs anything, and
`spotfleet up` asks again: so this needs nothing but Python.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spotfleet.image import docker_config
from spotfleet.image.registries import registry_answers, registry_of
from spotfleet.local.host import packages
from spotfleet.local.host.console import complain, output, say

ROOT = Path(__file__).resolve().parents[3]
# The variables that choose a port, their defaults, and who listens there; another one is so many numbers further.
PORTS = {
    "LOCAL_AWS_PORT": (4566, "the embedded AWS"),
    "LOCAL_HTTP_PORT": (8080, "the load balancer"),
    "LOCAL_HTTPS_PORT": (8443, "the load balancer"),
}
FURTHER = 100
HIGHEST_PORT = 65535
# The last release whose client has BuildKit built in; later ones need the buildx plugin.
LAST_RELEASE_WITH_BUILDKIT = 22
ANSWER_SECONDS = 30
SEVERAL = 2


@dataclass(frozen=True)
class Lack:
    """Something that is not there, and how to get it. `comes` says that `up` gets it by itself."""

    text: str
    comes: bool = False


def lacks(base_image: str | None, environ: Mapping[str, str] = os.environ) -> list[Lack]:
    """Return what is not there; `base_image` is the configured one, or None when that need not be looked for."""
    found = [*_docker(), *_haproxy(), *_ports(environ)]
    if base_image:
        found += _builder_of_base_image(base_image)
    return found


def message(found: Iterable[Lack]) -> str | None:
    """Return what a user is told who has to do something first, or None where nobody has."""
    own = [lack.text for lack in found if not lack.comes]
    if len(own) < SEVERAL:
        return own[0] if own else None
    return "\n".join([f"`spotfleet up` needs {len(own)} things that are not here:", *(f"- {text}" for text in own)])


def engine_problem() -> str | None:
    """Return why no Docker engine answers and what the user does about it, or None where we may do that ourselves."""
    for chosen in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        if os.environ.get(chosen):
            return f"No Docker engine answers at {chosen}={os.environ[chosen]}: start it or unset that."
    if (context := docker_config.context()) != docker_config.DEFAULT_CONTEXT:
        return f"No Docker engine answers in the context {context}: start it, or `docker context use default`"
    return None if packages.may_install() else f"No Docker engine answers{_advice()}"


def _advice() -> str:
    if not packages.find("docker"):
        if packages.find("apt-get"):
            return ": install and start one with: sudo apt-get install docker.io"
        return ": install one, see https://docs.docker.com/engine/install/"
    if "permission denied" in _complaint(["docker", "version"]).lower():
        return " this user: sudo usermod -aG docker $USER, then log in again"
    if packages.find("systemctl"):
        return ": start it with: sudo systemctl start docker (and be in the group docker, or run this as root)"
    return ": start Docker, then run this again."


def _docker() -> Iterator[Lack]:
    if output(["docker", "version", "--format", "{{.Server.Version}}"], ANSWER_SECONDS) is None:
        if problem := engine_problem():
            yield Lack(problem)
        else:
            yield Lack("a Docker engine, started" if packages.find("dockerd") else "Docker, installed", comes=True)
    clients = [path for folder in os.get_exec_path() if os.access(path := Path(folder, "docker"), os.X_OK)]
    if clients and not any(_has_buildkit(str(client)) for client in clients):
        yield Lack(f"{clients[0]} cannot build with BuildKit: install it with {_how_to_get_buildkit()}.")


def _has_buildkit(client: str) -> bool:
    if output([client, "buildx", "version"]) is not None:
        return True
    release = re.search(r"version (\d+)\.", output([client, "--version"]) or "")
    return release is not None and int(release[1]) <= LAST_RELEASE_WITH_BUILDKIT


def _how_to_get_buildkit() -> str:
    """Return how to get the plugin, which Docker's own packages and Debian's call by different names."""
    if not packages.find("apt-get"):
        return "your package manager (docker-buildx), see https://docs.docker.com/engine/install/"
    return "sudo apt-get install docker-buildx-plugin (of Docker's packages; docker-buildx is Debian's)"


def _haproxy() -> Iterator[Lack]:
    if packages.find("haproxy"):
        return
    yield _package("haproxy", "HAProxy (the load balancer)")


def _package(package: str, name: str) -> Lack:
    """Return the lack of a package, which we install where we may."""
    if packages.may_install():
        return Lack(f"{name}, installed", comes=True)
    return Lack(f"{name} is not installed: install it with {packages.how_to_install(package)}.")


def _ports(environ: Mapping[str, str]) -> Iterator[Lack]:
    """Yield ports that another program has; while an embedded AWS runs here, the ports are its own."""
    numbers = {name: environ.get(name) or str(default) for name, (default, _who) in PORTS.items()}
    wrong = {name for name, value in numbers.items() if not value.isdecimal() or not 0 < int(value) <= HIGHEST_PORT}
    for name in wrong:
        yield Lack(f"{name} is {numbers[name]!r}: give a port number from 1 to {HIGHEST_PORT}.")
    if "LOCAL_AWS_PORT" in wrong or _runs(numbers["LOCAL_AWS_PORT"]):
        return
    for name, (_default, who) in PORTS.items():
        if name not in wrong and (reason := _why_taken(int(numbers[name]))):
            other = f"{name}={int(numbers[name]) + FURTHER}"
            where = f"Port {numbers[name]}, where {who} would answer, is not free ({reason})"
            yield Lack(f"{where}: stop what uses it, or choose another port with {other}.")


def _runs(port: str) -> bool:
    """Return whether an embedded AWS of this folder runs on a port, or was killed there."""
    try:
        return (ROOT / ".local" / port / "running").exists()
    except OSError:
        # The folder is another user's, which `up` says.
        return False


def _why_taken(port: int) -> str | None:
    """Return why we cannot listen on a port of 127.0.0.1, or None where we can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError as error:
            return str(error.strerror)
    return None


def _builder_of_base_image(name: str) -> Iterator[Lack]:
    """Yield mmdebstrap where the base image can neither be pulled nor is there, and is to be built."""
    if os.environ.get("BASE_IMAGE") or packages.find("mmdebstrap") or not packages.find("apt-get"):
        return
    cached = output(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]) or ""
    if name in cached.split() or "spotfleet-base:" in cached or registry_answers(registry_of(name)):
        return
    yield _package("mmdebstrap", f"{registry_of(name)} cannot be reached, and mmdebstrap, which builds a base image,")


def _complaint(command: list[str]) -> str:
    """Return what a short command says on its standard error output."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""


def configured_base_image(environment: str) -> str | None:
    """Return the base image in an environment's settings, as far as it can be told without reading YAML and Jinja."""
    try:
        text = (ROOT / "config" / environment / "config.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    line = re.search(r"^base_image:(.*)$", text, re.MULTILINE)
    name = re.search(r"[\w.-]+\.[\w-]+(?::\d+)?/[\w./-]+(?::[\w.-]+)?", line[1]) if line else None
    return name[0] if name else None


def main(environment: str) -> int:
    """Say what is missing; return 1 where the user has to do something about it."""
    found = lacks(configured_base_image(environment))
    if words := message(found):
        complain(words)
        return 1
    if found:
        say(f"Not here yet, and done in a moment: {'; '.join(lack.text for lack in found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "dev"))
