"""ECS's service scheduler: starts and stops the tasks of services, in the place of MiniStack's.

What it does about what it sees is in behaviour/rollout.py. It sees late: that a task is healthy, fails its checks or is
gone it notices after the delay SCHEDULER; what it does itself it knows at once.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from ministack.core.concurrency import spawn_background
from ministack.core.responses import request_scope
from ministack.services import ecs

from spotfleet.behaviour import placement, rollout, scale_in, start_throttle, zone_rebalancing
from spotfleet.behaviour.delays import SCHEDULER
from spotfleet.behaviour.rollout import State
from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator import ecs_health, ecs_rollouts, event_bridge
from spotfleet.local.emulator.ecs_placement import (
    find_machine,
    machine,
    machines_for,
    provisioning,
    run_in_zone,
    zone_of,
)
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, container_instances
from spotfleet.local.emulator.service_events import tell
from spotfleet.local.emulator.targets import groups_of
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.ecs")

# In real seconds.
POLL_SECONDS = 0.2

# Of AWS's: a task without load balancer and health check counts as healthy so long after it runs (rule E3).
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-service-deploymentconfiguration.html
HEALTHY_AFTER_SECONDS = 40
# A service that goes on steady says so again.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
STEADY_AGAIN_SECONDS = 6 * 3600

GONE = "gone"
# What the scheduler acts on, and sees late.
NOTICED_LATE = (State.HEALTHY, State.FAILING, GONE)

_scheduling = threading.RLock()
# How often tasks of services have been started, while `_scheduling` was held.
_starts = 0


class _Look:
    """The tasks of a region by their services, found at once: each service would look through those of all others."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[Record]] = {}
        # Nothing is started meanwhile that would be missed.
        with _scheduling:
            self.starts = _starts
            for task in list(ecs._tasks.values()):
                self._found.setdefault((task["clusterArn"], task.get("group", "")), []).append(task)

    def tasks_of(self, service: Record) -> list[Record]:
        """Return the tasks of a service that are not known to be gone."""
        found = self._found.get((service["clusterArn"], f"service:{service['serviceName']}"), [])
        return [task for task in found if task.get("_seen") != GONE]


def start() -> None:
    """Look after all services until the process ends."""
    spawn_background(_look_for_ever, thread_name="ecs-scheduler")


def _look_for_ever() -> None:
    failures: dict[str, str] = {}
    while True:
        looks: dict[tuple[str, str], _Look] = {}
        for (account, region, key), _service in list(ecs._services.all_items()):
            try:
                with request_scope(account, region):
                    looks[account, region] = look = looks.get((account, region)) or _Look()
                    schedule(key.partition("/")[0], key, look)
                failures.pop(key, None)
            except Exception as error:
                # One service's trouble must stop no other one; what lasts is told once.
                if failures.get(key) != repr(error):
                    failures[key] = repr(error)
                    logger.exception("The service %s could not be looked after, and is tried again.", key)
        time.sleep(POLL_SECONDS)


@replaces(ecs, "_reconcile_service_tasks")
def schedule(cluster: str, key: str, look: _Look | None = None) -> None:
    """Start and stop what a service's state calls for now, by a look at all tasks that counts until one is started."""
    service = ecs._services.get(key)
    if not service or service["status"] != "ACTIVE":
        return
    with _scheduling:
        look = look if look and look.starts == _starts else _Look()
        tasks = [task for task in look.tasks_of(service) if _notices(service, task)]
        ecs_rollouts.follow(cluster, service, done=rollout.is_done(_wanted(service), _seen(service, tasks)))
        _count_kept(service, tasks)
        wanted, seen = _wanted(service), _seen(service, tasks)
        step = rollout.next_step(wanted, seen)
        if step.stop:
            seen = _in_order(service, tasks, seen)
            step = rollout.next_step(wanted, seen)
        _keep(service, rollout.kept_after(wanted.kept, seen, step))
        for task in tasks:
            if task["taskArn"] in step.stop:
                _stop(cluster, service, task)
        for deployment in service["deployments"]:
            if count := step.start.get(deployment["id"], 0):
                _start(cluster, service, deployment, count, tasks)
        _tell(service, wanted, seen, step)
        if rollout.is_done(wanted, seen) and not step.stop:
            _even_out(cluster, service, tasks)
    if step.start or step.stop:
        ecs._refresh_service_state(cluster, f"service:{service['serviceName']}")
        ecs._recount_cluster(cluster)


