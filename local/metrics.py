"""What the tasks use, published each AWS minute as ECS publishes it: CPU and memory in percent of the reservation.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
"""

import time
from collections.abc import Iterable, Mapping
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
    """What a container has used: CPU seconds since its start, bytes of memory now; `moment` in seconds since 1970."""

    moment: float
    cpu_seconds: float
    memory: int


def use_of(stats: Record, moment: float) -> Use:
    """Return the use in an answer of Docker's statistics; memory without the page cache, as ECS counts it."""
    memory = stats.get("memory_stats", {})
    cache = memory.get("stats", {}).get("inactive_file", memory.get("stats", {}).get("total_inactive_file", 0))
    cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / NANOSECONDS
    return Use(moment, cpu, max(0, memory.get("usage", 0) - cache))


def cpu_percent(before: Use, after: Use, units: int) -> float:
    """Return the CPU used between two moments in percent of the reserved CPU units."""
    cores = (after.cpu_seconds - before.cpu_seconds) / max(after.moment - before.moment, 1e-3)
    return PERCENT * max(0.0, cores) * CPU_UNITS / units


def utilization(before: Iterable[Use], after: Iterable[Use], need: Need) -> dict[str, list[float]]:
    """Return a task's metrics from the use of its containers; nothing for what it does not reserve."""
    first, last = list(before), list(after)
    if not last:
        return {}
    values = {}
    if need.cpu:
        values["CPUUtilization"] = [sum(cpu_percent(a, b, need.cpu) for a, b in zip(first, last, strict=True))]
    if need.memory:
        values["MemoryUtilization"] = [PERCENT * sum(item.memory for item in last) / (need.memory * MEBIBYTE)]
    return values


def reservation(machines: Iterable[Record]) -> dict[str, list[float]]:
    """Return the share of a cluster's CPU and memory that its tasks reserve; nothing without machines."""
    totals = {"CPU": 0, "MEMORY": 0}
    left = dict(totals)
    for machine in machines:
        for name in totals:
            totals[name] += _size(machine["registeredResources"], name)
            left[name] += _size(machine["remainingResources"], name)
    names = {"CPU": "CPUReservation", "MEMORY": "MemoryReservation"}
    return {names[name]: [PERCENT * (total - left[name]) / total] for name, total in totals.items() if total}


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
            ecs = aws.client("ecs", region)
            for cluster in fleet.clusters(ecs):
                seen |= self._publish(region, cluster["clusterName"], ended)
        self._before = seen

    def close(self) -> None:
        """Close the connection to Docker."""
        if self._engine:
            self._engine.close()

    def _publish(self, region: str, cluster: str, minute: int) -> dict[str, Use]:
        ecs, cloudwatch = aws.client("ecs", region), aws.client("cloudwatch", region)
        tasks = [task for task in fleet.tasks(ecs, cluster) if task["lastStatus"] == "RUNNING"]
        now = self._read({item["runtimeId"] for task in tasks for item in task["containers"] if "runtimeId" in item})
        definitions = {arn: _definition(ecs, arn) for arn in {task["taskDefinitionArn"] for task in tasks}}
        for service in sorted({task.get("startedBy", "") for task in tasks} - {""}):
            values: dict[str, list[float]] = {}
            for task in tasks:
                if task.get("startedBy") != service:
                    continue
                after = {
                    item["runtimeId"]: now[item["runtimeId"]]
                    for item in task["containers"]
                    if item.get("runtimeId") in now
                }
                before = [self._before.get(name, _at_start(task, use)) for name, use in after.items()]
                for name, samples in utilization(
                    before, after.values(), definitions[task["taskDefinitionArn"]]
                ).items():
                    values.setdefault(name, []).extend(samples)
            dimensions = {"ClusterName": cluster, "ServiceName": service}
            metrics_store.publish(cloudwatch, NAMESPACE, values, dimensions, minute)
        machines = fleet.container_instances(ecs, [cluster]).values()
        metrics_store.publish(cloudwatch, NAMESPACE, reservation(machines), {"ClusterName": cluster}, minute)
        return now

    def _read(self, containers: set[str]) -> dict[str, Use]:
        """Return the use of each container that Docker tells it of."""
        if not containers:
            return {}
        engine = self._engine = self._engine or docker.from_env()
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(containers, pool.map(lambda name: _use(engine, name), containers), strict=True))
        return {name: use for name, use in found.items() if use}


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
