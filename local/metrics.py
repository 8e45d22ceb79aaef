"""What the tasks use, published each AWS minute: in percent of a service's reservation and of a cluster's machines, as
ECS does it, and by Auto Scaling group, as EC2 does it; with it the size of each group.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import docker
from docker import DockerClient

from local import aws, controllers, engine_watch, fleet, metrics_store
from local.placement import Need, need_of

NAMESPACE = "AWS/ECS"
CPU_UNITS = 1024
MEBIBYTE = 1024 * 1024
NANOSECONDS = 1e9
PERCENT = 100.0
READERS = 8

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """What a container has used: CPU seconds and bytes of the network since its start, bytes of memory now.

    `moment` is in seconds since 1970.
    """

    moment: float
    cpu_seconds: float
    memory: int
    received: int = 0
    sent: int = 0


def use_of(stats: Record, moment: float) -> Use:
    """Return the use in an answer of Docker's statistics; memory without the page cache, as ECS counts it."""
    memory = stats.get("memory_stats", {})
    cache = memory.get("stats", {}).get("inactive_file", memory.get("stats", {}).get("total_inactive_file", 0))
    cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / NANOSECONDS
    networks = stats.get("networks", {}).values()
    received, sent = (sum(network[name] for network in networks) for name in ("rx_bytes", "tx_bytes"))
    return Use(moment, cpu, max(0, memory.get("usage", 0) - cache), received, sent)


def cpu_percent(before: Use, after: Use, units: int) -> float:
    """Return the CPU used between two moments in percent of the reserved CPU units."""
    cores = (after.cpu_seconds - before.cpu_seconds) / max(after.moment - before.moment, 1e-3)
    return PERCENT * max(0.0, cores) * CPU_UNITS / units


@dataclass(frozen=True)
class Measured:
    """A task, and the use of each of its containers a minute ago and now."""

    task: Record
    before: Sequence[Use]
    after: Sequence[Use]

    def cpu_percent(self, units: int) -> float:
        """Return the CPU that it used in percent of so many CPU units."""
        return sum(cpu_percent(a, b, units) for a, b in zip(self.before, self.after, strict=True))

    @property
    def memory(self) -> int:
        """The bytes of memory that it uses."""
        return sum(item.memory for item in self.after)

    @property
    def received(self) -> float:
        """The bytes that it received since the minute before."""
        return float(sum(max(0, b.received - a.received) for a, b in zip(self.before, self.after, strict=True)))

    @property
    def sent(self) -> float:
        """The bytes that it sent since the minute before."""
        return float(sum(max(0, b.sent - a.sent) for a, b in zip(self.before, self.after, strict=True)))


def _measured(task: Record, before: Mapping[str, Use], now: Mapping[str, Use]) -> Measured:
    after = {item["runtimeId"]: now[item["runtimeId"]] for item in task["containers"] if item.get("runtimeId") in now}
    return Measured(task, [before.get(name, _at_start(task, use)) for name, use in after.items()], list(after.values()))


def utilization(measured: Measured, need: Need) -> dict[str, list[float]]:
    """Return a task's metrics from the use of its containers; nothing for what it does not reserve."""
    if not measured.after:
        return {}
    values = {}
    if need.cpu:
        values["CPUUtilization"] = [measured.cpu_percent(need.cpu)]
    if need.memory:
        values["MemoryUtilization"] = [PERCENT * measured.memory / (need.memory * MEBIBYTE)]
    return values


def machine_use(machines: Iterable[fleet.Machine], measured: Sequence[Measured]) -> dict[str, dict[str, list[float]]]:
    """Return EC2's metrics by Auto Scaling group: what tasks use of each machine that has joined."""
    groups: dict[str, dict[str, list[float]]] = {}
    for machine in machines:
        if machine.ecs is None:
            continue
        on_it = [one for one in measured if one.task.get("containerInstanceArn") == machine.ecs["containerInstanceArn"]]
        units = _size(machine.ecs["registeredResources"], "CPU")
        values = groups.setdefault(machine.group, {"CPUUtilization": [], "NetworkIn": [], "NetworkOut": []})
        values["CPUUtilization"].append(sum(one.cpu_percent(units) for one in on_it))
        values["NetworkIn"].append(sum(one.received for one in on_it))
        values["NetworkOut"].append(sum(one.sent for one in on_it))
    return groups


