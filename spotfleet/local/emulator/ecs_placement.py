"""ECS places tasks on machines that have room for them."""

import json
import threading
import time
from collections.abc import Callable, Iterable

from docker import DockerClient
from ministack.services import (
    ecs,
)

from spotfleet.behaviour import placement
from spotfleet.behaviour.delays import PROVISIONING_GIVEN_UP
from spotfleet.behaviour.placement import Lack, lacking
from spotfleet.behaviour.placement_constraints import is_member
from spotfleet.local.emulator import ecs_health, ecs_order, event_bridge
from spotfleet.local.emulator.engine import engine_watch
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import (
    Record,
    capacity_provider,
    container_instances,
    tasks_on,
)
from spotfleet.local.emulator.service_events import tell
from spotfleet.local.host import clock, delays

# A waiting task looks for a machine this often, besides whenever one registers, and then for the Docker engine.
PLACEMENT_SECONDS = 0.5

# In real seconds: how often a task that has its machine looks whether its room is free.
ROOM_SECONDS = 0.1

# Held while a task gets its machine, so that two tasks never take the same room.
_placing = threading.Condition()

NO_ROOM = "Timed out while waiting for a container instance with room for the task"


# What EventBridge calls these reasons, the service's event says in a sentence.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
LACKS = {
    Lack.MACHINES: "No Container Instances were found in your cluster.",
    Lack.MEMORY: "The closest matching container-instance has insufficient memory available.",
    Lack.CPU: "The closest matching container-instance has insufficient CPU units available.",
    Lack.PORTS: "The closest matching container-instance is already using a port required by your task.",
    Lack.CONSTRAINTS: "No container instance meets the placement constraints.",
}


def machine(record: Record) -> placement.Machine:
    """Return a container instance with the room that its tasks leave: that of STOPPING ones is free (rule E21).

    https://aws.amazon.com/about-aws/whats-new/2023/07 (faster placement of tasks)
    """
    return machine_with(record, tasks_on(record["containerInstanceArn"]))


def machine_with(record: Record, tasks: Iterable[Record]) -> placement.Machine:
    """Return the same of one whose tasks are known."""
    return _with_tasks(record, [task for task in tasks if task["lastStatus"] != "STOPPING"])


def _with_tasks(record: Record, tasks: Iterable[Record]) -> placement.Machine:
    sizes = {item["name"]: item.get("integerValue", 0) for item in record["registeredResources"]}
    attributes = _attributes(record)
    machine = placement.Machine(
        id=record["containerInstanceArn"],
        zone=attributes.get("ecs.availability-zone", ""),
        type=attributes.get("ecs.instance-type", ""),
        cpu=sizes.get("CPU", 0),
        memory=sizes.get("MEMORY", 0),
    )
    for task in tasks:
        machine = machine.with_task(_need(task))
    return machine


def _attributes(record: Record) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in record["attributes"]}


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
        event_bridge.tell_tasks(ecs._cluster_name_from_arn(task["clusterArn"]))
        if not _wait_for_machine(task) or not _wait_for_room(task):
            return
    ecs_health.prepare(task, definition)
    _wait_for_engine(task)
    original(task, ecs_order.in_order_of_start(task, definition), overrides, engine)


def _wait_for_machine(task: Record) -> bool:
    """Wait until the task has a machine; False when it was stopped before, or when ECS gives up (rule C10)."""
    deadline = time.monotonic() + clock.seconds(delays.of(PROVISIONING_GIVEN_UP, task["taskArn"]))
    with _placing:
        while ecs._task_is_active(task["taskArn"], task) and time.monotonic() < deadline:
            if machine := _choose_machine(task):
                task |= {"containerInstanceArn": machine.id, "availabilityZone": machine.zone}
                _service_of(task).pop("_lack", None)
                return True
            _placing.wait(PLACEMENT_SECONDS)
    if ecs._task_is_active(task["taskArn"], task):
        _give_up(task)
    return False


def _give_up(task: Record) -> None:
    """Stop a task that has waited too long for room: its deployment has failed to start it, its service tries again."""
    ecs._mark_task_stopped(task["taskArn"], task, NO_ROOM, "TaskFailedToStart")


