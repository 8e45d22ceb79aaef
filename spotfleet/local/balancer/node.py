"""One node of the load balancer and the targets of a group: which get requests, and what was measured of each.

Targets come and go over HAProxy's socket.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

from spotfleet.behaviour.delays import TARGET_REGISTERED, Mode
from spotfleet.behaviour.load_balancer_nodes import first_check
from spotfleet.behaviour.slow_start import share, starts_slowly
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import haproxy, haproxy_config, haproxy_syntax
from spotfleet.local.balancer.haproxy_config import FULL_WEIGHT
from spotfleet.local.balancer.haproxy_syntax import Command, Unwritable
from spotfleet.local.balancer.proxies import Backend
from spotfleet.local.balancer.wanted import Group
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.balancer")

# HAProxy's word for a check that was passed, with and without a word of the target's.
PASSED = ("L7OK", "L7OKC")
# What a target begins its slow start with: the least that gets requests.
COLD_WEIGHT = 1

Statistics = Mapping[str, str]
# Server lines of HAProxy's statistics by name.
Servers = Mapping[str, Statistics]


class Node:
    """A backend of HAProxy, kept as the registered targets are."""

    def __init__(self, backend: Backend, send: Callable[..., object]) -> None:
        self._backend = backend
        self._send = send
        self._first_seen: dict[Target, float] = {}
        # Servers that were registered without a warm one beside them.
        self._first_ones: set[str] = set()
        # Servers that have been found unhealthy, and will begin anew.
        self._down: set[str] = set()
        # When the slow start of a server began.
        self._started: dict[str, float] = {}

    def apply(
        self, group: Group, registered: Mapping[Target, str], lines: Sequence[Statistics]
    ) -> dict[Target, Health]:
        """Bring the servers to the registered targets, and return what was measured of each.

        `lines` are those of all servers in HAProxy's statistics.
        """
        servers = {line["svname"]: line for line in lines if line["pxname"] == self._backend.name}
        measured = {}
        for target, state in registered.items():
            try:
                measured[target] = self._apply_target(group, target, state, servers)
            except Unwritable as error:
                measured[target] = Health("unavailable", "Elb.InternalError", str(error))
        for name in set(servers) - {server_name(target) for target in registered}:
            self._remove(name)
        for target in self._first_seen.keys() - registered.keys():
            del self._first_seen[target]
        self._fail_open(measured, {line["svname"] for line in lines if line["pxname"] == self._backend.open})
        return measured

    def _apply_target(self, group: Group, target: Target, state: str, servers: Servers) -> Health:
        line = servers.get(server_name(target))
        if state == "draining":
            return self._drain(target, line)
        return self._add(group, target, servers) if line is None else self._check(group, target, line, servers)

    def _tell(self, *commands: tuple[str | int, ...]) -> None:
        """Send commands, each given word by word; raises Unwritable, before any is sent, where a word cannot be one."""
        written: list[Command] = [haproxy_syntax.command(*words) for words in commands]
        self._send(*written)

    def _path(self, name: str) -> str:
        return f"{self._backend.name}/{name}"

    # --- A target's life

    def _add(self, group: Group, target: Target, servers: Servers) -> Health:
        """Add a target with weight 0: it gets requests only after a health check that it passes."""
        name = server_name(target)
        since = self._first_seen.setdefault(target, time.monotonic())
        wait = self._first_check(group, target) - haproxy_config.earliest_check(group)
        if time.monotonic() - since >= clock.seconds(wait):
            if not _warm(servers):
                self._first_ones.add(name)
            self._tell(
                (
                    "add",
                    "server",
                    *haproxy_config.server(self._path(name), f"127.0.0.1:{target.port}", group, weight=0),
                ),
                ("enable", "server", self._path(name)),
                ("enable", "health", self._path(name)),
            )
        return target_health.INITIAL

    def _first_check(self, group: Group, target: Target) -> float:
        """Return how many of AWS's seconds a target is registered before this node checks it first."""
        since = self._first_seen[target]
        occurrence = f"{group.arn} {server_name(target)} {since}"
        rhythm = phase(self._backend, server_name(target))
        earliest = haproxy_config.earliest_check(group)
        return delays.of(TARGET_REGISTERED, occurrence) + first_check(rhythm, group.interval, earliest)

    def _check(self, group: Group, target: Target, line: Statistics, servers: Servers) -> Health:
        name = server_name(target)
        if line["status"].startswith(("DRAIN", "MAINT")):
            # Registered again while it was leaving.
            self._tell(("set", "server", self._path(name), "state", "ready"))
            return target_health.INITIAL
        if line["uweight"] != "0":
            self._weigh(group, name, line, servers)
            return Health("healthy", requests=int(line["scur"])) if _is_up(line) else unhealthy(line)
        # A new target: the first check that it passes makes it healthy, whatever the threshold, until it has failed.
        failed = self._has_failed(group, target)
        if _last_check(line) in PASSED and (_is_up(line) or not failed):
            self._begin(group, name, servers)
            self._tell(("set", "server", self._path(name), "health", "up"))
            return Health("healthy")
        if failed:
            return unhealthy(line)
        return Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")

    def _has_failed(self, group: Group, target: Target) -> bool:
        """Return whether a target that has passed no check has had time to fail as many as make it unhealthy.

        HAProxy does not count them: after the first the server is down, and those that follow tell nothing.
        """
        since = self._first_seen.setdefault(target, time.monotonic())
        allowed = self._first_check(group, target) + group.interval * (group.unhealthy_count - 1)
        return time.monotonic() - since > clock.seconds_with_start(allowed)

    def _drain(self, target: Target, line: Statistics | None) -> Health:
        if line is None:
            return target_health.DRAINING
        if not line["status"].startswith("DRAIN"):
            self._tell(("set", "server", self._path(server_name(target)), "state", "drain"))
        # Until HAProxy says that it sends nothing more, a request may be about to go there.
        requests = int(line["scur"]) + int(line["qcur"]) + int(_is_up(line))
        return Health("draining", target_health.DRAINING.reason, target_health.DRAINING.description, requests)

    def _remove(self, name: str) -> None:
        """Remove a server; while a request of it is open HAProxy refuses, and the next step tries again."""
        self._tell(
            ("set", "server", self._path(name), "state", "maint"),
            ("shutdown", "sessions", "server", self._path(name)),
            ("del", "server", self._path(name)),
        )
        self._first_ones.discard(name)
        self._down.discard(name)
        self._started.pop(name, None)

    # --- Its share of the requests

    def _begin(self, group: Group, name: str, servers: Servers) -> None:
        """Let a target that has become healthy get requests: all of its share, or little by little."""
        warm = 0 if name in self._first_ones else _warm(servers)
        slowly = starts_slowly(group.slow_start, warm)
        self._first_ones.discard(name)
        self._down.discard(name)
        if slowly:
            self._started[name] = time.monotonic()
        self._set_weight(name, COLD_WEIGHT if slowly else FULL_WEIGHT)

    def _weigh(self, group: Group, name: str, line: Statistics, servers: Servers) -> None:
        """Bring a target's weight to what its slow start has come to, if it has one."""
        if not group.slow_start and line["uweight"] == str(FULL_WEIGHT):
            return
        if not _is_up(line):
            self._down.add(name)
            self._started.pop(name, None)
            # What it gets from the check that makes it healthy until this is next asked.
            weight = COLD_WEIGHT if group.slow_start else FULL_WEIGHT
        elif name in self._down:
            self._begin(group, name, servers)
            return
        else:
            began = self._started.get(name, -math.inf)
            grown = share(clock.aws_seconds(time.monotonic() - began), group.slow_start)
            weight = max(COLD_WEIGHT, round(FULL_WEIGHT * grown))
            if weight == FULL_WEIGHT:
                self._started.pop(name, None)
        if line["uweight"] != str(weight):
            self._set_weight(name, weight)

    def _set_weight(self, name: str, weight: int) -> None:
        self._tell(("set", "server", self._path(name), "weight", weight))

    def _fail_open(self, measured: Mapping[Target, Health], present: set[str]) -> None:
        """Let the unhealthy targets of a group get requests while it has no healthy one, as ALB does.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html
        """
        states = {server_name(target): health.state for target, health in measured.items()}
        unhealthy = {name for name, state in states.items() if state == "unhealthy"}
        wanted = set() if "healthy" in states.values() else unhealthy
        if wanted and not present:
            logger.warning("No target of %s is healthy: requests go to all of them.", self._backend.name)
        for name in wanted - present:
            port = name.rpartition(":")[2]
            server = f"{self._backend.open}/{name}"
            self._tell(
                ("add", "server", server, f"127.0.0.1:{port}", "weight", FULL_WEIGHT),
                ("enable", "server", server),
            )
        for name in present - wanted:
            # While a request of it is open HAProxy refuses, and the next step tries again.
            server = f"{self._backend.open}/{name}"
            self._tell(("set", "server", server, "state", "maint"), ("del", "server", server))


