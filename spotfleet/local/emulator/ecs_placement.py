"""ECS places tasks on machines that have room for them."""

import functools
import threading
import time
from collections.abc import Callable

from docker import DockerClient
from ministack.core import container_reaper
from ministack.services import (
    ecs,
)

from spotfleet.behaviour import placement
from spotfleet.behaviour.delays import PROVISIONING_GIVEN_UP
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import (
    Record,
    Response,
    capacity_provider,
    container_instances,
    ecs_answer,
    live_tasks,
    reconcile_services_of,
    tasks_on,
)
from spotfleet.local.host import clock, delays, running_containers

# A waiting task looks for a machine this often, besides whenever one registers, and then for the Docker engine.
PLACEMENT_SECONDS = 0.5

# Held while a task gets its machine, so that two tasks never take the same room.
_placing = threading.Condition()

NO_ROOM = "Timed out while waiting for a container instance with room for the task"


def machine(record: Record) -> placement.Machine:
    """Return a container instance with the room that its tasks leave."""
    sizes = {item["name"]: item.get("integerValue", 0) for item in record["registeredResources"]}
    attributes = {item["name"]: item.get("value", "") for item in record["attributes"]}
    machine = placement.Machine(
        id=record["containerInstanceArn"],
        zone=attributes.get("ecs.availability-zone", ""),
        type=attributes.get("ecs.instance-type", ""),
        cpu=sizes.get("CPU", 0),
        memory=sizes.get("MEMORY", 0),
    )
    for task in tasks_on(record["containerInstanceArn"]):
        machine = machine.with_task(_need(task))
    return machine


def _need(task: Record) -> placement.Need:
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    return placement.need_of(definition, task.get("startedBy") or task.get("group", ""))


@extends(ecs, "_start_task_worker")
def with_placement(
    original: Callable[..., None], task: Record, definition: Record, overrides: list[Record], engine: DockerClient
) -> None:
    """Start a task's containers once a machine has room for it: until then the task is PROVISIONING."""
    if task.get("launchType") != "FARGATE":
        # MiniStack makes one up.
        task["containerInstanceArn"] = None
        if not _wait_for_machine(task):
            return
    _wait_for_engine(task)
    original(task, definition, overrides, engine)


def _wait_for_machine(task: Record) -> bool:
    """Wait until the task has a machine; False when it was stopped before, or when ECS gives up (rule C10)."""
    deadline = time.monotonic() + clock.seconds(delays.of(PROVISIONING_GIVEN_UP, task["taskArn"]))
    with _placing:
        while ecs._task_is_active(task["taskArn"], task) and time.monotonic() < deadline:
            if machine := _choose_machine(task):
                task |= {"containerInstanceArn": machine.id, "availabilityZone": machine.zone}
                return True
            _placing.wait(PLACEMENT_SECONDS)
    if ecs._task_is_active(task["taskArn"], task):
        _give_up(task)
    return False


def _give_up(task: Record) -> None:
    """Stop a task that has waited too long for room: its deployment has failed to start it, its service tries again."""
    ecs._mark_task_stopped(task["taskArn"], task, NO_ROOM, "TaskFailedToStart")
    reconcile_services_of([task])


def _wait_for_engine(task: Record) -> None:
    """Wait while no Docker engine answers: a task would fail at once, and so would the next one."""
    while engine_watch().running() is None and ecs._task_is_active(task["taskArn"], task):
        time.sleep(PLACEMENT_SECONDS)


def _choose_machine(task: Record) -> placement.Machine | None:
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    machines = [
        machine(record)
        for record in list(container_instances.values())
        if record["_cluster"] == cluster
        and record["status"] == "ACTIVE"
        and record["agentConnected"]
        and task.get("capacityProviderName") in (None, capacity_provider(record))
    ]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}", {})
    distinct = any(item.get("type") == "distinctInstance" for item in service.get("placementConstraints", []))
    strategies = service.get("placementStrategy") or placement.DEFAULT_STRATEGY
    return placement.choose(_need(task), machines, strategies, distinct=distinct)


def wake_waiting_tasks() -> None:
    with _placing:
        _placing.notify_all()


@extends(ecs, "_run_task")
def within_maximum(original: Callable[[Record], Response], data: Record) -> Response:
    """Start no more tasks of a service than its maximum percent allows; MiniStack leaves draining ones out.

    Nor more than a cluster may have waiting for a machine.
    """
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    service = ecs._services.get(f"{cluster}/{data.get('startedBy')}") if data.get("_deploymentId") else None
    if service:
        percent = int((service.get("deploymentConfiguration") or {}).get("maximumPercent", 200))
        free = max(1, service["desiredCount"] * percent // 100) - len(live_tasks(service))
        free = min(free, placement.MOST_PROVISIONING - _provisioning(cluster))
        if free <= 0:
            return ecs_answer({"tasks": [], "failures": []})
        data = data | {"count": min(data.get("count", 1), free)}
    return original(data)


def _provisioning(cluster: str) -> int:
    """Return how many tasks of a cluster wait for a machine."""
    return sum(
        task["lastStatus"] == "PROVISIONING" and ecs._cluster_name_from_arn(task["clusterArn"]) == cluster
        for task in list(ecs._tasks.values())
    )


@functools.cache
def engine_watch() -> running_containers.EngineWatch:
    return running_containers.EngineWatch(f"{container_reaper.INSTANCE_LABEL}={container_reaper.instance_id()}")
