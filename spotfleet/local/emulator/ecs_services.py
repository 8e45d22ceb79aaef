"""ECS keeps a service's tasks and its deployments."""

import json
from collections.abc import Callable
from uuid import uuid4

from ministack.services import (
    ecs,
)

from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator import deployments, ecs_machines, ecs_monitoring, event_bridge
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response, live_tasks
from spotfleet.local.emulator.service_events import tell
from spotfleet.local.emulator.targets import groups_of

# What ECS keeps of a service and MiniStack's CreateService drops.
KEPT_SERVICE_FIELDS = (
    "availabilityZoneRebalancing",
    "enableECSManagedTags",
    "healthCheckGracePeriodSeconds",
    "monitoring",
    "placementConstraints",
    "placementStrategy",
    "propagateTags",
)


@extends(ecs._ACTION_MAP, "SubmitTaskStateChange")
def counting_unhealthy(original: Callable[[Record], Response], data: Record) -> Response:
    """Take a task for one that fails its load balancer's checks, and count it: AWS has no API to tell its scheduler so.

    Its healthStatus is that of its containers (emulator/ecs_health.py), which a load balancer does not change.
    """
    task = ecs._resolve_task(data.get("task", ""), ecs._resolve_cluster_name(data.get("cluster", "default")))
    if task and data.get("status") == "UNHEALTHY" and "_failed_because" not in task:
        task["_failed_because"] = data.get("reason", "Task failed health checks")
        ecs._record_service_task_failure(task)
        _tell_unhealthy(task)
    return original(data)


def _tell_unhealthy(task: Record) -> None:
    """Tell what the load balancer has against a task: once it has stopped nothing else says so.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
    """
    service = ecs._services.get(f"{task['clusterArn'].rpartition('/')[2]}/{task['group'].removeprefix('service:')}")
    for group, target in groups_of(task) if service else []:
        health = target_health.health(group, target)
        if health.state == "unhealthy":
            place = f"(instance {target.id}) (port {target.port})"
            tell(service, f"{place} is unhealthy in (target-group {group}) due to (reason {health.description})")


@extends(ecs, "_make_deployment")
def in_progress_at_first(original: Callable[..., Record], *arguments: object, **named: object) -> Record:
    """A new service's deployment is under way as well: otherwise its circuit breaker never counts."""
    return original(*arguments, **named) | {"rolloutState": "IN_PROGRESS", "rolloutStateReason": ""}


@extends(ecs, "_refresh_service_state")
def forgetting_failed_deployments(original: Callable[[str, str], None], cluster: str, group: str) -> None:
    """Let a failed deployment go when another has taken its place: MiniStack keeps it, and no wait would ever end."""
    original(cluster, group)
    # MiniStack calls this with each change of a task.
    event_bridge.tell_tasks(cluster)
    ecs_machines.tell_machines(cluster)
    service = ecs._services.get(f"{cluster}/{(group or '').removeprefix('service:')}")
    if not service:
        return
    with_tasks = {str(task.get("_deployment_id")) for task in live_tasks(service)}
    before = service["deployments"]
    after = deployments.listed(before, with_tasks)
    if after == before:
        return
    service["deployments"] = after
    for gone in [item for item in before if item not in after]:
        text = f"(service {service['serviceName']}) {deployments.failure(gone)}"
        service["events"].insert(0, {"id": str(uuid4()), "createdAt": ecs._iso(), "message": text})


@extends(ecs._ACTION_MAP, "CreateService")
def keeping_fields(original: Callable[[Record], Response], data: Record) -> Response:
    """Keep what MiniStack drops, and let another load balancer start a deployment as another task does (rule E23)."""
    name = str(data.get("service", "")).rpartition("/")[2]
    there = ecs._services.get(f"{ecs._resolve_cluster_name(data.get('cluster', 'default'))}/{name}", {})
    if "loadBalancers" in data and there and data["loadBalancers"] != there.get("loadBalancers"):
        data = data | {"forceNewDeployment": True}
    status, headers, body = original(data)
    answer = json.loads(body)
    if service := answer.get("service"):
        cluster = service["clusterArn"].rpartition("/")[2]
        kept = {name: data[name] for name in KEPT_SERVICE_FIELDS if name in data}
        kept["currentServiceRevisions"] = ecs_monitoring.revisions(service)
        ecs._services[f"{cluster}/{service['serviceName']}"].update(kept)
        service.update(kept)
    return status, headers, json.dumps(answer).encode()


@extends(ecs._ACTION_MAP, "UpdateService")
def keeping_changed_fields(original: Callable[[Record], Response], data: Record) -> Response:
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    name = str(data.get("service", "")).rpartition("/")[2]
    data = ecs_monitoring.deploying_changes(ecs._services.get(f"{cluster}/{name}"), data)
    return keeping_fields(original, data)
