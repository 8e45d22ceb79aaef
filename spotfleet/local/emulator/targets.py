"""The tasks of services as targets of load balancers."""

import functools
import time
from collections.abc import Callable

from ministack.core.concurrency import resource_lock
from ministack.services import (
    alb,
    ecs,
)

from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator import elbv2, registrations
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, Response, has_ended, machine_of
from spotfleet.local.emulator.registrations import deregistered, registered
from spotfleet.local.host import clock


def _registrations(group: str) -> list[Record]:
    return registrations.kept(alb._targets.get(group, []), time.time())


def deregistration_delay(group: str) -> float:
    """Return how long requests in flight get when a target leaves a group, in real seconds."""
    attributes = {item["Key"]: item["Value"] for item in alb._tg_attrs.get(group, [])}
    return clock.seconds(float(attributes.get("deregistration_delay.timeout_seconds", 300)))


@replaces(ecs, "_sync_service_targets")
def register_tasks(_cluster_name: str, service: Record) -> None:
    """Register the running tasks of a service, and let those leave that it had registered and that run no more."""
    for balancer in service.get("loadBalancers") or []:
        group = balancer.get("targetGroupArn")
        if group not in alb._tgs:
            continue
        with resource_lock("elbv2-targets", group):
            wanted = _tasks_as_targets(service, balancer) if service.get("status") == "ACTIVE" else []
            published = service.setdefault("_published_targets", {})
            gone = {target_health.Target(*item) for item in published.get(group, [])} - set(wanted)
            leaves_at = time.time() + deregistration_delay(group)
            present = registrations.deregistered(_registrations(group), gone, leaves_at)
            alb._targets[group] = registrations.registered(present, wanted)
            published[group] = [list(target) for target in wanted]


def _tasks_as_targets(service: Record, balancer: Record) -> list[target_health.Target]:
    running = [
        task
        for task in list(ecs._tasks.values())
        if task.get("startedBy") == service["serviceName"]
        and task.get("clusterArn") == service["clusterArn"]
        and task.get("lastStatus") == task.get("desiredStatus") == "RUNNING"
    ]
    return [target for task in running if (target := _target(task, balancer))]


def _target(task: Record, balancer: Record) -> target_health.Target | None:
    """Return a task's machine, and the machine's port that leads to the balanced container."""
    for container in task["containers"]:
        for binding in container.get("networkBindings", []):
            if container["name"] == balancer.get("containerName") and binding["containerPort"] == balancer.get(
                "containerPort"
            ):
                return target_health.Target(machine_of(task), binding["hostPort"])
    return None


def groups_of(task: Record) -> list[tuple[str, target_health.Target]]:
    """Return the target groups that a service's task belongs to, and the target that it is in them."""
    cluster = task["clusterArn"].rpartition("/")[2]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}")
    balancers = (service or {}).get("loadBalancers") or []
    found = [(balancer["targetGroupArn"], _target(task, balancer)) for balancer in balancers]
    return [(group, target) for group, target in found if target]


@replaces(alb._ACTION_MAP, "RegisterTargets")
def register_targets(parameters: Record) -> Response:
    """Register targets; MiniStack's own knows one port of a machine only."""
    return elbv2.checked(functools.partial(_changing, registered), parameters, operation="RegisterTargets")


@replaces(alb._ACTION_MAP, "DeregisterTargets")
def deregister_targets(parameters: Record) -> Response:
    """Let targets leave after their group's delay."""

    def leave(present: list[Record], gone: list[target_health.Target]) -> list[Record]:
        delay = deregistration_delay(alb._p(parameters, "TargetGroupArn"))
        return deregistered(present, gone, time.time() + delay)

    return elbv2.checked(functools.partial(_changing, leave), parameters, operation="DeregisterTargets")


def _changing(
    change: Callable[[list[Record], list[target_health.Target]], list[Record]], parameters: Record
) -> Response:
    group = alb._p(parameters, "TargetGroupArn")
    if group not in alb._tgs:
        missing: Response = alb._error("TargetGroupNotFound", f"Target group '{group}' not found.")
        return missing
    with resource_lock("elbv2-targets", group):
        alb._targets[group] = change(_registrations(group), _named_targets(group, parameters))
    done: Response = alb._empty(alb._p(parameters, "Action"))
    return done


def _named_targets(group: str, parameters: Record) -> list[target_health.Target]:
    port = alb._tgs[group].get("Port", 80)
    return [
        target_health.Target(item["Id"], int(item.get("Port", port))) for item in alb._parse_targets_param(parameters)
    ]


@replaces(alb._ACTION_MAP, "DescribeTargetHealth")
def describe_target_health(parameters: Record) -> Response:
    """Answer what the balancer measured; MiniStack calls every target healthy."""
    group = alb._p(parameters, "TargetGroupArn")
    if group not in alb._tgs:
        missing: Response = alb._error("TargetGroupNotFound", f"Target group '{group}' not found.")
        return missing
    named = _named_targets(group, parameters)
    leaving = {registrations.key(item): registrations.LEAVES_AT in item for item in _registrations(group)}
    members = ""
    for target, leaves in leaving.items():
        if named and target not in named:
            continue
        health = target_health.DRAINING if leaves else target_health.health(group, target)
        if health.state == "draining" and not leaves:
            health = target_health.INITIAL  # it was leaving when last seen and has been registered again
        if has_ended(target.id):
            health = target_health.ENDED
        more = f"<Reason>{health.reason}</Reason>" if health.reason else ""
        more += f"<Description>{alb._esc(health.description)}</Description>" if health.description else ""
        members += f"<member><Target><Id>{alb._esc(target.id)}</Id><Port>{target.port}</Port></Target>"
        members += f"<TargetHealth><State>{health.state}</State>{more}</TargetHealth></member>"
    body = f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
    answer: Response = alb._xml(200, "DescribeTargetHealth", body)
    return answer
