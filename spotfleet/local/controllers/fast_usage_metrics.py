"""What the tasks use of services that publish it every 20 seconds of AWS (rule T12).

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/target-tracking-faster-auto-scaling.html
"""

import time
from collections.abc import Mapping, Set

from spotfleet.behaviour.placement import need_of
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.usage import FAST_SECONDS, Use, utilization
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.ecs import read_clusters, read_fast_metrics, read_tasks_of_service
from spotfleet.local.controllers.container_use import Reader, measured
from spotfleet.local.controllers.usage_metrics import NAMESPACE

# Region, cluster and service.
Place = tuple[str, str, str]


class FastMetrics(controller.Controller):
    """Publishes every 20 seconds what services use that say so; while none does, it asks once a minute."""

    name = "fast-metrics"
    interval = 0.25

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._slot = metrics_store.minute(time.time(), FAST_SECONDS)
        self._minute: int | None = None
        self._services: dict[Place, Set[str]] = {}
        # By container: what it had used at the end of the 20 seconds before.
        self._before: dict[str, Use] = {}

    @metrics_store.together()
    def step(self) -> None:
        """Publish the 20 seconds that have just ended, and each minute look for the services that want it."""
        now = time.time()
        slot, minute = metrics_store.minute(now, FAST_SECONDS), metrics_store.minute(now)
        if minute != self._minute:
            self._minute = minute
            self._services = _read_services()
        if slot == self._slot:
            return
        ended, self._slot = self._slot, slot
        seen: dict[str, Use] = {}
        for place, names in self._services.items():
            seen |= self._publish(place, names, ended)
        self._before = seen

    def close(self) -> None:
        """Close the connection to Docker."""
        self._reader.close()

    def _publish(self, place: Place, names: Set[str], slot: int) -> dict[str, Use]:
        region, cluster, service = place
        ecs, cloudwatch = clients.client("ecs", region), clients.client("cloudwatch", region)
        tasks = [task for task in read_tasks_of_service(ecs, cluster, service) if task["lastStatus"] == "RUNNING"]
        now = self._reader.of_tasks(tasks)
        values: dict[str, list[float]] = {}
        for task in tasks:
            if not _is_known(task, self._before, metrics_store.end(slot - 1, FAST_SECONDS)):
                continue
            need = need_of(ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])["taskDefinition"])
            for name, samples in utilization(measured(task, self._before, now), need).items():
                if name in names:
                    values.setdefault(name, []).extend(samples)
        dimensions = {"ClusterName": cluster, "ServiceName": service}
        metrics_store.publish(cloudwatch, NAMESPACE, values, dimensions, slot, unit=FAST_SECONDS)
        return now


def _read_services() -> dict[Place, Set[str]]:
    """Return the services that publish metrics every 20 seconds, with the names of these."""
    return {
        (region, cluster["clusterName"], service): names
        for region in embedded_aws.regions()
        for ecs in [clients.client("ecs", region)]
        for cluster in read_clusters(ecs)
        for service, names in read_fast_metrics(ecs, cluster["clusterName"]).items()
    }


def _is_known(task: Record, before: Mapping[str, Use], began: float) -> bool:
    """Return whether it is known what a task had used when the 20 seconds began: nothing, if it started since."""
    known = all(item.get("runtimeId") in before for item in task["containers"])
    return known or ("startedAt" in task and task["startedAt"].timestamp() >= began)
