"""The servers that are compared, each one process on one core, on a port of its own of 127.0.0.1."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.clients import HOST, free_port, wait_until_healthy

PROJECT = Path(__file__).parent.parent
# How long the service goes on answering after SIGTERM.
DRAIN_SECONDS = 1
OPEN_FILES = 4096

ARTICLE = "article"
ARTICLE_LOG = "article, access log"
ARTICLE_UVLOOP = "article on uvloop"
SPOTFLEET = "spotfleet"
SPOTFLEET_LOG = "spotfleet, log"
STARLETTE = "starlette"
FASTAPI = "fastapi"
SANIC = "sanic"
BLACKSHEEP = "blacksheep"


@dataclass(frozen=True)
class Contender:
    """How to start a server: with which Python, as what, with which environment."""

    name: str
    python: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, port: int) -> list[str]:
        """Return the command line for `port`."""
        return [self.python, *(str(port) if argument == "PORT" else argument for argument in self.arguments)]


@dataclass
class Server:
    """A running server."""

    contender: Contender
    port: int
    process: subprocess.Popen[bytes]
    start_ms: float

    def ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process.poll() is not None

    @property
    def cpu_seconds(self) -> float:
        """The processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mib(self) -> float:
        """The resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1024**2


def contenders(service_python: str, peers_python: str) -> list[Contender]:
    """Return everything that is compared; the article's application and the service run on the same packages."""
    article = ["bench/article/app.py"]
    uvicorn = ["--host", HOST, "--port", "PORT", "--no-access-log", "--log-level", "warning", "--backlog", "2048"]
    peers = [
        Contender(name, peers_python, ["-m", "uvicorn", f"bench.peers.{name}_app:app", *uvicorn])
        for name in (STARLETTE, FASTAPI, BLACKSHEEP)
    ]
    return [
        Contender(ARTICLE, service_python, article),
        Contender(ARTICLE_LOG, service_python, article, {"ARTICLE_ACCESS_LOG": "1"}),
        Contender(ARTICLE_UVLOOP, service_python, article, {"ARTICLE_UVLOOP": "1"}),
        Contender(SPOTFLEET, service_python, ["-m", "service"], {"LOG_REQUESTS": "false"}),
        Contender(SPOTFLEET_LOG, service_python, ["-m", "service"]),
        *peers,
        Contender(SANIC, peers_python, ["-m", "bench.peers.sanic_app"]),
    ]


@contextmanager
def running(contender: Contender, core: int) -> Iterator[Server]:
    """Run `contender` on `core` until the block ends; its output goes nowhere."""
    port = free_port()
    environment = {
        **os.environ,
        "HOST": HOST,
        "PORT": str(port),
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
        **contender.environment,
    }
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *contender.command(port)],  # noqa: S607
        env=environment,
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=allow_many_files,  # noqa: PLW1509  # No threads run at this point.
    )
    try:
        start_ms = wait_until_healthy(port, lambda: process.poll() is None)
        yield Server(contender, port, process, start_ms)
    finally:
        process.kill()
        process.wait()


@contextmanager
def all_running(wanted: list[Contender], core: int) -> Iterator[dict[str, Server]]:
    """Run all of `wanted` on `core` until the block ends."""
    with ExitStack() as stack:
        yield {contender.name: stack.enter_context(running(contender, core)) for contender in wanted}


def allow_many_files() -> None:
    """Raise the limit of open files for servers that do not do so themselves."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
