"""What the tasks use, published each AWS minute: in percent of a service's reservation and of a cluster's machines, as
ECS does it, and by Auto Scaling group, as EC2 does it; with it the size of each group.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
"""

import time
from collections.abc import Sequence

from docker import DockerClient

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.placement import Need, need_of
from spotfleet.behaviour.usage import (
    Measured,
    Use,
    cluster_use,
    group_size,
    machine_use,
    of_machines,
    tells_of_machines,
    utilization,
)
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.ecs import read_clusters, read_container_instances, read_fast_metrics, read_tasks
from spotfleet.local.api.machines import read_detailed_monitoring, read_machines
from spotfleet.local.controllers import container_use, machine_limits
from spotfleet.local.controllers.container_use import Reader
from spotfleet.local.host import clock

NAMESPACE = "AWS/ECS"


class Metrics(controller.Controller):
    """Publishes what the tasks of every region use."""

    name = "metrics"
    interval = 0.25

    def __init__(self, engine: DockerClient | None = None) -> None:
        self._reader = Reader(engine)
        self._minute = metrics_store.minute(time.time())
        # By container: what it had used at the end of the minute before.
        self._before: dict[str, Use] = {}
        # By region and group, and by machine: what EC2 measured in each minute since it told of the group's machines.
        self._untold: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}

    @metrics_store.together()
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
            self._publish_groups(region, measured, ended)
        self._before = seen

    def close(self) -> None:
        """Close the connection to Docker."""
        self._reader.close()

    def _publish(self, region: str, cluster: str, minute: int) -> tuple[dict[str, Use], list[Measured]]:
        ecs, cloudwatch = clients.client("ecs", region), clients.client("cloudwatch", region)
        tasks = [task for task in read_tasks(ecs, cluster) if task["lastStatus"] == "RUNNING"]
        now = self._reader.of_tasks(tasks)
        measured = [container_use.measured(task, self._before, now) for task in tasks]
        definitions = {arn: _definition(ecs, arn) for arn in {task["taskDefinitionArn"] for task in tasks}}
        fast = read_fast_metrics(ecs, cluster)
        for service in sorted({task.get("startedBy", "") for task in tasks} - {""}):
            values: dict[str, list[float]] = {}
            for one in measured:
                if one.task.get("startedBy") == service:
                    need = definitions[one.task["taskDefinitionArn"]]
                    for name, samples in utilization(one, need).items():
                        values.setdefault(name, []).extend(samples)
            # What comes every 20 seconds makes the minute's value as well.
            for name in fast.get(service, ()):
                values.pop(name, None)
            dimensions = {"ClusterName": cluster, "ServiceName": service}
            metrics_store.publish(cloudwatch, NAMESPACE, values, dimensions, minute)
        instances = list(read_container_instances(ecs, [cluster]).values())
        metrics_store.publish(cloudwatch, NAMESPACE, cluster_use(instances, measured), {"ClusterName": cluster}, minute)
        return now, measured

    def _publish_groups(self, region: str, measured: Sequence[Measured], minute: int) -> None:
        """Publish the size of each Auto Scaling group, and what is used of its machines."""
        cloudwatch, autoscaling = clients.client("cloudwatch", region), clients.client("autoscaling", region)
        used = _use_of_machines(region, measured, minute)
        untold: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
        for group in clients.pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups"):
            name = group["AutoScalingGroupName"]
            dimensions = {"AutoScalingGroupName": name}
            metrics_store.publish(cloudwatch, "AWS/AutoScaling", group_size(group), dimensions, minute)
            minutes = self._untold.get((region, name), {})
            for machine, values in used.get(name, {}).items():
                minutes.setdefault(machine, []).append(values)
            if tells_of_machines(minute, detailed=read_detailed_monitoring(region, group)):
                metrics_store.publish(cloudwatch, "AWS/EC2", of_machines(minutes), dimensions, minute)
            else:
                untold[region, name] = minutes
        self._untold = {key: values for key, values in self._untold.items() if key[0] != region} | untold


def _use_of_machines(region: str, measured: Sequence[Measured], minute: int) -> dict[str, dict[str, dict[str, float]]]:
    ended = metrics_store.end(minute)
    machines = read_machines(region)
    ages = {machine.id: clock.aws_seconds(ended - machine.launched) for machine in machines}
    warm = [machine for machine in machines if machine_life.is_warm(machine, ages[machine.id])]
    held = {machine.id: machine_limits.credits_of(region, machine.id) for machine in warm}
    allowed = {name: float(found["allowed_vcpus"]) for name, found in held.items() if found}
    return machine_use(warm, measured, ages, allowed)


def _definition(ecs: clients.Client, arn: str) -> Need:
    return need_of(ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"])
