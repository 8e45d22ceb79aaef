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
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import (
    Record,
    capacity_provider,
    container_instances,
    tasks_on,
)
from spotfleet.local.host import running_containers

# A waiting task looks for a machine this often, besides whenever one registers, and then for the Docker engine.
PLACEMENT_SECONDS = 0.5

# Held while a task gets its machine, so that two tasks never take the same room.
_placing = threading.Condition()


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
    _wait_for_engine(task, engine)
    original(task, definition, overrides, engine)


def _wait_for_machine(task: Record) -> bool:
    """Wait until the task has a machine; False when it was stopped before."""
    with _placing:
        while ecs._task_is_active(task["taskArn"], task):
            if machine := _choose_machine(task):
                task |= {"containerInstanceArn": machine.id, "availabilityZone": machine.zone}
                return True
            _placing.wait(PLACEMENT_SECONDS)
    return False


def _wait_for_engine(task: Record, engine: DockerClient) -> None:
    """Wait while no Docker engine answers: a task would fail at once, and so would the next one."""
    while engine_watch().running(engine) is None and ecs._task_is_active(task["taskArn"], task):
        time.sleep(PLACEMENT_SECONDS)


def _choose_machine(task: Record) -> placement.Machine | None:
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    machines = [
        machine(record)
        for record in list(container_instances.values())
        if record["_cluster"] == cluster
        and record["status"] == "ACTIVE"
        and task.get("capacityProviderName") in (None, capacity_provider(record))
    ]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}", {})
    distinct = any(item.get("type") == "distinctInstance" for item in service.get("placementConstraints", []))
    strategies = service.get("placementStrategy") or placement.DEFAULT_STRATEGY
    return placement.choose(_need(task), machines, strategies, distinct=distinct)


def wake_waiting_tasks() -> None:
    with _placing:
        _placing.notify_all()


@functools.cache
def engine_watch() -> running_containers.EngineWatch:
    return running_containers.EngineWatch(f"{container_reaper.INSTANCE_LABEL}={container_reaper.instance_id()}")
