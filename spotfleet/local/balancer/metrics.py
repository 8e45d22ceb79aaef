"""What the load balancer counts, published each AWS minute as ELB publishes it.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
Counts come from HAProxy's statistics, response times from a ring of its last requests: all of them while there are few,
a sample while there are many.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.backchannel import traffic
from spotfleet.local.backchannel.traffic import Now
from spotfleet.local.balancer import haproxy_answers, haproxy_config, haproxy_syntax, proxies
from spotfleet.local.balancer.haproxy import Process
from spotfleet.local.balancer.wanted import Group, LoadBalancer, read_wanted
from spotfleet.local.host import clock

NAMESPACE = "AWS/ApplicationELB"
# HAProxy's columns of answers by class.
CLASSES = ("2xx", "3xx", "4xx", "5xx")
# Values that CloudWatch takes for one metric at once are limited to 150: a percentile each represents more of them.
PERCENTILES = 100
# What a capacity unit of a load balancer covers: new connections per second, and bytes per hour.
# https://aws.amazon.com/elasticloadbalancing/pricing/
UNIT_CONNECTIONS = 25
UNIT_BYTES = 1e9
HOUR_SECONDS = 3600
# Real seconds of requests that rate and percentiles of now are made of.
NOW_SECONDS = 5.0
HALF, NEARLY_ALL = 0.5, 0.99

# What is known of a backend or frontend since the last look: requests, and answers by class.
Counts = Counter[str]


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that `share` of the values do not exceed, None when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def representatives(values: Sequence[float]) -> list[float]:
    """Return at most 100 values with the same average and percentiles, near enough."""
    if len(values) <= PERCENTILES:
        return list(values)
    ordered = sorted(values)
    return [ordered[int((number + 0.5) / PERCENTILES * len(ordered))] for number in range(PERCENTILES)]


@dataclass
class Tally:
    """Turns HAProxy's ever-growing counters into what was new since the last look."""

    _before: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def new(
        self, lines: Iterable[Mapping[str, str]], own_answers: Iterable[tuple[str, int, int]] = ()
    ) -> dict[str, Counts]:
        """Return, by backend and frontend, the new answers: of targets as 2xx, to clients as client_2xx.

        HAProxy's own ones count by their code besides, as own_502.
        `requests` are all that a backend got, also those that no target was there for.
        """
        found: dict[str, Counts] = {}
        seen = {}
        for line in lines:
            key = (line["pxname"], line["svname"])
            now = _counters(line)
            before = self._before.get(key, {})
            # A counter that went back belongs to a new worker, which begins at zero.
            restarted = any(now[name] < before.get(name, 0) for name in now)
            prefix = "client_" if line["svname"] == "FRONTEND" else ""
            counts = found.setdefault(proxies.group_of(line["pxname"]), Counter())
            for name, value in now.items():
                counts[prefix + name] += value - (0 if restarted else before.get(name, 0))
            seen[key] = now
        for name, code, number in own_answers:
            kind = f"own_{code}"
            counted = self._before.get((name, kind), {}).get(kind, 0)
            found.setdefault(name, Counter())[kind] += number - (counted if number >= counted else 0)
            seen[name, kind] = {kind: number}
        self._before = seen
        return found


def _counters(line: Mapping[str, str]) -> dict[str, int]:
    """Return what a line of HAProxy's statistics counts.

    Of a backend that is its requests and those that anybody answered with 5xx; its servers count their answers.
    """
    if line["svname"] == "BACKEND":
        return {"requests": int(line.get("req_tot") or 0), "failed": int(line.get("hrsp_5xx") or 0)}
    now = {name: int(line[f"hrsp_{name}"] or 0) for name in CLASSES} | {"errors": int(line["econ"] or 0)}
    size = int(line["bin"] or 0) + int(line["bout"] or 0)
    return now | {"connections": int(line["conn_tot"] or 0), "bytes": size}


@dataclass
class Times:
    """The response times of requests, read from HAProxy's ring without reading one twice."""

    _last: int = 0

    def new(self, events: str) -> dict[str, list[float]]:
        """Return the seconds that targets took, by backend."""
        found: dict[str, list[float]] = {}
        rows = [line.split() for line in events.splitlines() if len(line.split()) == 3]  # noqa: PLR2004
        numbered = [(int(number), backend, int(took)) for number, backend, took in rows if took.lstrip("-").isdigit()]
        if numbered and max(number for number, _, _ in numbered) < self._last:
            self._last = 0
        for number, backend, took in numbered:
            if number > self._last and took >= 0:
                found.setdefault(proxies.group_of(backend), []).append(took / 1000)
        self._last = max([self._last, *(number for number, _, _ in numbered)])
        return found


