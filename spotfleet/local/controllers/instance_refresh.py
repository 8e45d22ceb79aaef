"""Instance refreshes replace the machines of a group, and lifecycle hooks let the new ones into service."""

import logging
import time
from collections.abc import Sequence

from spotfleet.behaviour.instance_refresh import REFRESH_TAG, SUCCEEDED, next_step, outcome
from spotfleet.behaviour.machine_life import Machine, launch_result
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients
from spotfleet.local.api.instance_refreshes import read_active, read_entries, read_members
from spotfleet.local.backchannel import instance_refreshes
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.instance_refresh")

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"


def end_launches(region: str, group: str, machines: Sequence[Machine]) -> None:
    """Let machines into service whose ECS agent has joined, as their user data does, and give up the others in time."""
    pending = [machine for machine in machines if machine.pending and machine.group == group]
    if not pending:
        return
    autoscaling = clients.client("autoscaling", region)
    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]
    for machine in pending:
        age = clock.aws_seconds(time.time() - machine.launched)
        for hook in hooks:
            result = launch_result(machine, hook, age) if hook["LifecycleTransition"] == LAUNCHING else None
            if result is not None:
                logger.info("The machine %s ends %s: %s.", machine.id, hook["LifecycleHookName"], result)
                autoscaling.complete_lifecycle_action(
                    AutoScalingGroupName=group,
                    InstanceId=machine.id,
                    LifecycleHookName=hook["LifecycleHookName"],
                    LifecycleActionResult=result,
                )
                break


def step(region: str, group: Record) -> None:
    """Take the refresh of a group, where there is one, one step further."""
    autoscaling = clients.client("autoscaling", region)
    name = group["AutoScalingGroupName"]
    refresh = read_active(autoscaling, name)
    if refresh is None:
        return
    now = time.time()
    ec2 = clients.client("ec2", region)
    entered = read_entries(autoscaling, name)
    # Read after the refresh: it marks machines as it begins.
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    members = read_members(ec2, group["Instances"], entered, now)
    new = {item.id for item in members if not item.outdated}
    last = max([refresh.began, *(moment for instance, moment in entered.items() if instance in new)])
    quiet = clock.aws_seconds(now - last)
    ended = outcome(members, refresh.preferences, _ringing(region, refresh.preferences.alarms), quiet)
    if ended:
        logger.info("The refresh of %s is over: %s %s", name, ended.status, ended.reason)
        instance_refreshes.end(refresh.id, ended)
        return
    todo = next_step(members, refresh.preferences, group["DesiredCapacity"])
    for instance in todo.end:
        logger.info("The refresh of %s ends %s.", name, instance)
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    if todo.succeed:
        logger.info("The refresh of %s launches in the place of %s.", name, ", ".join(todo.succeed))
        ec2.create_tags(Resources=list(todo.succeed), Tags=[{"Key": REFRESH_TAG, "Value": SUCCEEDED}])
        # The group no longer counts them, and launches what is missing.
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name)


def _ringing(region: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    found = clients.client("cloudwatch", region).describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    return [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]
