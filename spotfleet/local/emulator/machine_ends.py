"""A machine ends: at first nobody knows it, then its group, EC2, ECS and the load balancer do.

A machine that ends without its group's doing falls silent: its containers are gone, its ports answer nothing, and its
agent is disconnected. ECS goes on to count its tasks as running, and its targets stay registered until health checks
fail or the group finds out (rules E22 and L13).
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterContainerInstance.html
"""

from collections.abc import Callable
from contextlib import suppress

from ministack.core.concurrency import spawn_background
from ministack.services import ec2, ecs

from spotfleet.local.emulator.ecs_machines import tell_machines
from spotfleet.local.emulator.group_departures import ENDING
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import (
    Record,
    Response,
    container_instances,
    group_of,
    reconcile_services_of,
    tasks_on_instance,
)
from spotfleet.local.host import running_containers, silent_ports


@extends(ec2._ACTION_MAP, "TerminateInstances")
def ending_in_silence(original: Callable[[Record], Response], parameters: Record) -> Response:
    """End machines; a member of a group is missed only when its group ends it as well."""
    answer = original(parameters)
    for instance_id in ec2._parse_member_list(parameters, "InstanceId"):
        tasks = tasks_on_instance(instance_id)
        found = group_of(instance_id)
        missed = found is None or found[1]["LifecycleState"] == ENDING
        for record in container_instances.values():
            if record["ec2InstanceId"] == instance_id:
                record["agentConnected"] = False
                record["status"] = "INACTIVE" if missed else record["status"]
                tell_machines(record["_cluster"])
        if tasks and missed:
            spawn_background(_stop, tasks, f"Host EC2 (instance {instance_id}) terminated.")
        elif tasks:
            spawn_background(silence, tasks)
    return answer


def silence(tasks: list[Record]) -> None:
    """Kill the containers of tasks that ECS goes on to call running, and let their ports answer nothing."""
    _kill_containers(tasks)
    for port in _ports(tasks):
        if not silent_ports.hold(port):
            ecs.logger.warning("ECS: port %s of a lost machine is not silent: something else has taken it", port)


def _stop(tasks: list[Record], reason: str) -> None:
    """Let ECS know that tasks have ended with their machine."""
    for task in tasks:
        ecs._mark_task_stopped(task["taskArn"], task, reason, "TerminationNotice")
    _kill_containers(tasks)
    for task in tasks:
        ecs._cleanup_task_resources(task, ecs._get_docker())
    reconcile_services_of(tasks)
    for port in _ports(tasks):
        silent_ports.release(port)


def _kill_containers(tasks: list[Record]) -> None:
    engine = ecs._get_docker()
    for container in [name for task in tasks for name in task.get("_docker_ids") or []] if engine else []:
        with suppress(*running_containers.ERRORS):
            engine.containers.get(container).kill()


def _ports(tasks: list[Record]) -> list[int]:
    return [
        binding["hostPort"]
        for task in tasks
        for container in task["containers"]
        for binding in container.get("networkBindings", [])
    ]
