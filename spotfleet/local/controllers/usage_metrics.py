"""What the tasks use, published each AWS minute: in percent of a service's reservation and of a cluster's machines, as
ECS does it, and by Auto Scaling group, as EC2 does it; with it the size of each group.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import docker
from docker import DockerClient

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.placement import Need, need_of
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.usage import Measured, Use, cluster_use, group_size, machine_use, use_of, utilization
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.ecs import read_clusters, read_container_instances, read_tasks
from spotfleet.local.api.machines import read_machines
from spotfleet.local.host import clock, running_containers

NAMESPACE = "AWS/ECS"
READERS = 8


def _measured(task: Record, before: Mapping[str, Use], now: Mapping[str, Use]) -> Measured:
    after = {item["runtimeId"]: now[item["runtimeId"]] for item in task["containers"] if item.get("runtimeId") in now}
    return Measured(task, [before.get(name, _at_start(task, use)) for name, use in after.items()], list(after.values()))


class Metrics(controller.Controller):
    """Publishes what the tasks of every region use."""

    name = "metrics"
    interval = 0.25

    def __init__(self, engine: DockerClient | None = None) -> None:
        self._engine = engine
        self._minute = metrics_store.minute(time.time())
        # By container: what it had used at the end of the minute before.
        self._before: dict[str, Use] = {}

    def step(self) -> None:
        """Publish the minute that has just ended."""
        minute = metrics_store.minute(time.time())
        if minute == self._minute:
            return
        ended, self._minute = self._minute, minute
        seen: dict[str, Use] = {}
        for region in embedded_aws.regions():
            measured: list[Measured] = []
            for cluster in read_clusters(clients.client("ecs", region)):
                used, tasks = self._publish(region, cluster["clusterName"], ended)
                seen |= used
                measured += tasks
            _publish_groups(region, measured, ended)
        self._before = seen

    def close(self) -> None:
        """Close the connection to Docker."""
        if self._engine:
            self._engine.close()

    def _publish(self, region: str, cluster: str, minute: int) -> tuple[dict[str, Use], list[Measured]]:
        ecs, cloudwatch = clients.client("ecs", region), clients.client("cloudwatch", region)
        tasks = [task for task in read_tasks(ecs, cluster) if task["lastStatus"] == "RUNNING"]
        now = self._read({item["runtimeId"] for task in tasks for item in task["containers"] if "runtimeId" in item})
        measured = [_measured(task, self._before, now) for task in tasks]
        definitions = {arn: _definition(ecs, arn) for arn in {task["taskDefinitionArn"] for task in tasks}}
        for service in sorted({task.get("startedBy", "") for task in tasks} - {""}):
            values: dict[str, list[float]] = {}
            for one in measured:
                if one.task.get("startedBy") == service:
                    need = definitions[one.task["taskDefinitionArn"]]
                    for name, samples in utilization(one, need).items():
                        values.setdefault(name, []).extend(samples)
            dimensions = {"ClusterName": cluster, "ServiceName": service}
            metrics_store.publish(cloudwatch, NAMESPACE, values, dimensions, minute)
        instances = list(read_container_instances(ecs, [cluster]).values())
        metrics_store.publish(cloudwatch, NAMESPACE, cluster_use(instances, measured), {"ClusterName": cluster}, minute)
        return now, measured

    def _read(self, containers: set[str]) -> dict[str, Use]:
        """Return the use of each container that Docker tells it of."""
        if not containers:
            return {}
        engine = self._engine = self._engine or docker.from_env()
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(containers, pool.map(lambda name: _use(engine, name), containers), strict=True))
        return {name: use for name, use in found.items() if use}


def _publish_groups(region: str, measured: Sequence[Measured], minute: int) -> None:
    """Publish the size of each Auto Scaling group, and what is used of its machines."""
    cloudwatch = clients.client("cloudwatch", region)
    for group in clients.pages(
        clients.client("autoscaling", region), "describe_auto_scaling_groups", "AutoScalingGroups"
    ):
        dimensions = {"AutoScalingGroupName": group["AutoScalingGroupName"]}
        metrics_store.publish(cloudwatch, "AWS/AutoScaling", group_size(group), dimensions, minute)
    ended = metrics_store.end(minute)
    warm = [
        machine
        for machine in read_machines(region)
        if machine_life.is_warm(machine, clock.aws_seconds(ended - machine.launched))
    ]
    for name, values in machine_use(warm, measured).items():
        metrics_store.publish(cloudwatch, "AWS/EC2", values, {"AutoScalingGroupName": name}, minute)


def _use(engine: DockerClient, container: str) -> Use | None:
    """Return the use of a container; None when it is gone, or while the engine does not answer."""
    try:
        stats = engine.api.stats(container, stream=False, one_shot=True)
    except running_containers.ERRORS:
        return None
    return use_of(stats, time.time())


def _definition(ecs: clients.Client, arn: str) -> Need:
    return need_of(ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"])


def _at_start(task: Record, use: Use) -> Use:
    """Return what a container had used when its task started: nothing."""
    started = task["startedAt"].timestamp() if "startedAt" in task else use.moment
    return Use(min(started, use.moment), 0.0, 0)
