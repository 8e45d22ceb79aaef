"""The load balancer: one HAProxy that does what ELBv2's API says, and says what it measured.

Listeners, rules and groups make a configuration; a change of it is a new worker of HAProxy, which takes over the ports
without losing a request. Targets come and go over the running worker's socket.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spotfleet.behaviour import load_balancer_nodes
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import haproxy, haproxy_config, haproxy_syntax, node, ports, proxies
from spotfleet.local.balancer.haproxy import Process, Refused
from spotfleet.local.balancer.keep_alive import KeepAlives
from spotfleet.local.balancer.node import Node
from spotfleet.local.balancer.proxies import Backend
from spotfleet.local.balancer.wanted import Group, Rule, Wanted, read_wanted, without_rules

logger = logging.getLogger("spotfleet.balancer")

# Real seconds between two looks at the rules; targets are looked at in every step.
RULES_SECONDS = 2.0


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
        self._nodes: dict[Backend, Node] = {}
        self._keep_alives = KeepAlives()
        # What was last reported, by target group.
        self._told: dict[str, dict[Target, Health]] = {}
        # The last configuration that HAProxy refused: it is not offered again.
        self._refused = ""

    def step(self) -> None:
        """Bring HAProxy to what ELBv2 says, and report the health of all targets."""
        rules_are_due = time.monotonic() - self._rules_read_at > RULES_SECONDS
        if rules_are_due:
            wanted = read_wanted({region: self._client(region) for region in self._regions()})
            self._wanted = without_rules(wanted, self._cannot_match)
            self._rules_read_at = time.monotonic()
        self._keep_alives.forget_others(self._wanted.groups)
        if not self._wanted.balancers:
            if self._process.stop():
                logger.info("No load balancer is left: HAProxy is stopped.")
            ports.save({})
            return
        running = self._process.runs_with()
        if rules_are_due or running is None:
            self._apply_rules(running)
        servers: dict[str, list[node.Statistics]] = {}
        for line in self._process.statistics():
            if line["addr"]:
                servers.setdefault(proxies.group_of(line["pxname"]), []).append(line)
        groups = {group.backend for group in self._wanted.groups.values()}
        self._nodes = {backend: one for backend, one in self._nodes.items() if backend.group in groups}
        self._told = {
            arn: self._apply_targets(group, servers.get(group.backend, []))
            for arn, group in self._wanted.groups.items()
        }
        for arn, told in self._told.items():
            target_health.report(arn, told)
            group = self._wanted.groups[arn]
            healthy = {target for target, health in told.items() if health.state == "healthy"}
            self._keep_alives.look(group, healthy, haproxy_config.idle_timeout(self._wanted, group))

    def close(self) -> None:
        """End HAProxy."""
        self._keep_alives.forget_others(())
        self._process.stop()

    # --- Rules

    def _apply_rules(self, running: str | None) -> None:
        """Let HAProxy run what the rules say, unless `running`, the description of what it runs, says that it does."""
        kept = ports.load()
        listeners = [(b.arn, listener.port) for b in self._wanted.balancers for listener in b.listeners]
        # The ports of a running HAProxy are in use, by itself.
        usable = kept if running else {key: port for key, port in kept.items() if ports.is_free(port)}
        assigned = ports.assign(listeners, usable)
        secure = any(listener.secure for b in self._wanted.balancers for listener in b.listeners)
        certificate = self._process.certificate() if secure else None
        render = functools.partial(haproxy_config.render, self._wanted, assigned, haproxy.SOCKET, certificate)
        # It does not depend on the servers, which are read only for a new worker.
        description = haproxy_config.description(render({}))
        if description not in (running, self._refused):
            self._run(render(self._servers() if running else {}), description, assigned)
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
        """Return the servers that get requests now, by backend, for a new worker to begin with."""
        lines: dict[str, list[node.Statistics]] = {}
        for line in self._process.statistics():
            lines.setdefault(line["pxname"], []).append(line)
        found: dict[str, list[haproxy_syntax.Line]] = {}
        for arn, group in self._wanted.groups.items():
            for backend in proxies.of_group(group.backend, self._wanted.nodes(arn)):
                # A node that comes with a new zone sends requests where the first one does.
                source = lines.get(backend.name) or lines.get(replace(backend, node=0).name, [])
                found[backend.name] = [_server(line, group) for line in source if haproxy.gets_requests(line)]
        return found

    # --- Targets

    def _apply_targets(self, group: Group, servers: Sequence[node.Statistics]) -> dict[Target, Health]:
        """Bring each node's targets to those that are registered, and return what the API tells of each."""
        registered = read_targets(self._client(self._wanted.regions[group.arn]), group.arn)
        by_node = [
            self._nodes.setdefault(backend, Node(backend, self._process.command)).apply(group, registered, servers)
            for backend in proxies.of_group(group.backend, self._wanted.nodes(group.arn))
        ]
        before = self._told.get(group.arn, {})
        return {target: _told(before.get(target), [known[target] for known in by_node]) for target in registered}


def _told(before: Health | None, by_node: Sequence[Health]) -> Health:
    """Return what the API tells of a target that it told this of before, if anything."""
    before = before or target_health.INITIAL
    state = load_balancer_nodes.told(before.state, [health.state for health in by_node])
    likely = next((health for health in [*by_node, before] if health.state == state), target_health.INITIAL)
    return replace(likely, requests=sum(health.requests for health in by_node))


def _server(line: node.Statistics, group: Group) -> haproxy_syntax.Line:
    """Return the line of a configuration for a server, from that of the statistics."""
    server = haproxy_config.server(line["svname"], line["addr"], group, line["uweight"])
    return haproxy_syntax.line("server", *server)


def _addresses(wanted: Wanted, ports: Mapping[tuple[str, int], int]) -> list[str]:
    names = {balancer.arn: balancer.name.split("/")[1] for balancer in wanted.balancers}
    return [f"port {aws_port} of {names[arn]} at 127.0.0.1:{port}" for (arn, aws_port), port in ports.items()]
