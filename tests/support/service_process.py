"""The service as a process of its own, for tests that need real sockets, signals and file descriptors."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.clients import HOST, REQUEST, free_port, wait_until_healthy

PROJECT = Path(__file__).parents[2]
KEEP_ALIVE_REQUEST = REQUEST
CLOSING_REQUEST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
# RFC 6455, section 4.1: how a client asks for WebSocket frames.
HANDSHAKE = (
    b"GET /websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MEBIBYTE = 1024 * 1024


def get(path: str, *headers: str) -> bytes:
    """Return a request for `path` that asks for the connection to be closed."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def post(path: str, size: int) -> bytes:
    """Return the header of a request for `path` with a body of `size` bytes."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()


class ServiceProcess:
    """A running service: where it listens, what it logs, how to end it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process = process
        self.port = port
        self.output = output

    def log(self, message: str = "") -> list[dict[str, Any]]:
        """Return the lines logged so far, those with `message` in their message if it is given."""
        lines = [json.loads(line) for line in self.output.read_text().splitlines()]
        return [line for line in lines if message in line["message"]]

    def wait_for_log(self, message: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the lines with `message` as soon as there are `count`. Raises AssertionError after 10 s."""
        end = time.monotonic() + 10
        while len(lines := self.log(message)) < count:
            assert time.monotonic() < end, f"{message!r} is not in the log: {self.output.read_text()[-2000:]}"
            time.sleep(0.01)
        return lines

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def connect(self) -> socket.socket:
        """Open a connection to the service."""
        return socket.create_connection((HOST, self.port), timeout=10)

    def exchange(self, data: bytes) -> bytes:
        """Send `data`; return what the service answers until it closes the connection, which it must within 10 s."""
        with self.connect() as client:
            with contextlib.suppress(OSError):
                client.sendall(data)
            return read_to_end(client)

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_service(
    module: str = "tests.sample", max_files: int | None = None, **settings: str | float
) -> Iterator[ServiceProcess]:
    """Run `python -m <module>` with `settings` (`DRAIN_SECONDS=1`) in its environment until the block ends."""
    port = free_port()
    environment = {**os.environ, "HOST": HOST, "PORT": str(port), "DRAIN_SECONDS": "0"}
    environment |= {name: str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", module]
    if max_files:
        command = ["sh", "-c", f'ulimit -n {max_files}; exec "$@"', "sh", *command]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=PROJECT)
        try:
            wait_until_healthy(port, lambda: process.poll() is None)
            yield ServiceProcess(process, port, output)
        finally:
            process.kill()
            process.wait()


def read_to_end(client: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def read_head(client: socket.socket) -> bytes:
    """Return what arrives up to the end of a response's header; the response must have no body yet."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = client.recv(1)
        if not data:
            return received
        received += data
    return received


@contextmanager
def connections(service: ServiceProcess, count: int) -> Iterator[list[socket.socket]]:
    """Open `count` connections to `service`."""
    with ExitStack() as stack:
        yield [stack.enter_context(service.connect()) for _ in range(count)]


def send_until_refused(client: socket.socket, pieces: list[bytes], pause: float) -> int:
    """Send `pieces` with a `pause` between them; return how many left before the service closed the connection."""
    for number, piece in enumerate(pieces):
        try:
            client.sendall(piece)
        except OSError:
            return number
        time.sleep(pause)
    return len(pieces)
