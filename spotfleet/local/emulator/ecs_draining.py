"""A task that gets requests leaves its load balancer before it stops."""

import json
import time
from collections.abc import Callable

from ministack.core.concurrency import resource_lock, spawn_background
from ministack.core.responses import (
    json_response,
)
from ministack.services import (
    ecs,
)

from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response, live_tasks
from spotfleet.local.emulator.targets import deregistration_delay, groups_of

# The end of a service and a leaving task look this often whether the balancer has let go, in real seconds.
TARGET_POLL = 0.1

LEAVING = ("DEACTIVATING", "STOPPING")


@extends(ecs, "_stop_task", held_by=[(ecs._ACTION_MAP, "StopTask")])
def after_deregistration(original: Callable[[Record], Response], data: Record) -> Response:
    """Let a task that gets requests leave its load balancer before it is stopped, as ECS does.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
    """
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
    if not task or task["lastStatus"] not in ("RUNNING", *LEAVING):
        return original(data)
    groups = groups_of(task)
    with resource_lock("ecs-task", task["taskArn"]):
        first = task["lastStatus"] == "RUNNING"
        if first:
            reason = data.get("reason", "Task stopped by user")
            task |= {"desiredStatus": "STOPPED", "lastStatus": "DEACTIVATING", "stoppingAt": ecs._iso()}
            # The scheduler has left its own code before it came here.
            task |= {"stoppedReason": reason, "stopCode": task.get("stopCode") or "UserInitiated"}
    if first:
        _count_again(task)
        spawn_background(_leave, task, groups, thread_name=f"leave-{task['taskArn'][-8:]}")
    answer: Response = json_response({"task": ecs._sanitize(task)})
    return answer


def _leave(task: Record, groups: list[tuple[str, target_health.Target]]) -> None:
    """Wait for the deregistration delay, then stop a task's containers."""
    ends = time.time() + max((deregistration_delay(group) for group, _target in groups), default=0.0)
    while time.time() < ends and not (_service_ends(task) and all(target_health.is_idle(*item) for item in groups)):
        time.sleep(TARGET_POLL)
    task["lastStatus"] = "STOPPING"
    _count_again(task)
    ecs._cleanup_task_resources(task, ecs._get_docker())
    stopped = {"lastStatus": "STOPPED", "executionStoppedAt": ecs._iso(), "stoppedAt": ecs._iso()}
    for container in task["containers"]:
        container["lastStatus"] = "STOPPED"
    task |= stopped
    _count_again(task)


def _service_ends(task: Record) -> bool:
    """Return whether a task's service is deleted: then nobody waits for more than the requests in flight."""
    cluster = task["clusterArn"].rpartition("/")[2]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}")
    return not service or service["status"] != "ACTIVE"


def _count_again(task: Record) -> None:
    cluster = task["clusterArn"].rpartition("/")[2]
    ecs._recount_cluster(cluster)
    ecs._refresh_service_state(cluster, f"service:{task.get('startedBy')}")


@extends(ecs, "_delete_service", held_by=[(ecs._ACTION_MAP, "DeleteService")])
def waiting_for_last_tasks(original: Callable[[Record], Response], data: Record) -> Response:
    answer = original(data)
    service = json.loads(answer[2]).get("service")
    # Those that are being replaced do not count for the service, so that MiniStack has left them.
    for task in live_tasks(service) if service else []:
        ecs._stop_task(data | {"task": task["taskArn"], "reason": "Service deleted"})
    while service and any(
        task.get("startedBy") == service["serviceName"]
        and task.get("clusterArn") == service["clusterArn"]
        and task["lastStatus"] in LEAVING
        for task in list(ecs._tasks.values())
    ):
        time.sleep(TARGET_POLL)
    return answer
