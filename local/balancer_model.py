"""What ELBv2 says a load balancer has to do: listeners, rules in order, target groups, targets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local import aws
from local.targets import Target

DEFAULT_RULE = "default"
# The actions of which a rule has one, as its last.
LAST_ACTIONS = ("forward", "redirect", "fixed-response")
# Rules of one listener, and listeners of one balancer, that a single answer holds.
PAGE = 100


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
    algorithm: str = "round_robin"
    # How it is named in AWS/ApplicationELB's dimensions.
    name: str = ""

    @property
    def backend(self) -> str:
        """The name of its backend in HAProxy, which allows no slash."""
        return self.name.replace("/", ".")


@dataclass(frozen=True)
class Rule:
    """A rule of a listener: conditions that must all hold, and the action that decides, in ELBv2's own form."""

    priority: str
    conditions: tuple[dict[str, Any], ...]
    action: dict[str, Any]

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


@dataclass(frozen=True)
class LoadBalancer:
    """An application load balancer. `name` is how AWS/ApplicationELB's dimensions name it."""

    arn: str
    name: str
    dns_name: str
    idle_timeout: float
    listeners: tuple[Listener, ...]

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


def read(clients: dict[str, aws.Client]) -> Wanted:
    """Return what the ELBv2 clients, by region, say. What is deleted while it is read is left out."""
    balancers: list[LoadBalancer] = []
    groups: dict[str, Group] = {}
    regions: dict[str, str] = {}
    for region, client in clients.items():
        found = list(_balancers(client))
        used = {arn for balancer in found for arn in balancer.group_arns}
        known = {item["TargetGroupArn"]: item for item in aws.pages(client, "describe_target_groups", "TargetGroups")}
        balancers += found
        for arn in sorted(used & set(known)):
            with _passing_over_deleted():
                groups[arn] = _group(client, known[arn])
                regions[arn] = region
    return Wanted(tuple(balancers), groups, regions)


def _balancers(client: aws.Client) -> Iterator[LoadBalancer]:
    for item in aws.pages(client, "describe_load_balancers", "LoadBalancers"):
        if item.get("Type", "application") != "application":
            continue
        arn = item["LoadBalancerArn"]
        with _passing_over_deleted():
            attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            listeners = client.describe_listeners(LoadBalancerArn=arn)["Listeners"]
            yield LoadBalancer(
                arn=arn,
                name=arn.partition(":loadbalancer/")[2],
                dns_name=item.get("DNSName", ""),
                idle_timeout=float(_attributes(attributes).get("idle_timeout.timeout_seconds", 60)),
                listeners=tuple(sorted((_listener(client, one) for one in listeners), key=lambda one: one.port)),
            )


@contextmanager
def _passing_over_deleted() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith("NotFound"):
            raise


def _attributes(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in items}


def _deciding(actions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the action that answers or forwards, or one before it that has to let requests through, as a login."""
    before = [action for action in actions if action["Type"] not in LAST_ACTIONS]
    return before[0] if before else actions[-1]


def _listener(client: aws.Client, item: dict[str, Any]) -> Listener:
    rules = [
        Rule(rule["Priority"], tuple(rule.get("Conditions", [])), _deciding(rule["Actions"]))
        for rule in client.describe_rules(ListenerArn=item["ListenerArn"])["Rules"]
        if rule["Priority"] != DEFAULT_RULE and rule["Actions"]
    ]
    rules.sort(key=lambda rule: int(rule.priority))
    rules.append(Rule(DEFAULT_RULE, (), _deciding(item["DefaultActions"])))
    return Listener(item["ListenerArn"], int(item["Port"]), item["Protocol"] == "HTTPS", tuple(rules))


def _group(client: aws.Client, item: dict[str, Any]) -> Group:
    arn = item["TargetGroupArn"]
    attributes = _attributes(client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
    return Group(
        arn=arn,
        name=arn.rpartition(":")[2],
        path=item.get("HealthCheckPath") or "/",
        interval=float(item.get("HealthCheckIntervalSeconds", 30)),
        timeout=float(item.get("HealthCheckTimeoutSeconds", 5)),
        healthy_count=int(item.get("HealthyThresholdCount", 5)),
        unhealthy_count=int(item.get("UnhealthyThresholdCount", 2)),
        matcher=item.get("Matcher", {}).get("HttpCode", "200"),
        slow_start=float(attributes.get("slow_start.duration_seconds", 0)),
        algorithm=attributes.get("load_balancing.algorithm.type", "round_robin"),
    )


def read_targets(client: aws.Client, group: str) -> dict[Target, str]:
    """Return the targets of a group with the state that ELBv2 tells; none when the group is gone."""
    try:
        described = client.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "TargetGroupNotFound":
            return {}
        raise
    return {
        Target(item["Target"]["Id"], int(item["Target"]["Port"])): item["TargetHealth"]["State"] for item in described
    }
