"""Which deployments of a service ECS lists."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

Deployment = Mapping[str, Any]


def listed(deployments: Sequence[Deployment], with_tasks: Container[str]) -> list[Deployment]:
    """Return the deployments that DescribeServices still answers with, the primary one first.

    One that has failed, and whose place another has taken for good, is gone with its last task: it is INACTIVE then.
    `with_tasks` names the deployments that have tasks.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
    """
    primary = [item for item in deployments if item["status"] == "PRIMARY"]
    others = [item for item in deployments if item["status"] != "PRIMARY"]
    if any(item["rolloutState"] == "COMPLETED" for item in primary):
        others = [item for item in others if item["rolloutState"] != "FAILED" or item["id"] in with_tasks]
    return [*primary, *others]


def failure(deployment: Deployment) -> str:
    """Return what the service's event about a failed deployment says."""
    return f"(deployment {deployment['id']}) deployment failed: {deployment.get('rolloutStateReason') or 'no reason.'}"


def failure_in(events: Sequence[Mapping[str, Any]], deployment_id: str) -> str | None:
    """Return why a deployment failed that is listed no more, from its service's events; None when they do not say."""
    mark = f"(deployment {deployment_id}) deployment failed: "
    return next((item["message"].partition(mark)[2] for item in events if mark in item["message"]), None)