class BalancerMetrics(controller.Controller):
    """Publishes what HAProxy counts and measures."""

    name = "balancer-metrics"
    interval = 0.5

    def __init__(
        self,
        process: Process | None = None,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str, str], clients.Client] = clients.client,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._process = process or Process()
        self._regions = regions
        self._client = client
        self._clock = clock
        self._tally = Tally()
        self._times = Times()
        self._first = True
        self._minute = metrics_store.minute(clock())
        self._counts: dict[str, Counts] = {}
        self._seconds: dict[str, list[float]] = {}
        # The last looks: when, what was counted, how long the requests took.
        self._recent: deque[tuple[float, dict[str, Counts], dict[str, list[float]]]] = deque()

    @metrics_store.together()
    def step(self) -> None:
        """Look at HAProxy, and publish the AWS minute that has ended."""
        moment = self._clock()
        # Where no HAProxy runs, or it has just ended, nothing is counted; the minutes go on.
        with contextlib.suppress(OSError):
            self._look(moment)
        minute = metrics_store.minute(moment)
        if minute != self._minute:
            counts, seconds, ended = self._counts, self._seconds, self._minute
            self._counts, self._seconds, self._minute = {}, {}, minute
            self._publish(whole_minute(counts), seconds, ended)

    def _look(self, moment: float) -> None:
        lines = list(self._process.statistics())
        own_answers = list(self._process.own_answers(lines))
        events = self._process.command(haproxy_syntax.command("show", "events", haproxy_config.RING))
        # From here on nothing fails: what is taken off the counters is counted.
        counts, seconds = self._tally.new(lines, own_answers), self._times.new(events)
        if self._first:
            # What HAProxy counted before this controller began belongs to minutes that are over.
            self._first = False
            return
        for name, count in counts.items():
            self._counts.setdefault(name, Counter()).update(count)
        for name, values in seconds.items():
            self._seconds.setdefault(name, []).extend(values)
        self._recent.append((moment, counts, seconds))
        while self._recent and moment - self._recent[0][0] > NOW_SECONDS:
            self._recent.popleft()
        traffic.report({name.replace(".", "/"): self._last_seconds(name) for name in counts})

    def _last_seconds(self, name: str) -> Now:
        looks = [(counts[name], seconds.get(name, [])) for _, counts, seconds in self._recent if name in counts]
        length = max(len(looks), 1) * self.interval
        values = [value for _, seconds in looks for value in seconds]
        requests = sum(counts[one] for counts, _ in looks for one in CLASSES)
        errors = sum(max(counts["failed"], counts["5xx"] + counts["errors"]) for counts, _ in looks)
        return Now(requests / length, percentile(values, HALF), percentile(values, NEARLY_ALL), errors / length)

    # --- CloudWatch

    def _publish(self, counts: dict[str, Counts], seconds: dict[str, list[float]], minute: int) -> None:
        wanted = read_wanted({region: self._client("elbv2", region) for region in self._regions()})
        for balancer in wanted.balancers:
            groups = [wanted.groups[arn] for arn in sorted(balancer.group_arns & set(wanted.groups))]
            region = balancer.arn.split(":")[3]
            of_balancer: dict[str, list[float]] = {}
            for group in groups:
                values = group_metrics(counts.get(group.backend, Counter()), seconds.get(group.backend, []))
                for name, samples in values.items():
                    of_balancer.setdefault(name, []).extend(samples)
                self._publish_group(balancer, group, counts.get(group.backend, Counter()), values, minute)
            clients: Counts = Counter()
            for listener in balancer.listeners:
                clients.update(counts.get(haproxy_config.frontend(balancer, listener.port), Counter()))
            targets: Counts = Counter()
            for group in groups:
                targets.update(counts.get(group.backend, Counter()))
            of_balancer |= balancer_metrics(clients, targets)
            self._put(region, of_balancer, {"LoadBalancer": balancer.name}, minute, answers(targets))

    def _publish_group(
        self, balancer: LoadBalancer, group: Group, counts: Counts, values: dict[str, list[float]], minute: int
    ) -> None:
        region = balancer.arn.split(":")[3]
        states = list(read_targets(self._client("elbv2", region), group.arn).values())
        both = {"TargetGroup": group.name, "LoadBalancer": balancer.name}
        per_target = {"RequestCountPerTarget": [requests_per_target(counts, states)]}
        self._put(region, values | host_counts(states) | per_target, both, minute, answers(counts))
        self._put(region, per_target, {"TargetGroup": group.name}, minute)

    def _put(
        self,
        region: str,
        values: Mapping[str, Sequence[float]],
        dimensions: dict[str, Any],
        minute: int,
        timed: int = 0,
    ) -> None:
        """Publish values; `timed` requests have the response times among them, which may be a sample."""
        samples = {"TargetResponseTime": float(max(timed, len(values.get("TargetResponseTime", ()))))}
        cloudwatch = self._client("cloudwatch", region)
        metrics_store.publish(cloudwatch, NAMESPACE, values, dimensions, minute, samples=samples)