def cluster_use(machines: Iterable[Record], measured: Sequence[Measured]) -> dict[str, list[float]]:
    """Return the share of a cluster's CPU and memory that its tasks use, and that they reserve; none without machines.

    `machines` are its container instances.
    """
    total, left = {"CPU": 0, "MEMORY": 0}, {"CPU": 0, "MEMORY": 0}
    for machine in machines:
        for name in total:
            total[name] += _size(machine["registeredResources"], name)
            left[name] += _size(machine["remainingResources"], name)
    values = {}
    if total["CPU"]:
        values["CPUReservation"] = [PERCENT * (total["CPU"] - left["CPU"]) / total["CPU"]]
        values["CPUUtilization"] = [sum(one.cpu_percent(total["CPU"]) for one in measured)]
    if total["MEMORY"]:
        values["MemoryReservation"] = [PERCENT * (total["MEMORY"] - left["MEMORY"]) / total["MEMORY"]]
        used = sum(one.memory for one in measured)
        values["MemoryUtilization"] = [PERCENT * used / (total["MEMORY"] * MEBIBYTE)]
    return values


def group_size(group: Record) -> dict[str, list[float]]:
    """Return what an Auto Scaling group says of its size each minute.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
    """
    states = [instance["LifecycleState"] for instance in group["Instances"]]
    counts = {
        "GroupDesiredCapacity": group["DesiredCapacity"],
        "GroupInServiceInstances": states.count("InService"),
        "GroupMaxSize": group["MaxSize"],
        "GroupMinSize": group["MinSize"],
        "GroupPendingInstances": sum(state.startswith("Pending") for state in states),
        "GroupTerminatingInstances": sum(state.startswith("Terminating") for state in states),
        "GroupTotalInstances": len(states),
    }
    return {name: [float(count)] for name, count in counts.items()}


def _size(resources: Iterable[Record], name: str) -> int:
    return sum(item.get("integerValue", 0) for item in resources if item["name"] == name)


class Metrics(controllers.Controller):
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
        for region in controllers.regions():
            measured: list[Measured] = []
            for cluster in fleet.clusters(aws.client("ecs", region)):
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
        ecs, cloudwatch = aws.client("ecs", region), aws.client("cloudwatch", region)
        tasks = [task for task in fleet.tasks(ecs, cluster) if task["lastStatus"] == "RUNNING"]
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
        instances = list(fleet.container_instances(ecs, [cluster]).values())
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
    cloudwatch = aws.client("cloudwatch", region)
    for group in aws.pages(aws.client("autoscaling", region), "describe_auto_scaling_groups", "AutoScalingGroups"):
        dimensions = {"AutoScalingGroupName": group["AutoScalingGroupName"]}
        metrics_store.publish(cloudwatch, "AWS/AutoScaling", group_size(group), dimensions, minute)
    warm = [machine for machine in fleet.read_machines(region) if fleet.is_warm(machine, minute)]
    for name, values in machine_use(warm, measured).items():
        metrics_store.publish(cloudwatch, "AWS/EC2", values, {"AutoScalingGroupName": name}, minute)


def _use(engine: DockerClient, container: str) -> Use | None:
    """Return the use of a container; None when it is gone, or while the engine does not answer."""
    try:
        stats = engine.api.stats(container, stream=False, one_shot=True)
    except engine_watch.ERRORS:
        return None
    return use_of(stats, time.time())


def _definition(ecs: aws.Client, arn: str) -> Need:
    return need_of(ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"])


def _at_start(task: Record, use: Use) -> Use:
    """Return what a container had used when its task started: nothing."""
    started = task["startedAt"].timestamp() if "startedAt" in task else use.moment
    return Use(min(started, use.moment), 0.0, 0)