def server_name(target: Target) -> str:
    """Return how a target's server is named in HAProxy."""
    return f"{target.id}:{target.port}"


def phase(backend: Backend, server: str) -> float:
    """Return where in an interval, from 0 to 1, a node checks a server: at a place of its own, by LOCAL_SEED."""
    if delays.mode() is Mode.INSTANT:
        return 0.0
    return random.Random(f"{delays.seed()} {backend.name} {server}").random()  # noqa: S311


def _is_up(line: Statistics) -> bool:
    return line["status"].startswith("UP")


def _warm(servers: Servers) -> int:
    """Return how many servers get their whole share of the requests."""
    return sum(haproxy.gets_requests(line) and line["uweight"] == str(FULL_WEIGHT) for line in servers.values())


def _last_check(line: Statistics) -> str:
    """Return what became of the last check: HAProxy puts a star before it while the next one runs."""
    return line["check_status"].removeprefix("* ")


def unhealthy(line: Statistics) -> Health:
    """Return what AWS calls a target whose last check failed so.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
    """
    match _last_check(line):
        case "L7STS":
            text = f"Health checks failed with these codes: [{line['check_code']}]"
            return Health("unhealthy", "Target.ResponseCodeMismatch", text)
        case "L4TOUT" | "L6TOUT" | "L7TOUT":
            return Health("unhealthy", "Target.Timeout", "Request timed out")
    return Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
