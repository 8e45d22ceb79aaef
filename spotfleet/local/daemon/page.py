"""The live page: what every environment consists of and does, for a browser on this machine.

page.html asks for the JSON that `snapshot` returns. A controller makes it, because it also keeps what was.
"""

import base64
import functools
import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.backchannel import traffic
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import clock, paths

FILE = Path(__file__).with_suffix(".html")
# Points of the history, one for each step.
POINTS = 300
ACTIVITIES = 20
CPU_MINUTES = 30

# What a browser keeps to when it shows the page, besides the script and the style that are in it.
POLICY = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_snapshot: dict[str, Any] = {"environments": []}
_lock = threading.Lock()


@functools.cache
def content() -> bytes:
    """Return the page, for whoever asks: what it shows, it asks for with the key that its address has."""
    return FILE.read_bytes()


@functools.cache
def policy() -> list[tuple[bytes, bytes]]:
    """Return the headers by which a browser runs the page's own script and nothing that came from elsewhere.

    https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP
    """
    own = {kind: f"{kind}-src {_hash_of_inline(kind)}" for kind in ("script", "style")}
    rules = f"{POLICY}; {own['script']}; {own['style']}"
    return [(b"content-security-policy", rules.encode()), (b"referrer-policy", b"no-referrer")]


def _hash_of_inline(kind: str) -> str:
    (text,) = re.findall(rb"<%b>(.*?)</%b>" % (kind.encode(), kind.encode()), content(), re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def snapshot() -> dict[str, Any]:
    """Return what the page shows now."""
    with _lock:
        return _snapshot


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
        self._history: dict[str, deque[dict[str, Any]]] = {}

    def step(self) -> None:
        """Look once."""
        identity = self._find()
        if identity is None:
            raise ConnectionError("the embedded AWS does not answer")
        names = [name for name in paths.environments() if environment_status.stack_names(name, identity)]
        self._history = {name: self._history.get(name, deque(maxlen=POINTS)) for name in names}
        made = {
            "speed": clock.label(),
            "controllers": identity["controllers"],
            "environments": [self._environment(name, identity) for name in names],
        }
        global _snapshot  # noqa: PLW0603  # replaced as a whole: who has the old one may still be writing it out
        with _lock:
            _snapshot = made

    def _environment(self, name: str, identity: dict[str, Any]) -> dict[str, Any]:
        current = environment_status.read(name, identity)
        services = [self._service(region, arn) for region, arn in current.services]
        running = sum(task.state == "RUNNING" for task in current.tasks)
        point = {"time": time.time(), "desired": current.desired_tasks, "running": running}
        point["machines"] = len(current.machines)
        point["rate"] = sum(group["requests_per_second"] for service in services for group in service["groups"])
        self._history[name].append(point)
        history = list(self._history[name])
        activities = [item for region, group in current.groups for item in self._group_activities(region, group)]
        return {**current.as_json(), "services": services, "machine_activities": activities, "history": history}

    def _group_activities(self, region: str, group: str) -> list[dict[str, str]]:
        """Return why machines have come and gone lately."""
        described = self._client("autoscaling", region).describe_scaling_activities(AutoScalingGroupName=group)
        return [_activity(item) for item in described["Activities"][:ACTIVITIES]]

    def _service(self, region: str, arn: str) -> dict[str, Any]:
        cluster, name = arn.split("/")[1:3]
        resource = f"service/{cluster}/{name}"
        scaling = self._client("application-autoscaling", region)
        policies = scaling.describe_scaling_policies(ServiceNamespace="ecs", ResourceId=resource)["ScalingPolicies"]
        activities = scaling.describe_scaling_activities(ServiceNamespace="ecs", ResourceId=resource)
        metric = ("AWS/ECS", "CPUUtilization", {"ClusterName": cluster, "ServiceName": name})
        last = metrics_store.minute(time.time())
        cpu = metrics_store.read(self._client("cloudwatch", region), metric, "Average", last, CPU_MINUTES)
        ecs = self._client("ecs", region)
        described = ecs.describe_services(cluster=cluster, services=[arn])["services"]
        groups = [balancer["targetGroupArn"] for service in described for balancer in service["loadBalancers"]]
        return {
            "name": name,
            "desired": sum(service["desiredCount"] for service in described),
            "running": sum(service["runningCount"] for service in described),
            "cpu_percent": cpu,
            "cpu_target_percent": _cpu_target(policies),
            "activities": [_activity(item) for item in activities["ScalingActivities"][:ACTIVITIES]],
            "events": [item["message"] for service in described for item in service.get("events", [])[:ACTIVITIES]],
            "groups": [self._group(region, group) for group in groups],
        }

    def _group(self, region: str, arn: str) -> dict[str, Any]:
        name = arn.rpartition(":")[2]
        targets = read_targets(self._client("elbv2", region), arn)
        now = traffic.now().get(name, traffic.NOTHING)
        states = [{"id": target.id, "port": target.port, "state": state} for target, state in targets.items()]
        return {"name": name, "targets": states, **asdict(now)}


def _cpu_target(policies: list[dict[str, Any]]) -> float | None:
    for policy in policies:
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        kind = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if kind == "ECSServiceAverageCPUUtilization":
            return float(tracking["TargetValue"])
    return None


def _activity(item: dict[str, Any]) -> dict[str, str]:
    return {
        "time": item["StartTime"].isoformat(),
        "what": item.get("Description", ""),
        "why": item.get("Cause", ""),
        "state": item.get("StatusCode", ""),
    }
