"""The process of the embedded AWS: serve it, start it in the background, find it, stop it."""

import asyncio
import fcntl
import hmac
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import balancer_ports, balancer_process, clock, docker_engine, environment, keys, signature, variables
from local.console import Failure, last_lines, say, wait_for
from local.signature import Scope

if TYPE_CHECKING:  # controllers imports this module
    from local import controllers

# Where the server says who it is.
IDENTITY_PATH = "/_spotfleet"
# The live page, and with .json behind it what it shows.
PAGE_PATH = "/_spotfleet/page"
# With which a program says something that only a server with the key can make its answer from.
NONCE_HEADER = "x-spotfleet-nonce"
PROOF_HEADER = "x-spotfleet-proof"
# What questions to the server itself are signed for: no service of AWS.
OWN_SCOPE = Scope("local", "local", "spotfleet")
MOST_ANSWER_BYTES = 64 * 1024 * 1024
START_SECONDS = 30
STOP_SECONDS = 90
DEFAULT_ACCOUNT = "000000000000"


def serve() -> None:
    """Run the embedded AWS in this process, on the loopback interface only, until SIGTERM or SIGINT.

    Raises Failure when its port is in use, or a port of the load balancer's is none.
    """
    _require_free_port()
    clock.speed()  # says at once when it is not a number
    balancer_ports.require_numbers()
    # Whatever is written from here on, by HAProxy as well, only its owner can read.
    os.umask(0o077)
    with _only_one():
        _serve()


@contextmanager
def _only_one() -> Iterator[None]:
    """Hold this port's state for the block: a second start at the same time would replace the first one's key."""
    with (environment.state_folder() / "serving").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failure(f"An embedded AWS starts or runs on port {environment.port()} already.") from error
        yield


def _serve() -> None:
    key = keys.make()
    _set_ministack_variables()
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415  # slow to import, only needed here
    from hypercorn.config import Config  # noqa: PLC0415

    from local import application, controllers  # noqa: PLC0415  # import this module

    config = Config()
    config.bind = [f"127.0.0.1:{environment.port()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2

    supervisor = controllers.Supervisor(controllers.classes())

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        start = asyncio.create_task(_start_controllers(supervisor))

        async def until_stopped() -> None:
            await stop.wait()
            start.cancel()
            # While the server still answers what they ask.
            await asyncio.to_thread(supervisor.stop)

        # Stopping this way runs MiniStack's own shutdown, which removes the containers of the tasks.
        asgi = application.make(supervisor, key)
        await hypercorn_serve(asgi, config, shutdown_trigger=until_stopped)  # type: ignore[arg-type]

    running = _running_file()
    running.touch()
    asyncio.run(run())
    keys.forget()
    running.unlink(missing_ok=True)


def _running_file() -> Path:
    """Return the file that is there from the start of the embedded AWS until it has stopped in order."""
    return environment.state_folder() / "running"


async def _start_controllers(supervisor: "controllers.Supervisor") -> None:
    """Start the controllers once the server answers: they begin with asking it."""
    while await asyncio.to_thread(find) is None:
        await asyncio.sleep(0.1)
    supervisor.start()


def _set_ministack_variables() -> None:
    """Set what MiniStack reads when it is imported; what it writes goes below the ignored folder."""
    folder = environment.state_folder()
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    # The server calls itself: with the variables that lead to it, never with the user's own.
    inside = variables.for_server()
    os.environ.clear()
    os.environ.update(inside)
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(environment.port()),
        # Part of the label of this server's containers, by which docker_engine finds what is left of them.
        MINISTACK_HOSTNAME=socket.gethostname(),
        MINISTACK_ACCOUNT_ID=DEFAULT_ACCOUNT,
        STATE_DIR=str(folder / "state"),
        S3_DATA_DIR=str(folder / "s3"),
        TMPDIR=str(temporary),
        # Listeners of services that no template uses.
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
    )


def find() -> dict[str, Any] | None:
    """Return what the embedded AWS of this repository says about itself, or None when it does not run."""
    identity = _ask(IDENTITY_PATH)
    return identity if identity is not None and identity.get("folder") == str(environment.ROOT) else None


