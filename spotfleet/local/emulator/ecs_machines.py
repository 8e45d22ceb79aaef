"""Container instances: the machines as ECS knows them."""

import json
import time
from collections.abc import Callable
from uuid import uuid4

from ministack.core.responses import (
    get_account_id,
    get_region,
)
from ministack.services import (
    ecs,
)

from spotfleet.facts import aws_names
from spotfleet.local.emulator import event_bridge
from spotfleet.local.emulator.ecs_placement import machine, machine_with, wake_waiting_tasks
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import (
    Record,
    Response,
    capacity_provider,
    container_instance,
    container_instances,
    ecs_answer,
    ecs_error,
    reconcile_services_of,
    tasks_by_machine,
    tasks_on,
)


@replaces(ecs._ACTION_MAP, "RegisterContainerInstance")
def register_container_instance(data: Record) -> Response:
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    if cluster not in ecs._clusters:
        return ecs_error("ClusterNotFoundException", "Cluster not found.")
    instance_id = json.loads(data["instanceIdentityDocument"])["instanceId"]
    for record in container_instances.values():
        if record["ec2InstanceId"] == instance_id and record["status"] != "INACTIVE":
            return ecs_answer({"containerInstance": _described(record)})
    arn = f"arn:aws:ecs:{get_region()}:{get_account_id()}:container-instance/{cluster}/{uuid4().hex}"
    container_instances[arn] = {
        "containerInstanceArn": arn,
        "ec2InstanceId": instance_id,
        "capacityProviderName": None,
        "status": "ACTIVE",
        "agentConnected": True,
        "registeredAt": time.time(),
        "registeredResources": data.get("totalResources", []),
        "attributes": data.get("attributes", []),
        "versionInfo": data.get("versionInfo", {}),
        "version": 1,
        "_cluster": cluster,
    }
    wake_waiting_tasks()
    tell_machines(cluster)
    return ecs_answer({"containerInstance": _described(container_instances[arn])})


@replaces(ecs._ACTION_MAP, "DeregisterContainerInstance")
def deregister_container_instance(data: Record) -> Response:
    record = container_instance(data.get("containerInstance", ""))
    if record is None:
        return ecs_error("InvalidParameterException", "Referenced container instance not found.")
    if tasks_on(record["containerInstanceArn"]) and not data.get("force"):
        return ecs_error("InvalidParameterException", "Found running tasks on the instance.")
    record |= {"status": "INACTIVE", "agentConnected": False}
    tell_machines(record["_cluster"])
    reconcile_services_of(tasks_on(record["containerInstanceArn"]))
    return ecs_answer({"containerInstance": _described(record)})


@replaces(ecs._ACTION_MAP, "ListContainerInstances")
def list_container_instances(data: Record) -> Response:
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    wanted = [data["status"]] if "status" in data else ["ACTIVE", "DRAINING"]
    arns = [
        arn
        for arn, record in container_instances.items()
        if record["_cluster"] == cluster and record["status"] in wanted
    ]
    return ecs_answer({"containerInstanceArns": arns})


@replaces(ecs._ACTION_MAP, "DescribeContainerInstances")
def describe_container_instances(data: Record) -> Response:
    found = {reference: container_instance(reference) for reference in data.get("containerInstances", [])}
    return ecs_answer(
        {
            "containerInstances": [_described(record) for record in found.values() if record],
            "failures": [{"arn": name, "reason": "MISSING"} for name, record in found.items() if not record],
        }
    )


@replaces(ecs._ACTION_MAP, "UpdateContainerInstancesState")
def update_container_instances_state(data: Record) -> Response:
    records = [item for reference in data["containerInstances"] if (item := container_instance(reference))]
    for record in records:
        record["status"] = data["status"]
        if data["status"] == "DRAINING":
            reconcile_services_of(tasks_on(record["containerInstanceArn"]))
    for cluster in {record["_cluster"] for record in records}:
        tell_machines(cluster)
    wake_waiting_tasks()
    return ecs_answer({"containerInstances": [_described(record) for record in records], "failures": []})


@extends(ecs._ACTION_MAP, "CreateCapacityProvider")
def refusing_reserved_names(original: Callable[[Record], Response], data: Record) -> Response:
    if aws_names.is_reserved_for_capacity_providers(data.get("name", "")):
        prefixes = ", ".join(aws_names.RESERVED_FOR_CAPACITY_PROVIDERS)
        text = f"The specified capacity provider name is invalid: it must not begin with {prefixes}."
        return ecs_error("InvalidParameterException", text)
    return original(data)


def _described(record: Record) -> Record:
    tasks = tasks_on(record["containerInstanceArn"])
    room = machine(record)
    remaining = {"CPU": room.cpu, "MEMORY": room.memory}
    return record | {
        "capacityProviderName": capacity_provider(record),
        "remainingResources": [
            item | {"integerValue": remaining[item["name"]]} if item["name"] in remaining else item
            for item in record["registeredResources"]
        ],
        "runningTasksCount": sum(task["lastStatus"] == "RUNNING" for task in tasks),
        "pendingTasksCount": sum(task["lastStatus"] != "RUNNING" for task in tasks),
    }


def tell_machines(cluster: str) -> None:
    """Tell EventBridge of each machine of a cluster that has changed, or whose room has, since it was told of (E18).

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
    """
    heard = event_bridge.is_heard()
    with event_bridge.telling:
        tasks = tasks_by_machine()
        for record in list(container_instances.values()):
            if record["_cluster"] != cluster or _is_told_to_have_left(record):
                continue
            room = machine_with(record, tasks.get(record["containerInstanceArn"], []))
            state = (record["status"], record["agentConnected"], room.cpu, room.memory)
            if record.get("_told") == state:
                continue
            record["version"] += "_told" in record
            record["_told"] = state
            if heard:
                times = {"registeredAt": event_bridge.moment(record["registeredAt"]), "updatedAt": event_bridge.now()}
                detail = ecs._sanitize(_described(record)) | times | {"clusterArn": _cluster_arn(record)}
                event_bridge.send(event_bridge.MACHINE_CHANGE, record["containerInstanceArn"], detail)


def _is_told_to_have_left(record: Record) -> bool:
    """Return whether nothing more is told of a machine: its record stays for ever."""
    told: tuple[object, ...] = record.get("_told", (None,))
    return bool(record["status"] == told[0] == "INACTIVE")


def _cluster_arn(record: Record) -> str:
    return f"arn:aws:ecs:{get_region()}:{get_account_id()}:cluster/{record['_cluster']}"


@extends(ecs, "_cluster_view")
def with_machine_count(original: Callable[..., Record], cluster: Record, *rest: object) -> Record:
    records = [item for item in container_instances.values() if item["_cluster"] == cluster["clusterName"]]
    count = sum(record["status"] != "INACTIVE" for record in records)
    return original(cluster, *rest) | {"registeredContainerInstancesCount": count}
