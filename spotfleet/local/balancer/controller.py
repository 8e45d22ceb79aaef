"""The load balancer: one HAProxy that does what ELBv2's API says, and says what it measured.

Listeners, rules and groups make a configuration; a change of it is a new worker of HAProxy, which takes over the ports
without losing a request. Targets come and go over the running worker's socket.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from spotfleet.behaviour.delays import TARGET_REGISTERED
from spotfleet.behaviour.slow_start import starts_slowly
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import haproxy, haproxy_config, haproxy_syntax, ports
from spotfleet.local.balancer.haproxy import Process, Refused
from spotfleet.local.balancer.haproxy_syntax import Command, Unwritable
from spotfleet.local.balancer.wanted import Group, Rule, Wanted, read_wanted, without_rules
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.balancer")

# Real seconds between two looks at the rules; targets are looked at in every step.
RULES_SECONDS = 2.0

Statistics = Mapping[str, str]


def _elbv2(region: str) -> clients.Client:
    return clients.client("elbv2", region)


class Balancer(controller.Controller):
    """Keeps HAProxy as ELBv2 wants it."""

    name = "balancer"
    interval = 0.4

    def __init__(
        self,
        process: Process | None = None,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str], clients.Client] = _elbv2,
    ) -> None:
        self._process = process or Process()
        self._regions = regions
        self._client = client
        self._wanted = Wanted()
        self._rules_read_at = 0.0
        self._first_seen: dict[tuple[str, Target], float] = {}
        # The last configuration that HAProxy refused: it is not offered again.
        self._refused = ""

    def step(self) -> None:
        """Bring HAProxy to what ELBv2 says, and report the health of all targets."""
        if time.monotonic() - self._rules_read_at > RULES_SECONDS:
            self._wanted = read_wanted({region: self._client(region) for region in self._regions()})
            self._rules_read_at = time.monotonic()
        if not self._wanted.balancers:
            if self._process.stop():
                logger.info("No load balancer is left: HAProxy is stopped.")
            ports.save({})
            return
        self._apply_rules()
        servers = [line for line in self._process.statistics() if line["addr"]]
        for arn, group in self._wanted.groups.items():
            registered = read_targets(self._client(self._wanted.regions[arn]), arn)
            of_group = {line["svname"]: line for line in servers if line["pxname"] == group.backend}
            measured = self._apply_targets(group, registered, of_group)
            unchecked = f"{group.backend}{haproxy_config.OPEN}"
            self._fail_open(unchecked, measured, {line["svname"] for line in servers if line["pxname"] == unchecked})
            target_health.report(arn, measured)

    def close(self) -> None:
        """End HAProxy."""
        self._process.stop()

    # --- Rules

    def _apply_rules(self) -> None:
        running = self._process.runs_with()
        kept = ports.load()
        listeners = [(b.arn, listener.port) for b in self._wanted.balancers for listener in b.listeners]
        # The ports of a running HAProxy are in use, by itself.
        usable = kept if running else {key: port for key, port in kept.items() if ports.is_free(port)}
        assigned = ports.assign(listeners, usable)
        secure = any(listener.secure for b in self._wanted.balancers for listener in b.listeners)
        certificate = self._process.certificate() if secure else None
        servers = self._servers() if running else {}
        possible = without_rules(self._wanted, self._cannot_match)
        text = haproxy_config.render(possible, assigned, haproxy.SOCKET, certificate, servers)
        description = haproxy_config.description(text)
        if description not in (running, self._refused):
            self._run(text, description, assigned)
        if assigned != kept:
            ports.save(assigned)

    def _cannot_match(self, rule: Rule) -> bool:
        """Return whether a regular expression of a rule is none to HAProxy, whose library is not that of ALB."""
        found = [text for condition in rule.conditions for text in haproxy_config.expressions(condition)]
        return not all(self._process.compiles(text) for text in found)

    def _run(self, text: str, description: str, ports: Mapping[tuple[str, int], int]) -> None:
        """Run a configuration; one that HAProxy refuses must not stop the care for the targets of the one that runs."""
        try:
            self._process.run(text, description)
        except Refused:
            if self._process.runs_with() is None:
                raise
            self._refused = description
            logger.exception("The load balancer goes on as it was before the last change.")
        else:
            logger.info("HAProxy runs a new configuration: %s", ", ".join(_addresses(self._wanted, ports)))

    def _servers(self) -> dict[str, list[haproxy_syntax.Line]]:
        """Return the servers that get requests now, for a new worker to begin with."""
        found: dict[str, list[haproxy_syntax.Line]] = {}
        by_backend = {group.backend: group for group in self._wanted.groups.values()}
        for line in self._process.statistics():
            group = by_backend.get(line["pxname"])
            if group and haproxy.gets_requests(line):
                server = haproxy_config.server(line["svname"], line["addr"], group, line["uweight"])
                found.setdefault(group.arn, []).append(haproxy_syntax.line("server", *server))
        return found

    # --- Targets

    def _apply_targets(
        self, group: Group, registered: dict[Target, str], servers: Mapping[str, Statistics]
    ) -> dict[Target, Health]:
        """Bring HAProxy's servers to the registered targets, and return what it measured of each."""
        measured = {}
        for target, state in registered.items():
            try:
                measured[target] = self._apply_target(group, target, state, servers)
            except Unwritable as error:
                measured[target] = Health("unavailable", "Elb.InternalError", str(error))
        for name in set(servers) - {_server(target) for target in registered}:
            self._remove(group, name)
        for key in [key for key in self._first_seen if key[0] == group.arn and key[1] not in registered]:
            del self._first_seen[key]
        return measured

    def _apply_target(self, group: Group, target: Target, state: str, servers: Mapping[str, Statistics]) -> Health:
        line = servers.get(_server(target))
        if state == "draining":
            return self._drain(group, target, line)
        return self._add(group, target, servers) if line is None else self._check(group, target, line)

    def _fail_open(self, backend: str, measured: Mapping[Target, Health], present: set[str]) -> None:
        """Let the unhealthy targets of a group get requests while it has no healthy one, as ALB does.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html
        """
        states = {_server(target): health.state for target, health in measured.items()}
        unhealthy = {name for name, state in states.items() if state == "unhealthy"}
        wanted = set() if "healthy" in states.values() else unhealthy
        if wanted and not present:
            logger.warning("No target of %s is healthy: requests go to all of them.", backend)
        for name in wanted - present:
            port = name.rpartition(":")[2]
            server = f"{backend}/{name}"
            self._tell(
                ("add", "server", server, f"127.0.0.1:{port}", "weight", haproxy_config.FULL_WEIGHT),
                ("enable", "server", server),
            )
        for name in present - wanted:
            # While a request of it is open HAProxy refuses, and the next step tries again.
            server = f"{backend}/{name}"
            self._tell(("set", "server", server, "state", "maint"), ("del", "server", server))

    def _tell(self, *commands: tuple[str | int, ...]) -> None:
        """Send commands, each given word by word; raises Unwritable, before any is sent, where a word cannot be one."""
        written: list[Command] = [haproxy_syntax.command(*words) for words in commands]
        self._process.command(*written)

    def _add(self, group: Group, target: Target, servers: Mapping[str, Statistics]) -> Health:
        """Add a target with weight 0: it gets requests only after a health check that it passes."""
        since = self._first_seen.setdefault((group.arn, target), time.monotonic())
        if time.monotonic() - since >= clock.seconds(_registration(group, target, since)):
            name = f"{group.backend}/{_server(target)}"
            warm = sum(haproxy.is_warm(line) for line in servers.values()) if group.slow_start else 0
            as_registered = group if starts_slowly(group.slow_start, warm) else replace(group, slow_start=0)
            self._tell(
                ("add", "server", *haproxy_config.server(name, f"127.0.0.1:{target.port}", as_registered, weight=0)),
                ("enable", "server", name),
                ("enable", "health", name),
            )
        return target_health.INITIAL

    def _check(self, group: Group, target: Target, line: Statistics) -> Health:
        name = f"{group.backend}/{_server(target)}"
        if line["status"].startswith(("DRAIN", "MAINT")):
            # Registered again while it was leaving.
            self._tell(("set", "server", name, "state", "ready"))
            return target_health.INITIAL
        if line["uweight"] != "0":
            return Health("healthy", requests=int(line["scur"])) if _is_up(line) else _unhealthy(line)
        # A new target: the first check that it passes makes it healthy, whatever the threshold, until it has failed.
        failed = self._has_failed(group, target)
        if line["check_status"] in ("L7OK", "L7OKC") and (_is_up(line) or not failed):
            restart = [("set", "server", name, "health", "down")] if group.slow_start else []
            weight = ("set", "server", name, "weight", haproxy_config.FULL_WEIGHT)
            self._tell(*restart, weight, ("set", "server", name, "health", "up"))
            return Health("healthy")
        if failed:
            return _unhealthy(line)
        return Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")

    def _has_failed(self, group: Group, target: Target) -> bool:
        """Return whether a target that has passed no check has had time to fail as many as make it unhealthy.

        HAProxy does not count them: after the first the server is down, and those that follow tell nothing.
        """
        since = self._first_seen.setdefault((group.arn, target), time.monotonic())
        allowed = _registration(group, target, since) + group.interval * (group.unhealthy_count - 1)
        return time.monotonic() - since > clock.seconds_with_start(allowed)

    def _drain(self, group: Group, target: Target, line: Statistics | None) -> Health:
        if line is None:
            return target_health.DRAINING
        if not line["status"].startswith("DRAIN"):
            self._tell(("set", "server", f"{group.backend}/{_server(target)}", "state", "drain"))
        # Until HAProxy says that it sends nothing more, a request may be about to go there.
        requests = int(line["scur"]) + int(line["qcur"]) + int(_is_up(line))
        return Health("draining", target_health.DRAINING.reason, target_health.DRAINING.description, requests)

    def _remove(self, group: Group, name: str) -> None:
        """Remove a server; while a request of it is open HAProxy refuses, and the next step tries again."""
        server = f"{group.backend}/{name}"
        self._tell(
            ("set", "server", server, "state", "maint"),
            ("shutdown", "sessions", "server", server),
            ("del", "server", server),
        )


def _addresses(wanted: Wanted, ports: Mapping[tuple[str, int], int]) -> list[str]:
    names = {balancer.arn: balancer.name.split("/")[1] for balancer in wanted.balancers}
    return [f"port {aws_port} of {names[arn]} at 127.0.0.1:{port}" for (arn, aws_port), port in ports.items()]


def _registration(group: Group, target: Target, since: float) -> float:
    """Return how many of AWS's seconds a target that was first seen then is registered before its first check."""
    return delays.of(TARGET_REGISTERED, f"{group.arn} {_server(target)} {since}")


def _server(target: Target) -> str:
    return f"{target.id}:{target.port}"


def _is_up(line: Statistics) -> bool:
    return line["status"].startswith("UP")


def _unhealthy(line: Statistics) -> Health:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html"""
    # HAProxy puts a star before the last status while the next check runs, which a slow one nearly always does.
    match line["check_status"].removeprefix("* "):
        case "L7STS":
            text = f"Health checks failed with these codes: [{line['check_code']}]"
            return Health("unhealthy", "Target.ResponseCodeMismatch", text)
        case "L4TOUT" | "L6TOUT" | "L7TOUT":
            return Health("unhealthy", "Target.Timeout", "Request timed out")
    return Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
