"""The Docker engine: found, or installed and started where we may do that."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from spotfleet.local.host import console, machine_check, packages, paths
from spotfleet.local.host.console import Failure, output, say

PID_FILE = paths.STATE / "dockerd.pid"
LOG_FILE = paths.STATE / "dockerd.log"
START_SECONDS = 60
STOP_SECONDS = 60
# The engines that this process started, kept because Python warns of a process that nobody refers to any more.
_started: list[subprocess.Popen[bytes]] = []


def answers() -> bool:
    """Return whether an engine answers the docker command."""
    return output(["docker", "version", "--format", "{{.Server.Version}}"]) is not None


def use_address_of_command() -> None:
    """Lead the Docker SDK to the engine that the docker command uses, which a context can choose."""
    if not os.environ.get("DOCKER_HOST"):
        address = output(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        if address:
            os.environ["DOCKER_HOST"] = address


def ensure() -> None:
    """Make sure that a Docker engine answers: install and start it where we are root on Debian or Ubuntu.

    Raises Failure with the command to run where we cannot.
    """
    if not answers():
        _install()
        _start()
    use_address_of_command()


def prepare() -> None:
    """Make sure that `ensure` will succeed, without starting an engine yet. Raises Failure as it does."""
    if not answers():
        _install()


def _install() -> None:
    if problem := machine_check.engine_problem():
        raise Failure(problem)
    if not packages.find("dockerd"):
        packages.install("docker.io", "Docker")


def _start() -> None:
    say("Starting the Docker engine ...")
    if Path("/run/systemd/system").is_dir():
        process = None
        console.run(["systemctl", "start", "docker"], "starting the Docker engine")
    else:
        paths.make_private(LOG_FILE.parent)
        with paths.open_log(LOG_FILE) as log:
            process = subprocess.Popen(
                [packages.find("dockerd") or "dockerd"],
                env=packages.variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _started.append(process)
        PID_FILE.write_text(str(process.pid))

    def answers_or_ended() -> bool:
        return answers() or (process is not None and process.poll() is not None)

    console.wait_for(answers_or_ended, "starting the Docker engine", START_SECONDS)
    if not answers():
        PID_FILE.unlink(missing_ok=True)
        words = console.last_lines(LOG_FILE) if process else "see: journalctl -u docker"
        raise Failure(f"The Docker engine did not start: {words}")


def give_up() -> str | None:
    """Stop the engine when ensure() started it, unless containers run on it; return what to say of that, if anything.

    They are another checkout's, or anyone's, and would end with it.
    """
    if PID_FILE.exists():
        running = output(["docker", "ps", "-q"])
        if running:
            return "The Docker engine, which `up` had started, keeps running: other containers need it."
        # DOCKER_HOST may lead to another one by now.
        if running is None and _is_dockerd(int(PID_FILE.read_text())):
            return "The Docker engine, which `up` had started, keeps running: `docker ps` does not say who needs it."
    return "The Docker engine, which `up` had started, is stopped." if stop_if_ours() else None


def stop_if_ours() -> bool:
    """Stop the engine when ensure() started it itself; return whether it did.

    Raises Failure when it does not end.
    """
    if not PID_FILE.exists():
        return False
    pid = int(PID_FILE.read_text())
    PID_FILE.unlink()
    if not _is_dockerd(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    if not console.wait_for(lambda: not _is_dockerd(pid), "stopping the Docker engine", STOP_SECONDS):
        raise Failure(f"The Docker engine, process {pid}, does not end.")
    return True


def _is_dockerd(pid: int) -> bool:
    """Return whether the process still is the engine: numbers of ended processes are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"dockerd" in command


def remove_leftovers(port: int) -> tuple[int, int]:
    """Remove the containers and the registry's images of the embedded AWS on this port; return how many of each."""
    instance = f"{socket.gethostname()}:{port}"
    containers = _found("ps", "-a", label=f"ministack.instance={instance}")
    routers = _found("ps", "-a", label=f"spotfleet.instance={instance}")
    if containers or routers:
        output(["docker", "rm", "-f", "-v", *containers, *routers], seconds=120)
    networks = _found("network", "ls", label=f"spotfleet.instance={instance}")
    if networks:
        output(["docker", "network", "rm", *networks], seconds=120)
    listing = ["docker", "images", "--digests", "--filter", f"reference=127.0.0.1:{port}/*"]
    by_tag = output([*listing, "--format", "{{.Repository}}:{{.Tag}}"]) or ""
    by_digest = output([*listing, "--format", "{{.Repository}}@{{.Digest}}"]) or ""
    # By name, never by id: the same image may have a name that is not ours.
    names = {name for name in [*by_tag.split(), *by_digest.split()] if not name.endswith("<none>")}
    if names:
        output(["docker", "rmi", *sorted(names)], seconds=120)
    return len(containers), len(names)


def _found(*listing: str, label: str) -> list[str]:
    """Return the ids of what the docker command lists with a label."""
    return (output(["docker", *listing, "-q", "--filter", f"label={label}"]) or "").split()