@replaces(ecs, "_schedule_service_deployment_completion")
def complete_nothing(*_arguments: object, **_named: object) -> None:
    """Leave deployments to the scheduler: MiniStack completes them as soon as their tasks run."""


def _state(service: Record, task: Record) -> str:
    """Return what is true of a task."""
    if task["lastStatus"] == "STOPPED":
        return GONE
    if task["desiredStatus"] == "STOPPED" or task.get("_is_told_to_stop"):
        return State.STOPPING
    if task["lastStatus"] != "RUNNING":
        return State.STARTING
    running_since = task.setdefault("_running_since", time.time())
    if ecs_health.has_failed(service, task, running_since):
        return State.FAILING
    if service.get("loadBalancers"):
        states = [target_health.health(*item).state for item in groups_of(task)]
        healthy = bool(states) and all(state in ("healthy", "unused") for state in states)
    else:
        healthy = ecs_health.is_checked(task) or time.time() >= running_since + clock.seconds(HEALTHY_AFTER_SECONDS)
    healthy = healthy and ecs_health.passes(task)
    return State.HEALTHY if healthy else State.RUNNING


def _notices(service: Record, task: Record) -> bool:
    """Let the scheduler notice what is true of a task, in its time; return whether it takes the task for one."""
    true = _state(service, task)
    if true == task.get("_seen"):
        task.pop("_turned", None)
        return true != GONE
    turned, since = task.get("_turned") or (None, 0.0)
    if turned != true:
        since = time.time()
        task["_turned"] = (true, since)
    late = clock.seconds(delays.of(SCHEDULER, f"{task['taskArn']} {true}")) if true in NOTICED_LATE else 0.0
    if time.time() < since + late:
        return True
    task["_seen"] = true
    _take_note(service, task, true)
    return true != GONE


def _take_note(service: Record, task: Record, seen: str) -> None:
    deployment = ecs._deployment_for_task(service, task)
    if deployment is None:
        return
    if seen in (State.RUNNING, State.HEALTHY):
        deployment["_start_failures"] = 0
    if seen == State.FAILING:
        ecs_health.count_failed(service, task)
    if seen == State.HEALTHY:
        task.pop("_zone", None)
        ecs_rollouts.count_healthy(service, deployment)
    if seen == GONE and task.get("stopCode") == "TaskFailedToStart":
        failures = deployment["_start_failures"] = deployment.get("_start_failures", 0) + 1
        deployment["_failed_to_start_at"] = time.time()
        if start_throttle.is_impaired(failures):
            impaired = "is unable to consistently start tasks successfully."
            tell(service, impaired, "SERVICE_TASK_START_IMPAIRED", kind=event_bridge.WARNING)


def _seen(service: Record, tasks: Sequence[Record]) -> list[rollout.Task]:
    """Return the tasks as the scheduler sees them."""
    return [_as_seen(service, task) for task in tasks]


def _as_seen(service: Record, task: Record) -> rollout.Task:
    deployment = ecs._deployment_for_task(service, task)
    return rollout.Task(
        id=task["taskArn"],
        deployment=deployment["id"] if deployment else "",
        state=State(task.get("_seen", State.STARTING)),
        draining=_is_draining(task),
        extra="_zone" in task,
    )


def _is_draining(task: Record) -> bool:
    record = container_instances.get(task.get("containerInstanceArn"))
    return record is not None and record["status"] != "ACTIVE"


