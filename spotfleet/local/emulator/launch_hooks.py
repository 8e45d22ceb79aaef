"""How a group's new machine enters service: once it runs, or when it says so to the lifecycle hook that holds it.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

import time

from ministack.core.concurrency import spawn_background
from ministack.core.responses import now_iso
from ministack.services import autoscaling

from spotfleet.behaviour.delays import IN_SERVICE
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock, delays

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
PENDING = "Pending"
HELD = "Pending:Wait"
IN_SERVICE_STATE = "InService"
ABANDONED = "Instance failed to complete user's Lifecycle Action: Lifecycle Action was abandoned"


def keep(group: str, before: Record, after: Record) -> None:
    """Give a group the hooks that its template names in it; those that the template named before go."""
    wanted = after.get("LifecycleHookSpecificationList") or []
    names = {hook["LifecycleHookName"] for hook in wanted}
    for hook in before.get("LifecycleHookSpecificationList") or []:
        if hook["LifecycleHookName"] not in names:
            autoscaling._hooks.pop(f"{group}/{hook['LifecycleHookName']}", None)
    for hook in wanted:
        name = hook["LifecycleHookName"]
        autoscaling._hooks[f"{group}/{name}"] = autoscaling._hook_record(group, name, hook)


def begin(group: Record, instance: Record) -> None:
    """Begin the launch of a machine: a lifecycle hook holds it; without one it is in service once it runs (rule G2)."""
    if _names(group):
        instance["LifecycleState"] = HELD
        tell(group, instance, "MidLifecycleAction")
    elif wait := delays.of(IN_SERVICE, instance["InstanceId"]):
        instance["LifecycleState"] = PENDING
        tell(group, instance, "InProgress")
        spawn_background(_enter_service, group, instance, clock.seconds(wait))
    else:
        instance["LifecycleState"] = IN_SERVICE_STATE


def _enter_service(group: Record, instance: Record, wait: float) -> None:
    time.sleep(wait)
    # It may have left the group meanwhile.
    if instance["LifecycleState"] == PENDING:
        end(group, instance, "CONTINUE")


def is_of(group: Record, hook: str) -> bool:
    """Return whether a hook with this name holds the machines that the group launches."""
    return hook in _names(group)


def end(group: Record, instance: Record, result: str) -> bool:
    """Put a new machine into service, or say that its launch has failed; tell which."""
    if result == "CONTINUE":
        instance["LifecycleState"] = IN_SERVICE_STATE
        tell(group, instance, "Successful")
        return True
    tell(group, instance, "Cancelled", ABANDONED)
    return False


def launching(instance: Record) -> str:
    """Return how the activity is described that launches an instance."""
    return f"Launching a new EC2 instance: {instance['InstanceId']}"


def tell(group: Record, instance: Record, status: str, message: str = "") -> None:
    """Say in a group's activities how far the launch of an instance is; it has an end when nothing more comes of it."""
    for activity in group["_activities"]:
        if activity["Description"] == launching(instance):
            activity.pop("EndTime", None)
            activity |= {"StatusCode": status, **({"StatusMessage": message} if message else {})}
            if status in {"Successful", "Cancelled"}:
                activity["EndTime"] = now_iso()


def _names(group: Record) -> set[str]:
    return {
        hook["LifecycleHookName"]
        for hook in autoscaling._hooks.values()
        if hook["AutoScalingGroupName"] == group["AutoScalingGroupName"] and hook["LifecycleTransition"] == LAUNCHING
    }
