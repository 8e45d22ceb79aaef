"""The measurements. Each one compares servers in turns, so that a noisy machine disturbs all alike."""

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench import wrk
from bench.clients import HOST, Outcome, burst, load_until_unhealthy
from bench.servers import DRAIN_SECONDS, Contender, Server, running
from bench.wrk import Burst

BUSY_CONNECTIONS = 128
NEW_CONNECTIONS = 200
OFFERED_CONNECTIONS = 128
OFFERED_PER_SECOND = 3000
SIGTERM_CONNECTIONS = 64
# The load goes on for this share of the drain, as a load balancer's does until it has noticed.
NOTICE_SHARE = 0.6
# A saturated server that got less of its core than this was disturbed.
UNDISTURBED_SHARE = 0.9
MOST_ATTEMPTS = 3


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
    return wrk.run(url(port), connections, seconds, headers=headers, core=core)


def offer(port: int, seconds: int, core: int) -> Burst:
    """Have wrk on `core` offer 3,000 requests a second.

    Of the 128 connections few are busy at a time, so that slow answers hardly hold back the requests that follow.
    """
    return wrk.run(url(port), OFFERED_CONNECTIONS, seconds, per_second=OFFERED_PER_SECOND, core=core)


def url(port: int) -> str:
    """Return the page's address."""
    return f"http://{HOST}:{port}/"


def saturate_alone(server: Server, connections: int, seconds: int, core: int, headers: Iterable[str] = ()) -> Burst:
    """Do as `saturate`; if another program used the server's core meanwhile, do it again, at most three times."""
    for _ in range(MOST_ATTEMPTS):
        cpu_seconds, start = server.cpu_seconds, time.perf_counter()
        measured = saturate(server.port, connections, seconds, core, headers)
        share = (server.cpu_seconds - cpu_seconds) / (time.perf_counter() - start)
        if share >= UNDISTURBED_SHARE:
            break
    return measured


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
        load = load_until_unhealthy(
            server.port, SIGTERM_CONNECTIONS, gone=server.ended, notice_seconds=NOTICE_SHARE * DRAIN_SECONDS
        )
        outcome = asyncio.run(load)
        server.process.wait(30)
        return outcome, time.monotonic() - terminated[0]
