"""A new launch template version rolls the machines of a group, as the template's AutoScalingRollingUpdate says.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

import time
from collections.abc import Container, Mapping

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.rolling_update import SIZE_TAG, Member, is_current, next_step
from spotfleet.local.api import clients
from spotfleet.local.api.rolling_policy import policy_of
from spotfleet.local.host import clock


def step(region: str, group: Record, launched: Mapping[str, float], joined: Container[str]) -> None:
    """Take the roll of a group one step further.

    `launched` tells when each of its instances was launched, `joined` which ones are in a cluster.
    """
    now = time.time()
    members = [
        Member(
            item["InstanceId"],
            # One that a lifecycle hook holds is not in service yet.
            clock.aws_seconds(now - launched[item["InstanceId"]]) if item["LifecycleState"] == "InService" else 0,
            is_current(item, group),
            item["InstanceId"] in joined,
        )
        for item in group["Instances"]
        if not item["LifecycleState"].startswith("Terminating") and item["InstanceId"] in launched
    ]
    name = group["AutoScalingGroupName"]
    autoscaling = clients.client("autoscaling", region)
    before = next((int(tag["Value"]) for tag in group.get("Tags", []) if tag["Key"] == SIZE_TAG), None)
    if all(member.current for member in members):
        if before is not None:
            autoscaling.delete_tags(Tags=[_tag(name, before)])
        return
    policy = policy_of(clients.client("cloudformation", region), name)
    if policy is None:
        return
    if before is None:
        before = int(group["DesiredCapacity"])
        autoscaling.create_or_update_tags(Tags=[_tag(name, before)])
    todo = next_step(members, policy, group["DesiredCapacity"], group["MaxSize"], before)
    if todo.capacity is not None:
        autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=todo.capacity)
    for instance in todo.end:
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=True)
    for instance in todo.replace:
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)


def _tag(group: str, size: int) -> Record:
    """Return the tag that keeps a group's size while it is rolled, as its API takes it."""
    place = {"ResourceId": group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return {**place, "Key": SIZE_TAG, "Value": str(size)}
