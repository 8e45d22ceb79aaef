"""The measurements. Each one compares servers in turns, so that a noisy machine disturbs all alike."""

import asyncio
import random
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.clients import HOST, Outcome, burst, load_until_unhealthy
from bench.servers import Contender, Server, running

PAUSES = Path(__file__).with_name("pauses.lua")
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
BUSY_CONNECTIONS = 128
NEW_CONNECTIONS = 200
OFFERED_CONNECTIONS = 128
OFFERED_PER_SECOND = 3000
SIGTERM_CONNECTIONS = 64
# A saturated server that got less of its core than this was disturbed.
UNDISTURBED_SHARE = 0.9
MOST_ATTEMPTS = 3


@dataclass
class Burst:
    """What one burst of load measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass
class Ratios:
    """The ratios of the rounds of a comparison."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, float | int]:
        """Return median, spread and number of rounds."""
        spread = {"min": round(min(self.values), 3), "max": round(max(self.values), 3)}
        return {"median": round(self.median, 3), **spread, "rounds": len(self.values)}


def in_turns(names: Iterable[str], rounds: int, measure: Callable[[str], Burst]) -> dict[str, list[Burst]]:
    """Measure every one of `names` once per round, in a new order each round."""
    bursts: dict[str, list[Burst]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in random.sample(list(bursts), len(bursts)):
            bursts[name].append(measure(name))
    return bursts


def ratios(bursts: dict[str, list[Burst]], name: str, other: str, value: str) -> Ratios:
    """Return, round by round, the `value` of `name` divided by that of `other`."""
    pairs = zip(bursts[name], bursts[other], strict=True)
    return Ratios([getattr(one, value) / getattr(another, value) for one, another in pairs])


def saturate(port: int, connections: int, seconds: int, core: int, headers: Iterable[str] = ()) -> Burst:
    """Have wrk on `core` send as many requests as the server on `port` answers."""
    return wrk(core, f"-c{connections}", f"-d{seconds}s", *(f"-H{header}" for header in headers), url(port))


def offer(port: int, seconds: int, core: int) -> Burst:
    """Have wrk on `core` offer 3,000 requests a second, each at a moment of its own.

    Of the 128 connections few are busy at a time, so that slow answers hardly hold back the requests that follow.
    """
    pause_ms = 1000 * OFFERED_CONNECTIONS / OFFERED_PER_SECOND
    pauses = [f"-s{PAUSES}", url(port), "--", f"{pause_ms:.1f}"]
    return wrk(core, f"-c{OFFERED_CONNECTIONS}", f"-d{seconds}s", *pauses)


def url(port: int) -> str:
    """Return the page's address."""
    return f"http://{HOST}:{port}/"


def wrk(core: int, *arguments: str) -> Burst:
    """Run wrk on `core` and return what it measured. Raises RuntimeError for any answer but success."""
    command = ["taskset", "--cpu-list", str(core), "wrk", "-t1", "--latency", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if "Non-2xx" in output or not rate:
        raise RuntimeError(f"wrk did not get the answers it wanted:\n{output}")
    return Burst(float(rate[1]), wrk_percentile(output, 50), wrk_percentile(output, 99))


def saturate_alone(server: Server, connections: int, seconds: int, core: int, headers: Iterable[str] = ()) -> Burst:
    """Do as `saturate`; if another program used the server's core meanwhile, do it again, at most three times."""
    for _ in range(MOST_ATTEMPTS):
        cpu_seconds, start = server.cpu_seconds, time.perf_counter()
        measured = saturate(server.port, connections, seconds, core, headers)
        share = (server.cpu_seconds - cpu_seconds) / (time.perf_counter() - start)
        if share >= UNDISTURBED_SHARE:
            break
    return measured


def wrk_percentile(output: str, percent: int) -> float:
    """Return a latency from wrk's table, in ms."""
    found = re.search(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)\b", output)
    if not found:
        raise RuntimeError(f"No {percent} % in wrk's output:\n{output}")
    return float(found[1]) * MILLISECONDS[found[2]]


def newcomers(server: Server, rounds: int, core: int) -> list[float]:
    """Return how long each of 200 new connections took to its answer beside 128 busy ones, in ms, for all rounds."""
    taken: list[float] = []
    for _ in range(rounds):
        load = threading.Thread(target=saturate, args=(server.port, BUSY_CONNECTIONS, 2, core))
        load.start()
        time.sleep(1)
        taken += burst(server.port, NEW_CONNECTIONS)
        load.join()
    return taken


def end(contender: Contender, core: int) -> tuple[Outcome, float]:
    """Send SIGTERM under load; return what became of the requests, and how long the process took to end, in s."""
    with running(contender, core) as server:
        terminated: list[float] = []

        def terminate() -> None:
            server.process.terminate()
            terminated.append(time.monotonic())

        timer = threading.Timer(1, terminate)
        timer.start()
        outcome = asyncio.run(load_until_unhealthy(server.port, SIGTERM_CONNECTIONS, gone=server.ended))
        server.process.wait(30)
        return outcome, time.monotonic() - terminated[0]