def shown(name: str) -> dict[str, Any]:
    """Return what the live page shows of an environment; nothing when it shows none of that name."""
    page = _ask(f"{PAGE_PATH}.json") or {}
    found: dict[str, Any] = next((item for item in page.get("environments", []) if item["environment"] == name), {})
    return found


def page_url() -> str:
    """Return the address of the live page, with its key behind the #: a browser sends that to nobody."""
    return f"{environment.endpoint()}{PAGE_PATH}#{keys.of_page(keys.read() or '')}"


def _ask(path: str) -> dict[str, Any] | None:
    """Return the JSON object that the embedded AWS answers, or None when it, or something else there, does not.

    Who listens there without the key, another user of the machine for instance, is something else.
    """
    key = keys.read()
    if key is None:
        return None
    nonce = secrets.token_hex(16)
    headers = {"host": environment.endpoint().removeprefix("http://"), NONCE_HEADER: nonce}
    headers |= signature.sign(signature.Request("GET", path, headers, b""), OWN_SCOPE, key)
    request = urllib.request.Request(environment.endpoint() + path, headers=headers)  # noqa: S310  # ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(request, timeout=5) as response:
            told, content = response.headers.get(PROOF_HEADER, ""), response.read(MOST_ANSWER_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    # Nothing of an answer is looked into before it is known whose it is.
    if not hmac.compare_digest(told.encode(), keys.proof(key, nonce, path, content).encode()):
        return None
    answer: dict[str, Any] = json.loads(content)
    return answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a signed question is for the embedded AWS alone."""

    def redirect_request(self, *_arguments: object) -> None:
        """Return no other request, which makes the redirection an error."""


def start() -> None:
    """Start the embedded AWS in the background unless it runs, and wait until it answers.

    Raises Failure when a port is none or in use, its own or the load balancer's, or when it does not come up.
    """
    balancer_ports.require_numbers()
    if identity := find():
        say(f"The embedded AWS runs at {environment.endpoint()}.")
        _mention_other_speed(float(identity["speed"]))
        return
    _require_free_port()
    if _running_file().exists():
        say("The embedded AWS was killed, and the stacks that it had are lost: it starts empty.")
    remove_leftovers()
    balancer_ports.require_free()
    say(f"Starting the embedded AWS at {environment.endpoint()} (log: {environment.log_file()}).")
    with environment.open_log(environment.log_file()) as log:
        process = subprocess.Popen(  # the command is ours
            [sys.executable, "-m", "local", "serve"],
            cwd=environment.ROOT,
            env=variables.for_server(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    came_up = wait_for(
        lambda: find() is not None or process.poll() is not None, "starting the embedded AWS", START_SECONDS
    )
    if not came_up or process.poll() is not None:
        raise Failure(f"The embedded AWS did not start: {last_lines(environment.log_file())}")


def remove_leftovers() -> None:
    """Remove what an embedded AWS has left that was killed: HAProxy, containers, images of its registry."""
    balancer_process.Process().stop()
    _running_file().unlink(missing_ok=True)
    if not docker_engine.answers():
        return
    containers, images = docker_engine.remove_leftovers(environment.port())
    if containers or images:
        say(f"Removed {containers} left-over containers and {images} images of the embedded AWS's registry.")


def _mention_other_speed(speed: float) -> None:
    if os.environ.get(clock.VARIABLE) and clock.speed() != speed:
        say(f"It runs with {clock.label(speed)}: another {clock.VARIABLE} takes effect when it starts again.")


def _require_free_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", environment.port()))
        except OSError as error:
            raise Failure(
                f"Port {environment.port()}, where the embedded AWS would listen, is not free ({error.strerror}): "
                f"stop what uses it, or choose another port with {environment.PORT_VARIABLE}=4577."
            ) from error


def stop() -> bool:
    """Stop the embedded AWS with all containers of its tasks; return whether it ran.

    Raises Failure when it does not end.
    """
    identity = find()
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
