"""What ELBv2 says a load balancer has to do: listeners, rules in order, target groups, targets."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from spotfleet.behaviour import load_balancer_nodes
from spotfleet.local.api import clients

logger = logging.getLogger("spotfleet.balancer")

DEFAULT_RULE = "default"
# The actions of which a rule has one, as its last.
LAST_ACTIONS = ("forward", "redirect", "fixed-response")
# Rules of one listener, and listeners of one balancer, that a single answer holds.
PAGE = 100
# The headers that a listener can add to its responses, by the middle of the attribute's name.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html#insert-header
RESPONSE_HEADERS = {
    "strict_transport_security": "Strict-Transport-Security",
    "content_security_policy": "Content-Security-Policy",
    "x_content_type_options": "X-Content-Type-Options",
    "x_frame_options": "X-Frame-Options",
    "access_control_allow_origin": "Access-Control-Allow-Origin",
    "access_control_allow_methods": "Access-Control-Allow-Methods",
    "access_control_allow_headers": "Access-Control-Allow-Headers",
    "access_control_allow_credentials": "Access-Control-Allow-Credentials",
    "access_control_expose_headers": "Access-Control-Expose-Headers",
    "access_control_max_age": "Access-Control-Max-Age",
}
ROUND_ROBIN = "round_robin"
FORWARDED_FOR_MODES = ("append", "preserve", "remove")
# The longest time of any setting that is read here but one: a connection may be idle for 4000 s.
LONGEST_SECONDS = 4000.0
# How long a client's connection may be kept.
LONGEST_KEEP_ALIVE = 604_800.0


@dataclass(frozen=True)
class Group:
    """A target group; times are in AWS's seconds. `matcher` is like "200", "200,202" or "200-299"."""

    arn: str
    path: str = "/"
    interval: float = 30
    timeout: float = 5
    healthy_count: int = 5
    unhealthy_count: int = 2
    matcher: str = "200"
    slow_start: float = 0
    algorithm: str = ROUND_ROBIN
    # How it is named in AWS/ApplicationELB's dimensions.
    name: str = ""

    @property
    def backend(self) -> str:
        """What the names of its backends in HAProxy begin with, which allows no slash."""
        return self.name.replace("/", ".")


@dataclass(frozen=True)
class Rule:
    """A rule of a listener: conditions that must all hold, and the action that decides, in ELBv2's own form."""

    priority: str
    conditions: tuple[dict[str, Any], ...]
    action: dict[str, Any]
    # Whether requests are rewritten on their way to a target.
    rewrites: bool = False

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The target groups that it forwards to, with their weights."""
        several = self.action.get("ForwardConfig", {}).get("TargetGroups")
        if several:
            return [(group["TargetGroupArn"], int(group.get("Weight", 1))) for group in several]
        return [(self.action["TargetGroupArn"], 1)] if "TargetGroupArn" in self.action else []


@dataclass(frozen=True)
class Listener:
    """A port of a load balancer on AWS, and its rules by priority, the default one last."""

    arn: str
    port: int
    secure: bool
    rules: tuple[Rule, ...]
    # Headers that every response gets, with their values, by the listener's attributes.
    response_headers: tuple[tuple[str, str], ...] = ()
    # Whether the load balancer's own answers name it in the header Server.
    names_server: bool = True


@dataclass(frozen=True)
class LoadBalancer:
    """An application load balancer. `name` is how AWS/ApplicationELB's dimensions name it."""

    arn: str
    name: str
    dns_name: str
    idle_timeout: float
    listeners: tuple[Listener, ...]
    # How many nodes it has, which check and balance each by itself.
    nodes: int = 1
    # Seconds after which a client's connection is closed with the next response.
    client_keep_alive: float = 3600
    # What becomes of X-Forwarded-For: append, preserve or remove.
    forwarded_for: str = "append"
    forwards_client_port: bool = False
    drops_invalid_headers: bool = False

    @property
    def group_arns(self) -> set[str]:
        """The target groups that its rules forward to."""
        return {arn for listener in self.listeners for rule in listener.rules for arn, _weight in rule.groups}


@dataclass(frozen=True)
class Wanted:
    """All load balancers of the regions that were read, and the target groups that their rules use."""

    balancers: tuple[LoadBalancer, ...] = ()
    groups: dict[str, Group] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)  # of each target group

    def nodes(self, group: str) -> int:
        """Return how many nodes send requests to a target group: those of the largest load balancer that uses it."""
        return max((balancer.nodes for balancer in self.balancers if group in balancer.group_arns), default=1)


def read_wanted(elbv2: dict[str, clients.Client]) -> Wanted:
    """Return what the ELBv2 clients, by region, say. What is deleted while it is read is left out."""
    balancers: list[LoadBalancer] = []
    groups: dict[str, Group] = {}
    regions: dict[str, str] = {}
    for region, client in elbv2.items():
        found = list(_balancers(client))
        used = {arn for balancer in found for arn in balancer.group_arns}
        known = {
            item["TargetGroupArn"]: item for item in clients.pages(client, "describe_target_groups", "TargetGroups")
        }
        balancers += found
        for arn in sorted(used & set(known)):
            with _passing_over(arn):
                groups[arn] = _group(client, known[arn])
                regions[arn] = region
    return Wanted(tuple(balancers), groups, regions)


