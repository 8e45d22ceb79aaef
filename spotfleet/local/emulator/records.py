"""What several parts of the emulator ask MiniStack's tables: which task is where, and whose."""

from http import HTTPStatus
from typing import Any

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import (
    autoscaling,
    ec2,
    ecs,
)

from spotfleet.local.api import clients

Record = dict[str, Any]

# What MiniStack's functions return: an HTTP status, headers and a body.
Response = tuple[int, dict[str, str], bytes]

# Container instances by ARN.
container_instances = AccountRegionScopedDict()


def client(service: str) -> clients.Client:
    return clients.client(service, get_region(), get_account_id())


def group_of(instance_id: str) -> tuple[Record, Record] | None:
    for group in autoscaling._asgs.values():
        for instance in group["Instances"]:
            if instance["InstanceId"] == instance_id:
                return group, instance
    return None


def capacity_provider(record: Record) -> str | None:
    """Return the capacity provider of a machine: its group may get one when the machine has joined already."""
    if record["capacityProviderName"] is None:
        found = group_of(record["ec2InstanceId"])
        provider = provider_of(found[0]["AutoScalingGroupARN"]) if found else None
        record["capacityProviderName"] = provider["name"] if provider else None
    name: str | None = record["capacityProviderName"]
    return name


def ecs_answer(body: Record) -> Response:
    answer: Response = json_response(ecs._sanitize(body))
    return answer


def ecs_error(code: str, text: str) -> Response:
    error: Response = error_response_json(code, text, HTTPStatus.BAD_REQUEST)
    return error


def container_instance(reference: str) -> Record | None:
    """Return the record of an ARN or of its last part."""
    for arn, record in container_instances.items():
        if reference in (arn, arn.rpartition("/")[2]):
            found: Record = record
            return found
    return None


def provider_of(group_arn: str) -> Record | None:
    """Return the capacity provider of an Auto Scaling group."""
    for provider in ecs._capacity_providers.values():
        if provider["autoScalingGroupProvider"].get("autoScalingGroupArn") == group_arn:
            found: Record = provider
            return found
    return None


def tasks_on(container_instance: str) -> list[Record]:
    return [
        task
        for task in list(ecs._tasks.values())
        if task.get("containerInstanceArn") == container_instance and task["lastStatus"] != "STOPPED"
    ]


def tasks_by_machine() -> dict[str, list[Record]]:
    """Return the tasks that have not stopped by the ARN of their container instance."""
    found: dict[str, list[Record]] = {}
    for task in list(ecs._tasks.values()):
        if task.get("containerInstanceArn") and task["lastStatus"] != "STOPPED":
            found.setdefault(task["containerInstanceArn"], []).append(task)
    return found


def tasks_on_instance(instance_id: str) -> list[Record]:
    return [
        task
        for record in list(container_instances.values())
        if record["ec2InstanceId"] == instance_id and record["status"] != "INACTIVE"
        for task in tasks_on(record["containerInstanceArn"])
    ]


def live_tasks(service: Record) -> list[Record]:
    return [
        task
        for task in list(ecs._tasks.values())
        if task["clusterArn"] == service["clusterArn"]
        and task.get("startedBy") == service["serviceName"]
        and task["desiredStatus"] != "STOPPED"
    ]


def reconcile_services_of(tasks: list[Record]) -> None:
    for cluster, name in {(ecs._cluster_name_from_arn(task["clusterArn"]), task.get("startedBy")) for task in tasks}:
        if f"{cluster}/{name}" in ecs._services:
            ecs._reconcile_service_tasks(cluster, f"{cluster}/{name}")


def awaited_containers(task: Record) -> set[str]:
    """Return Docker's ids of a task's containers that are not known to have ended."""
    names = task.get("_docker_ids") or []
    described = zip(task.get("containers") or [], names, strict=False)
    return set(names) - {name for item, name in described if item.get("lastStatus") == "STOPPED"}


def machine_of(task: Record) -> str:
    """Return the id of the EC2 instance that a task is on, or nothing while it waits for one."""
    record = container_instances.get(task.get("containerInstanceArn"))
    return str(record["ec2InstanceId"]) if record else ""


def is_on_lost_machine(task: Record) -> bool:
    """Return whether a task's machine has ended and ECS does not know it yet."""
    record = container_instances.get(task.get("containerInstanceArn"))
    return bool(record) and not record["agentConnected"] and record["status"] != "INACTIVE"


def has_ended(instance_id: str) -> bool:
    """Return whether an EC2 instance has ended and its group, if it was in one, has let go of it."""
    machine = ec2._instances.get(instance_id)
    return bool(machine) and machine["State"]["Name"] == "terminated" and group_of(instance_id) is None
