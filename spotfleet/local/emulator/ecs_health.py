"""The ECS agent has Docker run the health checks of container definitions, and reports what comes of them (rule E3).

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
"""

import functools
import threading
import time
from collections.abc import Mapping

from ministack.core.arn import parse_arn
from ministack.core.concurrency import spawn_background
from ministack.core.responses import request_scope
from ministack.services import ecs

from spotfleet.behaviour import container_health
from spotfleet.behaviour.container_health import Container, Health
from spotfleet.behaviour.delays import HEALTH_REPORTED
from spotfleet.local.emulator import ecs_rollouts, engine, event_bridge
from spotfleet.local.emulator.records import Record, is_on_lost_machine
from spotfleet.local.emulator.service_events import tell
from spotfleet.local.host import clock, delays
from spotfleet.local.host import container_health as engine_health

NANOSECONDS = 1_000_000_000
# In real seconds: each check starts a process in the container, which takes its CPU whatever LOCAL_SPEED is.
SHORTEST_INTERVAL = 1.0

# By which MiniStack, as the agent, says what a container is.
TASK_LABEL = "com.amazonaws.ecs.task-arn"
NAME_LABEL = "com.amazonaws.ecs.container-name"


def docker_check(definition: Record) -> Record | None:
    """Return a container definition's health check as Docker's, or None; Docker's times are real.

    So is the time that a check may take, at any LOCAL_SPEED; a start period leaves time for a start.
    """
    check = container_health.check_of(definition)
    if check is None:
        return None
    times = {
        "interval": max(SHORTEST_INTERVAL, clock.seconds(check.interval)),
        "timeout": float(check.timeout),
        "start_period": clock.seconds_with_start(check.start_period),
    }
    numbers = {name: int(seconds * NANOSECONDS) for name, seconds in times.items()}
    return {"test": list(check.command), "retries": check.retries} | numbers


# Held while the first task that is checked begins to hear.
_beginning = threading.Lock()


def watch() -> None:
    """Hear of the health of the tasks' containers from now on; asked for with the first one that is checked."""
    with _beginning:
        _watch()


@functools.cache
def _watch() -> None:
    spawn_background(engine_health.follow_for_ever, engine.label(), _hear, thread_name="container-health")


def _hear(labels: Mapping[str, str], health: str) -> None:
    """Report what Docker says of a container, at the time at which its agent does."""
    arn = labels.get(TASK_LABEL, "")
    if not arn:
        return
    place = parse_arn(arn)
    task = ecs._tasks.get_scoped(place.account_id, place.region, arn)
    container = _container(task, labels.get(NAME_LABEL, "")) if task else None
    if task is None or container is None or not container.get("_checked"):
        return
    container["_health"] = Health(health.upper())
    late = clock.seconds(delays.of(HEALTH_REPORTED, f"{arn} {container['name']} {health}"))
    timer = threading.Timer(late, _report_in, (place.account_id, place.region, task, container))
    timer.daemon = True
    timer.start()


def _report_in(account: str, region: str, task: Record, container: Record) -> None:
    with request_scope(account, region):
        report(task, container)


def report(task: Record, container: Record) -> None:
    """Let ECS know a container's health, as it is by now, unless its machine is lost."""
    if is_on_lost_machine(task) or task["lastStatus"] == "STOPPED" or container["healthStatus"] == container["_health"]:
        return
    container["healthStatus"] = container["_health"]
    task["healthStatus"] = container_health.of_task(_containers(task))
    event_bridge.tell_tasks(ecs._cluster_name_from_arn(task["clusterArn"]))


def prepare(task: Record, definition: Record) -> None:
    """Note which containers of a task have health checks, and hear of them from now on."""
    definitions = {item["name"]: item for item in definition.get("containerDefinitions", [])}
    for container in task.get("containers", []):
        fields = definitions.get(container["name"], {})
        container |= {"_essential": bool(fields.get("essential", True)), "_health": Health.UNKNOWN}
        container["_checked"] = container_health.check_of(fields) is not None
        if container["_checked"]:
            watch()


def begin_anew(task: Record, name: str) -> None:
    """Take a container that was started again in its task for one whose health is not known."""
    if container := _container(task, name):
        container["_health"] = Health.UNKNOWN
        report(task, container)


def _container(task: Record, name: str) -> Record | None:
    return next((item for item in task["containers"] if item["name"] == name), None)


def _containers(task: Record) -> list[Container]:
    return [
        Container(Health(item["healthStatus"]), item.get("_essential", True), item.get("_checked", False))
        for item in task["containers"]
    ]


def is_checked(task: Record) -> bool:
    """Return whether an essential container of a task has a health check."""
    return container_health.is_checked(_containers(task))


def passes(task: Record) -> bool:
    """Return whether the essential containers of a task pass the health checks that they have."""
    return container_health.passes(_containers(task))


def has_failed(service: Record, task: Record, running_since: float) -> bool:
    """Return whether a task fails health checks; its containers' count once the grace period is over (rule E8).

    Once the scheduler has noticed it no way leads back.
    """
    if "_failed_because" in task:
        return True
    grace = clock.seconds_with_start(service.get("healthCheckGracePeriodSeconds") or 0)
    return task["healthStatus"] == Health.UNHEALTHY and time.time() >= running_since + grace


def count_failed(service: Record, task: Record) -> None:
    """Count a task whose containers fail their health checks; one that a load balancer gave up is counted already."""
    if "_failed_because" in task:
        return
    task["_failed_because"] = f"Task {container_health.FAILED}"
    ecs_rollouts.record_failure(task)
    tell(service, f"(task {task['taskArn'].rpartition('/')[2]}) {container_health.FAILED}.")