def _balancers(client: clients.Client) -> Iterator[LoadBalancer]:
    for item in clients.pages(client, "describe_load_balancers", "LoadBalancers"):
        if item.get("Type", "application") != "application":
            continue
        arn = item["LoadBalancerArn"]
        with _passing_over(arn):
            attributes = _attributes(client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
            mode = attributes.get("routing.http.xff_header_processing.mode", "append")
            yield LoadBalancer(
                arn=arn,
                name=arn.partition(":loadbalancer/")[2],
                dns_name=item.get("DNSName", ""),
                idle_timeout=_seconds(attributes.get("idle_timeout.timeout_seconds", 60)),
                listeners=_listeners(client, arn),
                nodes=load_balancer_nodes.count(len(item.get("AvailabilityZones", []))),
                client_keep_alive=_seconds(attributes.get("client_keep_alive.seconds", 3600), LONGEST_KEEP_ALIVE),
                forwarded_for=mode if mode in FORWARDED_FOR_MODES else "append",
                forwards_client_port=attributes.get("routing.http.xff_client_port.enabled") == "true",
                drops_invalid_headers=attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true",
            )


@contextmanager
def _passing_over(what: str) -> Iterator[None]:
    """Leave out what is deleted while it is read, and, with a line in the log, what makes no sense."""
    try:
        yield
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith("NotFound"):
            raise
    except (LookupError, ValueError) as error:
        _warn_once(f"{what} is left out: {error!r}.")


@functools.lru_cache(maxsize=256)
def _warn_once(text: str) -> None:
    """Log what is left out: it is read every few seconds, and this is news only once."""
    logger.warning(text)


def _seconds(value: str | float, longest: float = LONGEST_SECONDS) -> float:
    """Return a time; ValueError when it is none."""
    seconds = float(value)
    if not 0 <= seconds <= longest:
        raise ValueError(f"{value} s is no time from 0 to {longest:.0f} s")
    return seconds


def _attributes(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["Key"]: item.get("Value", "") for item in items}


def _deciding(actions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the action that answers or forwards, or one before it that has to let requests through, as a login."""
    before = [action for action in actions if action["Type"] not in LAST_ACTIONS]
    return before[0] if before else actions[-1]


def without_rules(wanted: Wanted, refused: Callable[[Rule], bool]) -> Wanted:
    """Return what is wanted without some rules, and say so in the log."""
    balancers = [
        replace(balancer, listeners=tuple(_without_rules(listener, refused) for listener in balancer.listeners))
        for balancer in wanted.balancers
    ]
    return replace(wanted, balancers=tuple(balancers))


def _without_rules(listener: Listener, refused: Callable[[Rule], bool]) -> Listener:
    kept = tuple(rule for rule in listener.rules if not refused(rule))
    for rule in set(rule.priority for rule in listener.rules) - {rule.priority for rule in kept}:
        _warn_once(f"The rule {rule} of {listener.arn} is left out: HAProxy cannot match its regular expression.")
    return replace(listener, rules=kept)


def _listeners(client: clients.Client, balancer: str) -> tuple[Listener, ...]:
    """Return the listeners of a balancer by port, of each port one."""
    by_port: dict[int, Listener] = {}
    for item in client.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
        with _passing_over(item["ListenerArn"]):
            listener = _listener(client, item)
            by_port.setdefault(listener.port, listener)
    return tuple(by_port[port] for port in sorted(by_port))


def _listener(client: clients.Client, item: dict[str, Any]) -> Listener:
    arn = item["ListenerArn"]
    attributes = _attributes(client.describe_listener_attributes(ListenerArn=arn)["Attributes"])
    rules = []
    for rule in client.describe_rules(ListenerArn=arn)["Rules"]:
        with _passing_over(str(rule.get("RuleArn"))):
            if rule["Priority"] != DEFAULT_RULE and rule["Actions"]:
                conditions, action = tuple(rule.get("Conditions", [])), _deciding(rule["Actions"])
                rules.append(Rule(str(int(rule["Priority"])), conditions, action, bool(rule.get("Transforms"))))
    rules.sort(key=lambda rule: int(rule.priority))
    rules.append(Rule(DEFAULT_RULE, (), _deciding(item["DefaultActions"])))
    return Listener(
        arn=arn,
        port=int(item["Port"]),
        secure=item["Protocol"] == "HTTPS",
        rules=tuple(rules),
        response_headers=tuple(_response_headers(attributes)),
        names_server=attributes.get("routing.http.response.server.enabled") != "false",
    )


def _response_headers(attributes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, header in RESPONSE_HEADERS.items():
        # An empty value is the default, which changes nothing.
        if value := attributes.get(f"routing.http.response.{name}.header_value"):
            yield header, value


def _group(client: clients.Client, item: dict[str, Any]) -> Group:
    arn = item["TargetGroupArn"]
    attributes = _attributes(client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
    algorithm = attributes.get("load_balancing.algorithm.type", ROUND_ROBIN)
    slow_start = _seconds(attributes.get("slow_start.duration_seconds", 0))
    return Group(
        arn=arn,
        name=arn.rpartition(":")[2],
        path=item.get("HealthCheckPath") or "/",
        interval=_seconds(item.get("HealthCheckIntervalSeconds", 30)),
        timeout=_seconds(item.get("HealthCheckTimeoutSeconds", 5)),
        healthy_count=int(item.get("HealthyThresholdCount", 5)),
        unhealthy_count=int(item.get("UnhealthyThresholdCount", 2)),
        matcher=item.get("Matcher", {}).get("HttpCode", "200"),
        # The other algorithms have none (rule L9).
        slow_start=slow_start if algorithm == ROUND_ROBIN else 0,
        algorithm=algorithm,
    )
