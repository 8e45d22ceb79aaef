"""The live page: what every environment consists of and does, for a browser on this machine.

The page asks for the JSON that `snapshot` returns. A controller makes it, because it also keeps what was; so it costs
the same however many pages are open, and one that opens late sees the past as well.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from spotfleet.local import controller
from spotfleet.local.api import clients, elbv2, embedded_aws, metrics_store
from spotfleet.local.api.ecs import read_clusters
from spotfleet.local.backchannel import traffic
from spotfleet.local.controllers import machine_limits, managed_scaling
from spotfleet.local.daemon import environment_status
from spotfleet.local.daemon.page import events, history
from spotfleet.local.daemon.page.history import History, window
from spotfleet.local.host import clock, paths, rehearsal

ACTIVITIES = 20
# Machines come and go in crowds: of these more, to find the reason of each.
GROUP_ACTIVITIES = 100
# A minute's metric comes when the next one has begun.
NEWEST_MINUTES = 3
# What a service uses, and how many minutes of it are looked at.
USED = (("CPUUtilization", 30), ("MemoryUtilization", NEWEST_MINUTES))

Values = list[float | None]

_lock = threading.Lock()


@dataclass
class _Shown:
    """What the page shows, and the same as it is sent, once somebody has asked."""

    snapshot: dict[str, Any]
    encoded: bytes | None = None


@dataclass
class _Past:
    """What is kept of an environment from look to look."""

    history: History = field(default_factory=lambda: History(window()))
    log: events.Log = field(default_factory=events.Log)
    # Those of the last look, or None before the first one: whatever is there then has not come just now.
    machines: list[environment_status.Machine] | None = None


_shown = _Shown({"environments": []})
# Kept here, because a controller that dies starts again as a new object.
_pasts: dict[str, _Past] = {}


def snapshot() -> dict[str, Any]:
    """Return what the page shows now."""
    with _lock:
        return _shown.snapshot


def as_json(shown: dict[str, Any]) -> bytes:
    """Return something that holds what the page shows as JSON."""
    return json.dumps(shown, separators=(",", ":"), default=history.Kept.as_json).encode()


def of_environment(name: str) -> dict[str, Any]:
    """Return what the page shows of an environment; nothing when it shows none of that name."""
    found: dict[str, Any] = next((item for item in snapshot()["environments"] if item["environment"] == name), {})
    return found


def status(name: str, identity: dict[str, Any]) -> bytes:
    """Return what the server answers of an environment, as JSON."""
    return as_json(environment_status.answer(name, identity, of_environment(name)))


def encoded() -> bytes:
    """Return what the page shows now as JSON, which is made once for all who ask."""
    with _lock:
        if _shown.encoded is None:
            _shown.encoded = as_json(_shown.snapshot)
        return _shown.encoded


class Page(controller.Controller):
    """Looks at all environments, for the page."""

    name = "page"
    interval = 2.0

    def __init__(
        self,
        find: Callable[[], dict[str, Any] | None] = embedded_aws.find,
        client: Callable[[str, str], clients.Client] = clients.client,
    ) -> None:
        self._find = find
        self._client = client

    def step(self) -> None:
        """Look once."""
        identity = self._find()
        if identity is None:
            raise ConnectionError("the embedded AWS does not answer")
        names = [name for name in paths.environments() if environment_status.stack_names(name, identity)]
        for name in set(_pasts) - set(names):
            del _pasts[name]
        made = {
            "time": time.time(),
            "window": window(),
            "factor": clock.speed(),
            "speed": rehearsal.own().label,
            "controllers": identity["controllers"],
            "environments": [self._environment(name, identity) for name in names],
        }
        global _shown  # noqa: PLW0603  # replaced as a whole: who has the old one may still be writing it out
        with _lock:
            _shown = _Shown(made)

    def _environment(self, name: str, identity: dict[str, Any]) -> dict[str, Any]:
        """Return what is shown of an environment; while it cannot be read, what was shown before, and why."""
        try:
            return self._look(name, identity)
        except ClientError as error:
            # What was listed a moment ago is gone, or not there yet: it is being launched or deleted.
            nothing = environment_status.Status(name).as_json() | {
                "services": [],
                "phase": "unknown",
                "machine_activities": [],
                "cpu_credits": {},
            }
            nothing |= {"history": history.Kept(), "events": []}
            return (of_environment(name) or nothing) | {"problem": str(error)}

    def _look(self, name: str, identity: dict[str, Any]) -> dict[str, Any]:
        current = environment_status.read(name, identity)
        moment = time.time()
        past = _pasts.setdefault(name, _Past())
        found: events.Found = {}
        used = self._used(current.services)
        services = [self._service(region, arn, used[arn], found) for region, arn in current.services]
        of_groups = [item for region, group in current.groups for item in self._group_activities(region, group)]
        before = current.machines if past.machines is None else past.machines
        found |= events.of_machines(before, current.machines, of_groups, moment)
        past.machines = current.machines
        past.log.add(found, moment - window())
        reservation = [self._reservation(region, group) for region, group in current.groups]
        past.history.add(moment, figures(current, services, reservation[0] if reservation else {}))
        return {
            **current.as_json(),
            "phase": phase(current),
            "problem": None,
            "services": services,
            "machine_activities": [_activity(item) for item in of_groups[:ACTIVITIES]],
            "cpu_credits": _credits(current),
            "events": past.log.as_json(),
            "history": past.history.kept(),
        }

    def _group_activities(self, region: str, group: str) -> list[dict[str, Any]]:
        """Return why machines have come and gone lately."""
        described = self._client("autoscaling", region).describe_scaling_activities(AutoScalingGroupName=group)
        found: list[dict[str, Any]] = described["Activities"][:GROUP_ACTIVITIES]
        return found

    def _reservation(self, region: str, group: str) -> dict[str, float | None]:
        """Return what ECS scales an Auto Scaling group by, with its target; nothing when it does not scale it."""
        ecs = self._client("ecs", region)
        for cluster in read_clusters(ecs):
            names = cluster.get("capacityProviders") or []
            providers = ecs.describe_capacity_providers(capacityProviders=names)["capacityProviders"] if names else []
            for provider in providers:
                of_group = provider.get("autoScalingGroupProvider", {})
                if of_group.get("autoScalingGroupArn", "").rpartition("/")[2] != group:
                    continue
                dimensions = {"CapacityProviderName": provider["name"], "ClusterName": cluster["clusterName"]}
                value = self._newest(
                    region, (managed_scaling.RESERVATION_NAMESPACE, managed_scaling.RESERVATION, dimensions)
                )
                target = of_group.get("managedScaling", {}).get("targetCapacity")
                return {"reservation": value, "reservation_target": target}
        return {}

    def _newest(self, region: str, metric: tuple[str, str, Mapping[str, str]]) -> float | None:
        last = metrics_store.minute(time.time())
        values = metrics_store.read(self._client("cloudwatch", region), metric, "Average", last, NEWEST_MINUTES)
        return newest(values)

    def _used(self, services: Sequence[tuple[str, str]]) -> dict[str, list[Values]]:
        """Return the minutes of CPU and of memory use of each service, by its ARN: those of a region in one call."""
        last = metrics_store.minute(time.time())
        by_region: dict[str, list[str]] = {}
        for region, arn in services:
            by_region.setdefault(region, []).append(arn)
        found: dict[str, list[Values]] = {}
        for region, arns in by_region.items():
            wanted = [metrics_store.Periods(_use(arn, name), "Average", last, n) for arn in arns for name, n in USED]
            values = iter(metrics_store.read_all(self._client("cloudwatch", region), wanted))
            found |= {arn: list(islice(values, len(USED))) for arn in arns}
        return found

    def _service(self, region: str, arn: str, used: Sequence[Values], found: events.Found) -> dict[str, Any]:
        """Return how a service does, which has `used` CPU and memory; add what happened to it to `found`."""
        cluster, name = arn.split("/")[1:3]
        resource = f"service/{cluster}/{name}"
        scaling = self._client("application-autoscaling", region)
        policies = scaling.describe_scaling_policies(ServiceNamespace="ecs", ResourceId=resource)["ScalingPolicies"]
        answer = scaling.describe_scaling_activities(ServiceNamespace="ecs", ResourceId=resource)
        activities = answer["ScalingActivities"][:ACTIVITIES]
        cpu, memory = used
        ecs = self._client("ecs", region)
        described = ecs.describe_services(cluster=cluster, services=[arn])["services"]
        groups = [balancer["targetGroupArn"] for service in described for balancer in service["loadBalancers"]]
        found |= events.of_scaling(name, activities)
        for service in described:
            found |= events.of_deployments(name, service.get("deployments", []))
        return {
            "name": name,
            "desired": sum(service["desiredCount"] for service in described),
            "running": sum(service["runningCount"] for service in described),
            "cpu_percent": cpu,
            "cpu_target_percent": _cpu_target(policies),
            "memory_percent": newest(memory),
            "activities": [_activity(item) for item in activities],
            "events": [item["message"] for service in described for item in service.get("events", [])[:ACTIVITIES]],
            "groups": [self._group(region, group) for group in groups],
        }

    def _group(self, region: str, arn: str) -> dict[str, Any]:
        name = arn.rpartition(":")[2]
        targets = elbv2.read_targets(self._client("elbv2", region), arn)
        now = traffic.now().get(name, traffic.NOTHING)
        states = [{"id": target.id, "port": target.port, "state": state} for target, state in targets.items()]
        return {"name": name, "targets": states, **asdict(now)}


def figures(
    current: environment_status.Status, services: list[dict[str, Any]], reservation: dict[str, float | None]
) -> dict[str, float | None]:
    """Return the figures of one look, for the charts; those of a service begin with its name and a slash."""
    staying = [machine for machine in current.machines if not machine.draining]
    found: dict[str, float | None] = {
        "machines/draining": len(current.machines) - len(staying),
        "machines/on-demand": sum(machine.kind == "on-demand" for machine in staying),
        "machines/spot": sum(machine.kind == "spot" for machine in staying),
        **{f"machines/{name}": value for name, value in reservation.items()},
    }
    for service in services:
        of_service = {
            "desired": service["desired"],
            "running": service["running"],
            "rate": sum(group["requests_per_second"] for group in service["groups"]),
            "errors": sum(group["errors_per_second"] for group in service["groups"]),
            **{name: _slowest(service["groups"], name) for name in ("p50", "p99")},
            "cpu": newest(service["cpu_percent"][-NEWEST_MINUTES:]),
            "cpu_target": service["cpu_target_percent"],
            "memory": service["memory_percent"],
        }
        found |= {f"services/{service['name']}/{name}": _short(value) for name, value in of_service.items()}
    return found


def _credits(current: environment_status.Status) -> dict[str, dict[str, Any]]:
    """Return the CPU credits of the machines that have some, by their ids."""
    regions = {region for region, _group in current.groups}
    found = {
        machine.id: machine_limits.credits_of(region, machine.id) for region in regions for machine in current.machines
    }
    return {name: standing for name, standing in found.items() if standing}


def phase(current: environment_status.Status) -> str:
    """Return in a few words how far an environment is."""
    states, layers = list(current.stacks.values()), len(paths.layers(current.environment))
    if any(state.startswith("DELETE_IN_PROGRESS") for state in states):
        return "is being deleted"
    if any(state.endswith("_IN_PROGRESS") for state in states):
        return "is being launched or changed"
    bad = [state for state in states if state not in environment_status.GOOD_STATES]
    if bad:
        return f"has stacks in the state {', '.join(sorted(set(bad)))}"
    if len(states) < layers:
        return f"has {len(states)} of its {layers} stacks"
    return "is complete" if current.complete else "has tasks that are not in service yet"


def newest(values: list[float | None]) -> float | None:
    """Return the last value that has come."""
    return next((value for value in reversed(values) if value is not None), None)


def _use(arn: str, name: str) -> metrics_store.Metric:
    """Return the metric of what a service uses, by its ARN."""
    cluster, service = arn.split("/")[1:3]
    return ("AWS/ECS", name, {"ClusterName": cluster, "ServiceName": service})


def _slowest(groups: list[dict[str, Any]], name: str) -> float | None:
    return max((group[name] for group in groups if group[name] is not None), default=None)


def _short(value: float | None) -> float | None:
    """Return a figure without digits that no chart can show."""
    return None if value is None else round(value, 4)


def _cpu_target(policies: list[dict[str, Any]]) -> float | None:
    for policy in policies:
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        kind = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", "")
        if kind.removesuffix("HighResolution") == "ECSServiceAverageCPUUtilization":
            return float(tracking["TargetValue"])
    return None


def _activity(item: dict[str, Any]) -> dict[str, str]:
    return {
        "time": item["StartTime"].isoformat(),
        "what": item.get("Description", ""),
        "why": item.get("Cause", ""),
        "state": item.get("StatusCode", ""),
    }