def _in_order(service: Record, tasks: Sequence[Record], seen: Sequence[rollout.Task]) -> list[rollout.Task]:
    """Return the tasks in the order in which they would go on scale-in; those without a machine first."""
    placed = []
    for task in tasks:
        if record := container_instances.get(task.get("containerInstanceArn")):
            place = machine(record)
            placed.append(scale_in.Placed(task["taskArn"], place.id, place.zone, place.type, place.cpu, place.memory))
    order = scale_in.in_order(placed, service.get("placementStrategy") or placement.DEFAULT_STRATEGY)
    rank = {arn: number for number, arn in enumerate(order)}
    return sorted(seen, key=lambda task: rank.get(task.id, -1))


def _count_kept(service: Record, tasks: Sequence[Record]) -> None:
    """Remember of each superseded deployment how many healthy tasks it had; of one that failed none is kept."""
    for deployment in service["deployments"]:
        if deployment["status"] == "PRIMARY":
            deployment.pop("_kept", None)
        elif deployment["rolloutState"] == "FAILED":
            _keep(service, {deployment["id"]: 0})
        elif "_kept" not in deployment:
            mine = [task for task in tasks if ecs._deployment_for_task(service, task) is deployment]
            _keep(service, {deployment["id"]: sum(task.get("_seen") == State.HEALTHY for task in mine)})


def _keep(service: Record, kept: dict[str, int]) -> None:
    for deployment in service["deployments"]:
        if deployment["id"] in kept:
            deployment["_kept"] = deployment["desiredCount"] = kept[deployment["id"]]


def _wanted(service: Record) -> rollout.Service:
    configuration = service.get("deploymentConfiguration") or {}
    primary = ecs._primary_deployment(service) or {}
    return rollout.Service(
        desired=int(service["desiredCount"]),
        primary=str(primary.get("id")),
        minimum_percent=int(configuration.get("minimumHealthyPercent", 100)),
        maximum_percent=int(configuration.get("maximumPercent", 200)),
        kept={item["id"]: item["_kept"] for item in service["deployments"] if "_kept" in item},
        failed=primary.get("rolloutState") == "FAILED",
    )


def _stop(cluster: str, service: Record, task: Record) -> None:
    """Stop a task, which may take as long as its containers do."""
    task |= {"_is_told_to_stop": True, "_seen": State.STOPPING, "stopCode": "ServiceSchedulerInitiated"}
    deployment = ecs._deployment_for_task(service, task) or {}
    reason = task.get("_failed_because") or f"Scaling activity initiated by (deployment {deployment.get('id')})"
    data = {"task": task["taskArn"], "cluster": cluster, "reason": reason}
    spawn_background(ecs._stop_task, data, thread_name=f"stop-{task['taskArn'][-8:]}")


def _start(cluster: str, service: Record, deployment: Record, count: int, tasks: Sequence[Record]) -> None:
    """Start tasks of a deployment, unless it has to wait after failures, or for its first task's image digests."""
    wait = clock.seconds(start_throttle.wait_seconds(deployment.get("_start_failures", 0)))
    if time.time() < deployment.get("_failed_to_start_at", 0.0) + wait:
        return
    definition = ecs._task_defs.get(ecs._resolve_td_key(deployment["taskDefinition"]))
    if definition is None:
        return
    if ecs._get_docker() and ecs._deployment_needs_first_task(deployment, definition, service):
        count = 0 if any(ecs._deployment_for_task(service, task) is deployment for task in tasks) else 1
    if count and not _asks_for_machines(service):
        count = 1 if _finds_room(service, deployment) else 0
    most = placement.MOST_PROVISIONING - provisioning(cluster)
    _tell_limit(service, exceeded=count > most)
    if min(count, most) > 0:
        ecs._run_task(_run_parameters(cluster, service, deployment, min(count, most)))


def _asks_for_machines(service: Record) -> bool:
    """Return whether a service's tasks wait for room: where managed scaling launches machines for them, or need none.

    Rules C11 and E20.
    """
    strategy = service.get("capacityProviderStrategy")
    if not strategy:
        return service.get("launchType") != "EC2"
    providers = [ecs._capacity_providers.get(item["capacityProvider"]) for item in strategy]
    # Those of Fargate are none of a group.
    groups = [provider.get("autoScalingGroupProvider") for provider in providers if provider]
    return len(groups) < len(strategy) or any(
        (group or {}).get("managedScaling", {}).get("status") == "ENABLED" for group in groups
    )