def _wait_for_room(task: Record) -> bool:
    """Wait, as the agent does, until the tasks are gone whose room was given to this one; False when it was stopped."""
    record = container_instances[task["containerInstanceArn"]]
    while ecs._task_is_active(task["taskArn"], task):
        with _placing:
            others = [item for item in tasks_on(record["containerInstanceArn"]) if item.get("_has_room")]
            if _with_tasks(record, others).holds(_need(task)):
                task["_has_room"] = True
                return True
        if task["lastStatus"] == "PROVISIONING":
            ecs._mark_task_pending(task["taskArn"], task)
        time.sleep(ROOM_SECONDS)
    return False


def _wait_for_engine(task: Record) -> None:
    """Wait while no Docker engine answers: a task would fail at once, and so would the next one."""
    while engine_watch().running() is None and ecs._task_is_active(task["taskArn"], task):
        time.sleep(PLACEMENT_SECONDS)


def _choose_machine(task: Record) -> placement.Machine | None:
    return find_machine(task, _service_of(task), task.get("_zone"))


def find_machine(task: Record, service: Record, zone: str | None = None) -> placement.Machine | None:
    """Return the machine for a task, or for one more like it, of one zone if it is named.

    When none has room, its service tells so.
    """
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    constraints = [*service.get("placementConstraints", []), *definition.get("placementConstraints", [])]
    expressions = [item["expression"] for item in constraints if item.get("type") == "memberOf"]
    machines = [
        machine(record)
        for record in machines_for(task)
        if all(is_member(expression, _attributes(record)) for expression in expressions)
    ]
    machines = [item for item in machines if zone in (None, item.zone)]
    distinct = any(item.get("type") == "distinctInstance" for item in constraints)
    strategies = service.get("placementStrategy") or placement.DEFAULT_STRATEGY
    found = placement.choose(_need(task), machines, strategies, distinct=distinct)
    if found is None and service:
        _tell_lack(service, Lack.CONSTRAINTS if expressions and not machines else lacking(_need(task), machines))
    return found


def run_in_zone(parameters: Record, zone: str) -> None:
    """Start tasks that are placed in one zone alone."""
    with _placing:
        for task in json.loads(ecs._run_task(parameters)[2])["tasks"]:
            ecs._tasks[task["taskArn"]]["_zone"] = zone


def machines_for(task: Record) -> list[Record]:
    """Return the container instances that take tasks of a task's cluster and capacity provider."""
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    return [
        record
        for record in list(container_instances.values())
        if record["_cluster"] == cluster
        and record["status"] == "ACTIVE"
        and record["agentConnected"]
        and task.get("capacityProviderName") in (None, capacity_provider(record))
    ]


def zone_of(record: Record) -> str:
    """Return the zone of a container instance."""
    return _attributes(record).get("ecs.availability-zone", "")


def _service_of(task: Record) -> Record:
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    service: Record = ecs._services.get(f"{cluster}/{task.get('startedBy')}", {})
    return service


def _tell_lack(service: Record, lack: Lack) -> None:
    """Tell once that a service finds no room, until it does again (rule E18)."""
    if service.get("_lack") != lack:
        service["_lack"] = lack
        text = "was unable to place a task because no container instance met all of its requirements."
        words = f"{text} Reason: {LACKS[lack]}"
        tell(
            service,
            words,
            "SERVICE_TASK_PLACEMENT_FAILURE",
            kind=event_bridge.ERROR,
            reason=str(lack),
            **_where(service),
        )


def _where(service: Record) -> dict[str, list[str]]:
    """Return what EventBridge is told of the capacity providers that a service finds no room with."""
    names = [item["capacityProvider"] for item in service.get("capacityProviderStrategy") or []]
    found = [provider for name in names if (provider := ecs._capacity_providers.get(name))]
    return {"capacityProviderArns": [provider["capacityProviderArn"] for provider in found]} if found else {}


def wake_waiting_tasks() -> None:
    with _placing:
        _placing.notify_all()


def provisioning(cluster: str) -> int:
    """Return how many tasks of a cluster wait for a machine."""
    return sum(
        task["lastStatus"] == "PROVISIONING" and ecs._cluster_name_from_arn(task["clusterArn"]) == cluster
        for task in list(ecs._tasks.values())
    )
