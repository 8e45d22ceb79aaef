"""How a machine leaves its Auto Scaling group: held while ECS drains it, then ended, then forgotten.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
"""

import time
from collections.abc import Callable

from ministack.core.concurrency import spawn_background
from ministack.core.responses import now_iso
from ministack.services import autoscaling, ec2, ecs

from spotfleet.behaviour.delays import MACHINE_ENDED
from spotfleet.behaviour.machine_life import held_on_leaving
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response, provider_of, tasks_on_instance
from spotfleet.local.host import clock, delays

HELD = "Terminating:Wait"
ENDING = "Terminating"

# Marks a group whose capacity provider went and left its lifecycle hook.
LEFT = "_left_by_its_provider"


def begin(group: Record, instance: Record) -> None:
    """Let a machine leave: it is held as long as managed draining's lifecycle hook holds it (rule C12)."""
    wait = held_on_leaving(
        drained=_is_drained_by_ecs(group),
        left=bool(group.get(LEFT)),
        busy=bool(tasks_on_instance(instance["InstanceId"])),
    )
    if wait and _is_running(instance):
        instance["LifecycleState"] = HELD
        spawn_background(_end_in_time, group, instance, clock.seconds(wait))
    else:
        end(group, instance)


def _end_in_time(group: Record, instance: Record, wait: float) -> None:
    time.sleep(wait)
    if instance in group["Instances"] and instance["LifecycleState"] == HELD:
        end(group, instance)


def end(group: Record, instance: Record) -> None:
    """End a machine; its group lets go of it when EC2 has shut it down (rule F9)."""
    wait = delays.of(MACHINE_ENDED, instance["InstanceId"]) if _is_running(instance) else 0
    instance["LifecycleState"] = ENDING
    ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": [instance["InstanceId"]]})
    if wait:
        spawn_background(_forget, group, instance, clock.seconds(wait))
    else:
        _forget(group, instance)


def _forget(group: Record, instance: Record, wait: float = 0) -> None:
    time.sleep(wait)
    if instance in group["Instances"]:
        group["Instances"].remove(instance)
    for activity in group.get("_activities", []):
        if activity["Description"] == terminating(instance):
            activity["EndTime"] = now_iso()


def terminating(instance: Record) -> str:
    """Return how the activity is described that takes an instance out of its group."""
    return f"Terminating EC2 instance: {instance['InstanceId']}"


def _is_running(instance: Record) -> bool:
    machine = ec2._instances.get(instance["InstanceId"], {})
    return bool(machine.get("State", {}).get("Name") == "running")


def _is_drained_by_ecs(group: Record) -> bool:
    provider = provider_of(group["AutoScalingGroupARN"])
    settings = provider["autoScalingGroupProvider"] if provider else {}
    return bool(provider) and settings.get("managedDraining", "ENABLED") == "ENABLED"


@extends(ecs._ACTION_MAP, "DeleteCapacityProvider")
def leaving_its_hook(original: Callable[[Record], Response], data: Record) -> Response:
    """Remember the groups whose lifecycle hook for managed draining stays when their capacity provider goes."""
    name = ecs._resolve_capacity_provider_name(data.get("capacityProvider", ""))
    provider = (ecs._capacity_providers.get(name) or {}).get("autoScalingGroupProvider", {})
    for group in autoscaling._asgs.values():
        if group["AutoScalingGroupARN"] == provider.get("autoScalingGroupArn"):
            group[LEFT] = _is_drained_by_ecs(group)
    return original(data)
