"""Reports tasks that fail their load balancer's health checks, as ECS sees them once the grace period is over.

What its scheduler does about them is in emulator/ecs_scheduler.py (rules E8 and E9).
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.ecs import read_clusters, read_services, read_tasks
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.backchannel import container_restarts
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.task_health")

# What is reported of a task that is to be replaced.
UNHEALTHY = "UNHEALTHY"
# AWS seconds in which no target can have failed three checks: two of the shortest intervals that a service may have.
SOONEST_UNHEALTHY = 12


class TaskHealth(controller.Controller):
    """Reports tasks whose targets are unhealthy, so that others take their places."""

    name = "task-health"
    interval = 1.0

    def __init__(
        self,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str, str], clients.Client] = clients.client,
    ) -> None:
        self._regions = regions
        self._client = client
        self._reported: set[str] = set()

    def step(self) -> None:
        """Look at every service behind a load balancer."""
        present = set()
        for region in self._regions():
            ecs = self._client("ecs", region)
            for cluster in read_clusters(ecs):
                name = cluster["clusterName"]
                services = [service for service in read_services(ecs, name) if service["loadBalancers"]]
                if not services:
                    continue
                tasks = read_tasks(ecs, name)
                present |= {task["taskArn"] for task in tasks}
                for service in services:
                    self._look_at(region, name, service, tasks)
        self._reported &= present

    def _look_at(self, region: str, cluster: str, service: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
        ecs, groups = self._client("ecs", region), [balancer["targetGroupArn"] for balancer in service["loadBalancers"]]
        reason = f"Task failed ELB health checks in (target-group {', '.join(groups)})"
        ports = self._ports_by_state(region, groups)
        present = [task for task in tasks if task.get("startedBy") == service["serviceName"] and _is_wanted(task)]
        for task in present:
            failed = task["lastStatus"] == "RUNNING" and _ports(task) & ports["unhealthy"]
            if failed and task["taskArn"] not in self._reported and _is_past_grace(task, service):
                self._reported.add(task["taskArn"])
                logger.warning("%s: %s", task["taskArn"], reason)
                ecs.submit_task_state_change(cluster=cluster, task=task["taskArn"], status=UNHEALTHY, reason=reason)

    def _ports_by_state(self, region: str, groups: list[str]) -> defaultdict[str, set[int]]:
        ports: defaultdict[str, set[int]] = defaultdict(set)
        for group in groups:
            for target, state in read_targets(self._client("elbv2", region), group).items():
                ports[state].add(target.port)
        return ports


def _is_wanted(task: dict[str, Any]) -> bool:
    return bool(task["desiredStatus"] == "RUNNING")


def _ports(task: dict[str, Any]) -> set[int]:
    return {item["hostPort"] for container in task["containers"] for item in container.get("networkBindings", [])}


def _is_past_grace(task: dict[str, Any], service: dict[str, Any]) -> bool:
    grace = clock.seconds_with_start(service.get("healthCheckGracePeriodSeconds") or 0)
    age = datetime.now(UTC) - task["startedAt"]
    return bool(age.total_seconds() > grace) and not _is_starting_again(task)


def _is_starting_again(task: dict[str, Any]) -> bool:
    """Return whether a container of a task was just started again, which no factor hastens."""
    ago = container_restarts.seconds_since(task["taskArn"])
    return ago is not None and ago < clock.seconds_with_start(SOONEST_UNHEALTHY)
