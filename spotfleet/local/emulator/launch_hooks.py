"""Lifecycle hooks on the launch of a group's machines: they hold a machine in Pending:Wait until it says so.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

from ministack.services import autoscaling

from spotfleet.local.emulator.records import Record

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
PENDING = "Pending:Wait"


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


def first_state(group: str) -> str:
    """Return the lifecycle state in which a machine of a group begins."""
    return PENDING if any(_of(group)) else "InService"


def is_of(group: str, hook: str) -> bool:
    """Tell whether a hook with this name holds the machines that the group launches."""
    return any(item["LifecycleHookName"] == hook for item in _of(group))


def _of(group: str) -> list[Record]:
    return [
        hook
        for hook in autoscaling._hooks.values()
        if hook["AutoScalingGroupName"] == group and hook["LifecycleTransition"] == LAUNCHING
    ]