def whole_minute(counts: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return what a whole minute of AWS's would count at the same rate: requests are real, whatever LOCAL_SPEED is.

    Otherwise an alarm on a number of errors, or scaling by requests, would see a tenth of them at LOCAL_SPEED=10.
    """
    factor = clock.speed()
    return {
        name: Counter({kind: round(number * factor) for kind, number in counted.items()})
        for name, counted in counts.items()
    }


def group_metrics(counts: Counts, seconds: Sequence[float]) -> dict[str, list[float]]:
    """Return a target group's metrics of a minute. As on AWS, what did not happen is not reported as zero."""
    values = {f"HTTPCode_Target_{name.upper()}_Count": [float(counts[name])] for name in CLASSES if counts[name]}
    if requests := sum(counts[name] for name in (*CLASSES, "errors")):
        values["RequestCount"] = [float(requests)]
    if counts["errors"]:
        values["TargetConnectionErrorCount"] = [float(counts["errors"])]
    if seconds:
        values["TargetResponseTime"] = representatives(seconds)
    return values


def answers(counts: Counts) -> int:
    """Return how many requests targets answered."""
    return sum(counts[name] for name in CLASSES)


def registered(states: Sequence[str]) -> int:
    """Return how many of a group's targets, by their states, are registered: those that drain are no more."""
    return sum(state != "draining" for state in states)


def host_counts(states: Sequence[str]) -> dict[str, list[float]]:
    """Return how many targets of a group are healthy and unhealthy; nothing where none is registered (rule L11)."""
    if not registered(states):
        return {}
    healthy, unhealthy = states.count("healthy"), states.count("unhealthy")
    return {"HealthyHostCount": [float(healthy)], "UnHealthyHostCount": [float(unhealthy)]}


def requests_per_target(counts: Counts, states: Sequence[str]) -> float:
    """Return the requests of a minute for each healthy target, or for each registered one where none is (rule L11).

    It is always told, so that a group without targets gets its first one when somebody asks (rule T10).
    """
    requests = max(answers(counts) + counts["errors"], counts["requests"])
    return requests / (states.count("healthy") or registered(states) or 1)


def balancer_metrics(clients: Counts, targets: Counts) -> dict[str, list[float]]:
    """Return a load balancer's metrics of a minute: its own answers, which no target gave, and its capacity units."""
    own = {name: clients[f"client_{name}"] - targets[name] for name in CLASSES[1:]}
    own |= {str(code): clients[f"own_{code}"] for code in haproxy_answers.CODES}
    values = {f"HTTPCode_ELB_{name.upper()}_Count": [float(count)] for name, count in own.items() if count > 0}
    if clients["client_connections"] or clients["client_bytes"]:
        values["ConsumedLCUs"] = [consumed_units(clients["client_connections"], clients["client_bytes"])]
    return values


def consumed_units(connections: int, size: int) -> float:
    """Return the share of an hour's capacity units that an AWS minute's new connections and bytes take.

    Of connections and bytes those count that take more. The minutes of an hour add up to its units, as AWS tells of
    those that are reserved:
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/monitor-capacity-unit-reservation.html
    What AWS counts besides, open connections and rules beyond ten, is not looked at.
    """
    minute = metrics_store.MINUTE
    units = max(connections / minute / UNIT_CONNECTIONS, size / minute * HOUR_SECONDS / UNIT_BYTES)
    return units * metrics_store.MINUTE / HOUR_SECONDS
