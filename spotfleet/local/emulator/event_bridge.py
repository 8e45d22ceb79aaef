"""What ECS tells EventBridge: changes of tasks and machines, what its services and their deployments do (rule E18).

Delivered one after the other by a thread of its own, so that no target holds ECS up; made only where a rule or an
archive may want them.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
"""

import functools
import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from ministack.core.concurrency import spawn_background
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import ecs, eventbridge

from spotfleet.local.emulator.records import Record

TASK_CHANGE = "ECS Task State Change"
MACHINE_CHANGE = "ECS Container Instance State Change"
SERVICE_ACTION = "ECS Service Action"
DEPLOYMENT_CHANGE = "ECS Deployment State Change"

INFO = "INFO"
WARNING = "WARN"
ERROR = "ERROR"

# Held while it is looked what has changed, so that each change is told once, and in its order.
telling = threading.Lock()

# An account, a region, and an entry of PutEvents.
_Waiting = tuple[str, str, Record]


def is_heard() -> bool:
    """Return whether anything in this account and region may take an event."""
    rules = list(eventbridge._rules.values())
    listening = any(rule.get("EventPattern") and rule.get("State") == "ENABLED" for rule in rules)
    return listening or bool(list(eventbridge._archives.values()))


def send(kind: str, resource: str, detail: Record) -> None:
    """Give EventBridge an event of ECS's about one resource, by its ARN."""
    entry = {"Source": "aws.ecs", "DetailType": kind, "Resources": [resource], "Detail": json.dumps(detail)}
    _waiting().put((get_account_id(), get_region(), entry))


def tell_action(service: Record, name: str, *, kind: str = INFO, **more: object) -> None:
    """Tell what a service's scheduler has done or cannot do, such as SERVICE_STEADY_STATE.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
    """
    if not is_heard():
        return
    detail = {"eventType": kind, "eventName": name, "clusterArn": service["clusterArn"], **more}
    send(SERVICE_ACTION, service["serviceArn"], detail | {"createdAt": now()})


def tell_deployment(service: Record, deployment: Record, name: str, reason: str, *, kind: str = INFO) -> None:
    """Tell that a service's deployment has begun, was completed or has failed.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
    """
    if not is_heard():
        return
    detail = {"eventType": kind, "eventName": name, "deploymentId": deployment["id"], "updatedAt": now()}
    send(DEPLOYMENT_CHANGE, service["serviceArn"], detail | {"reason": reason})


def tell_tasks(cluster: str) -> None:
    """Tell of each task of a cluster that has changed since it was told of; its version says which news is newer.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
    """
    heard = is_heard()
    with telling:
        for task in _tasks_of(cluster):
            state, version = _state(task), int(task.get("version") or 1)
            told, told_version = task.get("_told") or (None, 0)
            if state == told:
                continue
            task["version"] = max(version, told_version + 1)
            task["_told"] = (state, task["version"])
            if heard:
                send(TASK_CHANGE, task["taskArn"], _task(task))


def _tasks_of(cluster: str) -> Iterator[Record]:
    return (item for item in list(ecs._tasks.values()) if ecs._cluster_name_from_arn(item["clusterArn"]) == cluster)


def _state(task: Record) -> list[object]:
    containers = [(item.get("lastStatus"), item.get("healthStatus"), item.get("exitCode")) for item in _parts(task)]
    return [task["lastStatus"], task["desiredStatus"], task.get("healthStatus"), containers]


def _parts(task: Record) -> list[Record]:
    parts: list[Record] = task.get("containers", [])
    return parts


def _task(task: Record) -> Record:
    told: Record = ecs._sanitize(task)
    return told | {"updatedAt": now()}


def now() -> str:
    """Return the present time as events have it."""
    return moment(datetime.now(UTC).timestamp())


def moment(seconds: float) -> str:
    """Return a time as events have it, such as 2026-01-02T03:04:05.678Z, from seconds since 1970."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@functools.cache
def _waiting() -> "queue.Queue[_Waiting]":
    """Return the events that are to be delivered; a thread does so from the first one on."""
    waiting: queue.Queue[_Waiting] = queue.Queue()
    spawn_background(_deliver_for_ever, waiting, thread_name="events-of-ecs")
    return waiting


def _deliver_for_ever(waiting: "queue.Queue[_Waiting]") -> None:
    while True:
        account, region, entry = waiting.get()
        try:
            with request_scope(account, region):
                eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
        except Exception:
            ecs.logger.exception("ECS: an event could not be delivered: %s", entry["DetailType"])
