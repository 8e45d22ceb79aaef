"""Questions to ECS that more than one part asks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from spotfleet.behaviour import placement
from spotfleet.behaviour.usage import fast_metrics
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages

# Clusters, tasks, container instances and services that ECS describes in one call.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
DESCRIBED = {"clusters": 100, "tasks": 100, "containerInstances": 100, "services": 10, "serviceRevisions": 20}


def read_waiting_tasks(ecs: clients.Client, cluster: str, provider: str) -> list[placement.Need]:
    """Return what the tasks need that no machine has room for."""
    waiting = [
        task
        for task in read_tasks(ecs, cluster)
        if task["lastStatus"] == "PROVISIONING"
        and not task.get("containerInstanceArn")
        and task.get("capacityProviderName") == provider
    ]
    definitions = {
        arn: ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        for arn in {task["taskDefinitionArn"] for task in waiting}
    }
    return [placement.need_of(definitions[task["taskDefinitionArn"]]) for task in waiting]


def read_tasks(ecs: clients.Client, cluster: str) -> list[dict[str, Any]]:
    """Return the tasks of a cluster that are to run."""
    return list(_described_tasks(ecs, cluster, pages(ecs, "list_tasks", "taskArns", cluster=cluster)))


def read_tasks_of_service(ecs: clients.Client, cluster: str, service: str) -> list[dict[str, Any]]:
    """Return the tasks of a service, by its name, that are to run."""
    arns = pages(ecs, "list_tasks", "taskArns", cluster=cluster, serviceName=service)
    return list(_described_tasks(ecs, cluster, arns))


def service_of(task: Mapping[str, Any]) -> str:
    """Return the name of the service that a task belongs to, or nothing when it was started alone."""
    kind, _, name = str(task.get("group", "")).partition(":")
    return name if kind == "service" else ""


def read_services(ecs: clients.Client, cluster: str) -> Iterator[dict[str, Any]]:
    """Yield the active services of a cluster."""
    for part in _parts(list(pages(ecs, "list_services", "serviceArns", cluster=cluster)), "services"):
        described = ecs.describe_services(cluster=cluster, services=part)["services"]
        yield from (service for service in described if service["status"] == "ACTIVE")


def read_fast_metrics(ecs: clients.Client, cluster: str) -> dict[str, Set[str]]:
    """Return, by service, the metrics that services of a cluster publish every 20 seconds: their revision tells."""
    arns = {
        revision["arn"]: service["serviceName"]
        for service in read_services(ecs, cluster)
        for revision in service.get("currentServiceRevisions", [])
    }
    found: dict[str, Set[str]] = {}
    for part in _parts(list(arns), "serviceRevisions"):
        for revision in ecs.describe_service_revisions(serviceRevisionArns=part)["serviceRevisions"]:
            if names := fast_metrics(revision):
                found[arns[revision["serviceRevisionArn"]]] = names
    return found


def _described_tasks(ecs: clients.Client, cluster: str, arns: Iterable[str]) -> Iterator[dict[str, Any]]:
    for part in _parts(list(arns), "tasks"):
        yield from ecs.describe_tasks(cluster=cluster, tasks=part)["tasks"]


def _parts(items: Sequence[str], kind: str) -> list[Sequence[str]]:
    size = DESCRIBED[kind]
    return [items[first : first + size] for first in range(0, len(items), size)]


def read_clusters(ecs: clients.Client) -> list[dict[str, Any]]:
    """Return the active clusters."""
    parts = _parts(list(pages(ecs, "list_clusters", "clusterArns")), "clusters")
    described = [item for part in parts for item in ecs.describe_clusters(clusters=part)["clusters"]]
    return [item for item in described if item["status"] == "ACTIVE"]


def read_container_instances(ecs: clients.Client, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the container instances of clusters by their EC2 instance."""
    found: dict[str, dict[str, Any]] = {}
    for cluster in names:
        arns = list(pages(ecs, "list_container_instances", "containerInstanceArns", cluster=cluster))
        for part in _parts(arns, "containerInstances"):
            described = ecs.describe_container_instances(cluster=cluster, containerInstances=part)
            found |= {item["ec2InstanceId"]: item for item in described["containerInstances"]}
    return found
