"""Clients that behave as a load balancer, a burst of newcomers or a slow attacker does. They connect to 127.0.0.1."""

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTH_REQUEST = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEALTH_CHECK_SECONDS = 0.1
LONGEST_SECONDS = 10
UNHEALTHY = b" 503 "
TIMED_OUT = b" 408 "


@dataclass
class Outcome:
    """What happened to the requests of a load: answered, broken off, or not even let in."""

    answered: int = 0
    broken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def _never() -> bool:
    return False


async def load_until_unhealthy(
    port: int, connections: int, keep_alive: bool = True, gone: Callable[[], bool] = _never, notice_seconds: float = 0
) -> Outcome:
    """Keep `connections` busy until the health check answers 503, as a load balancer would, or the server is `gone`.

    A load balancer takes some time to notice, which is `notice_seconds`, and goes on sending requests meanwhile.
    Honours `Connection: close` with a new connection. Without `keep_alive` every request has a connection of its own.
    """
    outcome = Outcome()
    unhealthy = asyncio.Event()
    workers = [_work(port, keep_alive, unhealthy, outcome) for _ in range(connections)]
    await asyncio.gather(_check_health(port, unhealthy, gone, notice_seconds), *workers)
    return outcome


async def _check_health(port: int, unhealthy: asyncio.Event, gone: Callable[[], bool], notice_seconds: float) -> None:
    while not unhealthy.is_set():
        if gone():
            unhealthy.set()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(HEALTH_REQUEST)
            if UNHEALTHY in await reader.readuntil(b"\r\n"):
                await asyncio.sleep(notice_seconds)
                unhealthy.set()
            writer.close()
        await asyncio.sleep(HEALTH_CHECK_SECONDS)


async def _work(port: int, keep_alive: bool, unhealthy: asyncio.Event, outcome: Outcome) -> None:
    while not unhealthy.is_set():
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError as error:
            outcome.refused.append(repr(error))
            await asyncio.sleep(HEALTH_CHECK_SECONDS)
            continue
        try:
            while not unhealthy.is_set():
                writer.write(REQUEST if keep_alive else REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                if await _read_response(reader):
                    break
                outcome.answered += 1
            else:
                continue
            outcome.answered += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            outcome.broken.append(repr(error))
        finally:
            writer.close()


async def _read_response(reader: asyncio.StreamReader) -> bool:
    """Read one response; return whether it announces the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return b"connection: close" in head


@contextmanager
def slow_clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Open `count` connections that have begun a request; feed them with `trickle`."""
    clients = []
    try:
        for _ in range(count):
            client = socket.create_connection((HOST, port), timeout=5)
            client.sendall(REQUEST[:20])
            client.setblocking(False)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


def trickle(clients: list[socket.socket]) -> int:
    """Send one more byte of the header on each of `clients`; return how many have been cut off.

    Raises RuntimeError for an answer other than 408.
    """
    cut_off = 0
    for client in clients:
        try:
            answer = client.recv(4096)
            ended = True
            if answer and TIMED_OUT not in answer:
                raise RuntimeError(f"A request that is not complete was answered: {answer!r}")
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            cut_off += 1
            continue
        with contextlib.suppress(OSError):
            client.send(b"a")
    return cut_off


def latencies(port: int, seconds: float, pause: float = 0.0) -> list[float]:
    """Send requests one after the other on one connection for `seconds`; return how long each took, in ms."""
    taken = []
    with socket.create_connection((HOST, port), timeout=10) as client:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            client.sendall(REQUEST)
            client.recv(65536)
            taken.append((time.perf_counter() - start) * 1000)
            if pause:
                time.sleep(pause)
    return taken


def burst(port: int, count: int) -> list[float]:
    """Open `count` connections at once, one request each; return how long each took to its answer, in ms."""
    selector = selectors.DefaultSelector()
    clients = []
    start = time.perf_counter()
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((HOST, port))
        selector.register(client, selectors.EVENT_WRITE, client)
        clients.append(client)
    taken: list[float] = []
    while len(taken) < count and time.perf_counter() - start < LONGEST_SECONDS:
        for key, events in selector.select(timeout=1):
            client = key.data
            if events & selectors.EVENT_WRITE:
                client.send(REQUEST)
                selector.modify(client, selectors.EVENT_READ, client)
            else:
                client.recv(65536)
                taken.append((time.perf_counter() - start) * 1000)
                selector.unregister(client)
    for client in clients:
        client.close()
    return taken + [float("inf")] * (count - len(taken))


def percentile(values: list[float], percent: float) -> float:
    """Return the value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def wait_until_healthy(port: int, alive: Callable[[], bool], seconds: float = 30) -> float:
    """Poll the health check until it answers 200; return how long that took, in ms. Raises RuntimeError if never."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1) as client:
            client.sendall(HEALTH_REQUEST)
            if b" 200 " in client.recv(64):
                return (time.perf_counter() - start) * 1000
        if not alive():
            raise RuntimeError(f"The server for port {port} has ended")
        time.sleep(0.002)
    raise RuntimeError(f"No healthy answer on port {port} within {seconds} s")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
