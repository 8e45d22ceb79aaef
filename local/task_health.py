"""Replaces tasks that fail their load balancer's health checks, as ECS does once the grace period is over."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from local import aws, balancer_model, clock, controllers, fleet
from local.aws import pages

logger = logging.getLogger("spotfleet.task_health")

# Services that ECS describes in one call.
DESCRIBED_SERVICES = 10


class TaskHealth(controllers.Controller):
    """Stops tasks whose targets are unhealthy; their services then start others."""

    name = "task-health"
    interval = 1.0

    def __init__(
        self,
        regions: Callable[[], list[str]] = controllers.regions,
        client: Callable[[str, str], aws.Client] = aws.client,
    ) -> None:
        self._regions = regions
        self._client = client

    def step(self) -> None:
        """Look at every service behind a load balancer."""
        for region in self._regions():
            ecs = self._client("ecs", region)
            for cluster in fleet.clusters(ecs):
                name = cluster["clusterName"]
                services = [service for service in _services(ecs, name) if service["loadBalancers"]]
                if not services:
                    continue
                tasks = fleet.tasks(ecs, name)
                for service in services:
                    self._look_at(region, name, service, tasks)

    def _look_at(self, region: str, cluster: str, service: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
        for group in [balancer["targetGroupArn"] for balancer in service["loadBalancers"]]:
            targets = balancer_model.read_targets(self._client("elbv2", region), group)
            unhealthy = {target.port for target, state in targets.items() if state == "unhealthy"}
            for task in tasks:
                own = task.get("startedBy") == service["serviceName"] and task["lastStatus"] == "RUNNING"
                if own and _ports(task) & unhealthy and _is_past_grace(task, service):
                    reason = f"Task failed ELB health checks in (target-group {group})"
                    logger.warning("%s: %s", task["taskArn"], reason)
                    self._client("ecs", region).stop_task(cluster=cluster, task=task["taskArn"], reason=reason)


def _services(ecs: aws.Client, cluster: str) -> Iterator[dict[str, Any]]:
    arns = list(pages(ecs, "list_services", "serviceArns", cluster=cluster))
    for first in range(0, len(arns), DESCRIBED_SERVICES):
        part = arns[first : first + DESCRIBED_SERVICES]
        described = ecs.describe_services(cluster=cluster, services=part)["services"]
        yield from (service for service in described if service["status"] == "ACTIVE")


def _ports(task: dict[str, Any]) -> set[int]:
    return {item["hostPort"] for container in task["containers"] for item in container.get("networkBindings", [])}


def _is_past_grace(task: dict[str, Any], service: dict[str, Any]) -> bool:
    grace = clock.seconds(service.get("healthCheckGracePeriodSeconds") or 0)
    age = datetime.now(UTC) - task["startedAt"]
    return bool(age.total_seconds() > grace)
