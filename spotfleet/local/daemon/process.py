"""The process of the embedded AWS, from outside: start it in the background, see whether it runs, stop it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from spotfleet.local.api import embedded_aws
from spotfleet.local.balancer import haproxy, ports
from spotfleet.local.daemon.server import require_free_port, running_file
from spotfleet.local.host import clock, delays, docker_engine, paths, rehearsal, variables
from spotfleet.local.host.console import Failure, last_lines, say, wait_for

START_SECONDS = 30
STOP_SECONDS = 90


def start() -> None:
    """Start the embedded AWS in the background unless it runs, and wait until it answers.

    Raises Failure when a port is none or in use, its own or the load balancer's, or when it does not come up.
    """
    ports.require_numbers()
    if identity := embedded_aws.find():
        running = rehearsal.told(identity)
        say(f"The embedded AWS runs at {paths.endpoint()}, with {running.label}.")
        _mention_other_variables(running)
        return
    require_free_port()
    if running_file().exists():
        say("The embedded AWS was killed, and the stacks that it had are lost: it starts empty.")
    remove_leftovers()
    ports.require_free()
    say(f"Starting the embedded AWS at {paths.endpoint()} (log: {paths.log_file()}).")
    say(f"It runs with {rehearsal.own().label}.")
    with paths.open_log(paths.log_file()) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotfleet", "serve"],
            cwd=paths.ROOT,
            env=variables.for_server(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    came_up = wait_for(
        lambda: embedded_aws.find() is not None or process.poll() is not None,
        "starting the embedded AWS",
        START_SECONDS,
    )
    if not came_up or process.poll() is not None:
        raise Failure(f"The embedded AWS did not start: {last_lines(paths.log_file())}")


def remove_leftovers() -> None:
    """Remove what an embedded AWS has left that was killed: HAProxy, containers, images of its registry."""
    haproxy.Process().stop()
    running_file().unlink(missing_ok=True)
    if not docker_engine.answers():
        return
    containers, images = docker_engine.remove_leftovers(paths.port())
    if containers or images:
        say(f"Removed {containers} left-over containers and {images} images of the embedded AWS's registry.")


def _mention_other_variables(running: rehearsal.Rehearsal) -> None:
    ours: dict[str, Callable[[], bool]] = {
        clock.VARIABLE: lambda: clock.speed() != running.speed,
        delays.VARIABLE: lambda: delays.mode() != running.delays,
        delays.SEED_VARIABLE: lambda: delays.seed() != running.seed,
    }
    for variable, differs in ours.items():
        if os.environ.get(variable) and differs():
            say(f"Another {variable} takes effect when it starts again.")


def stop() -> bool:
    """Stop the embedded AWS with all containers of its tasks; return whether it ran.

    Raises Failure when it does not end.
    """
    identity = embedded_aws.find()
    if identity is None:
        return False
    pid = int(identity["pid"])
    os.kill(pid, signal.SIGTERM)
    if not wait_for(lambda: not _runs(pid), "stopping the embedded AWS", STOP_SECONDS):
        raise Failure(f"The embedded AWS, process {pid}, does not end: kill -9 {pid}")
    return True


def _runs(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