def _tell_limit(service: Record, *, exceeded: bool) -> None:
    """Tell once that no more tasks may wait for machines, until some of them may again (rule C10)."""
    if exceeded and not service.get("_over_limit"):
        tell(service, "was unable to place a task because the tasks provisioning capacity limit was exceeded.")
    service["_over_limit"] = exceeded


def _finds_room(service: Record, deployment: Record) -> bool:
    """Look for room: a task that finds none, and asks for none, is not even created, but tried again (rule E20)."""
    now = time.time()
    if now < service.get("_looks_for_room_at", 0.0):
        return False
    task = {"clusterArn": service["clusterArn"], "taskDefinitionArn": deployment["taskDefinition"]}
    if find_machine(task | {"startedBy": service["serviceName"]}, service):
        service.pop("_without_room_since", None)
        return True
    since = clock.aws_seconds(now - service.setdefault("_without_room_since", now))
    service["_looks_for_room_at"] = now + clock.seconds(start_throttle.placement_wait_seconds(since))
    return False


def _run_parameters(cluster: str, service: Record, deployment: Record, count: int) -> dict[str, Any]:
    """Return how tasks of a deployment are started, which is about to happen."""
    global _starts  # noqa: PLW0603  # of the one scheduler
    _starts += 1
    return {
        "cluster": cluster,
        "taskDefinition": deployment["taskDefinition"],
        "count": count,
        "group": f"service:{service['serviceName']}",
        "startedBy": service["serviceName"],
        "launchType": service.get("launchType"),
        "capacityProviderStrategy": service.get("capacityProviderStrategy"),
        "platformVersion": service.get("platformVersion", ""),
        "networkConfiguration": service.get("networkConfiguration", {}),
        "enableExecuteCommand": service.get("enableExecuteCommand", False),
        "_deploymentId": deployment["id"],
    }


def _even_out(cluster: str, service: Record, tasks: Sequence[Record]) -> None:
    """Start a task more in the zone with the fewest of a steady service; scale-in then ends one in the fullest.

    Without room there the service tells so, and tries again.
    """
    configuration = service.get("deploymentConfiguration") or {}
    strategies = service.get("placementStrategy") or []
    percent = int(configuration.get("maximumPercent", 200))
    deployment = ecs._primary_deployment(service)
    if not zone_rebalancing.is_on(service.get("availabilityZoneRebalancing"), strategies, percent):
        return
    steady = deployment["rolloutState"] == "COMPLETED" and len(service["deployments"]) == 1
    if not steady or not tasks or any(task.get("_seen") != State.HEALTHY for task in tasks):
        return
    counts = {zone_of(record): 0 for record in machines_for(tasks[0])}
    for task in tasks:
        place = zone_of(container_instances.get(task["containerInstanceArn"]) or {"attributes": []})
        counts[place] = counts.get(place, 0) + 1
    zone = zone_rebalancing.zone_to_fill(counts)
    if zone is None or service["desiredCount"] * percent // rollout.WHOLE <= len(tasks):
        return
    if find_machine(tasks[0], service, zone):
        run_in_zone(_run_parameters(cluster, service, deployment, 1), zone)


def _tell(service: Record, wanted: rollout.Service, seen: Sequence[rollout.Task], step: rollout.Step) -> None:
    """Tell what lasts once: that the service is steady, or that its bounds let it do nothing (rule E18)."""
    if step.stuck and not service.get("_stuck"):
        tell(
            service,
            "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
            "Update the minimumHealthyPercent or maximumPercent value and try again.",
        )
    service["_stuck"] = step.stuck
    if not rollout.is_done(wanted, seen):
        service.pop("_steady_since", None)
    elif time.time() >= service.get("_steady_since", 0.0) + clock.seconds(STEADY_AGAIN_SECONDS):
        service["_steady_since"] = time.time()
        tell(service, "has reached a steady state.", "SERVICE_STEADY_STATE")
