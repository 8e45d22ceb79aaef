"""A new launch template version rolls the machines of a group, as the template's AutoScalingRollingUpdate says.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

import time
from collections.abc import Mapping, Sequence

from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.rolling_update import SIZE_TAG, Member, is_current, next_step
from spotfleet.local.api import clients
from spotfleet.local.api.rolling_policy import policy_of
from spotfleet.local.backchannel import resource_signals
from spotfleet.local.host import clock


def signal(region: str, group: str, machines: Sequence[Machine]) -> None:
    """Signal CloudFormation for the machines of a group whose user data does so: here once the ECS agent has joined.

    On AWS cfn-signal says how what stands before it in the user data ended, and most wait for the agent there.
    """
    for machine in machines:
        if machine.group != group or not machine.signals or machine.ecs is None:
            continue
        if resource_signals.is_awaited(group, machine.id):
            stack, resource = machine.signals
            clients.client("cloudformation", region).signal_resource(
                StackName=stack, LogicalResourceId=resource, UniqueId=machine.id, Status="SUCCESS"
            )


def step(region: str, group: Record, launched: Mapping[str, float]) -> None:
    """Take the roll of a group one step further; `launched` tells when each of its instances was launched."""
    now, name = time.time(), group["AutoScalingGroupName"]
    signals = resource_signals.of(name)
    members = [
        _member(item, group, clock.aws_seconds(now - launched[item["InstanceId"]]), signals)
        for item in group["Instances"]
        if not item["LifecycleState"].startswith("Terminating") and item["InstanceId"] in launched
    ]
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


def _member(instance: Record, group: Record, age: float, signals: Mapping[str, bool]) -> Member:
    """Return a machine, so many of AWS's seconds after its launch; one that a hook holds is not in service yet."""
    in_service = age if instance["LifecycleState"] == "InService" else 0
    return Member(
        instance["InstanceId"], in_service, is_current(instance, group), signals.get(instance["InstanceId"]), age
    )


def _tag(group: str, size: int) -> Record:
    """Return the tag that keeps a group's size while it is rolled, as its API takes it."""
    place = {"ResourceId": group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return {**place, "Key": SIZE_TAG, "Value": str(size)}
