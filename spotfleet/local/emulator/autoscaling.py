"""EC2 Auto Scaling: groups run machines, on demand and Spot, in several zones."""

import functools
from collections.abc import Callable
from http import HTTPStatus
from uuid import uuid4

from ministack.core.responses import (
    now_iso,
)
from ministack.services import (
    autoscaling,
    ec2,
)
from ministack.services.cloudformation import provisioners

from spotfleet.behaviour import instance_refresh, machine_life
from spotfleet.local.emulator import group_updates, instance_refreshes, launch_hooks
from spotfleet.local.emulator.cloudformation import ends_early
from spotfleet.local.emulator.ec2 import MACHINE_IMAGES
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import (
    Record,
    Response,
    client,
    group_of,
    joined_machines,
    provider_of,
    tasks_on_instance,
)
from spotfleet.local.emulator.resource_types.base import Resource

# What DescribeScalingActivities of a group goes back to.
KEPT_ACTIVITIES = 100
GROUP_HANDLERS = provisioners._RESOURCE_HANDLERS["AWS::AutoScaling::AutoScalingGroup"]


@extends(provisioners, "_asg_fields")
def with_mixed_instances(original: Callable[[Record], Record], properties: Record) -> Record:
    group = original(properties)
    group["MixedInstancesPolicy"] = properties.get("MixedInstancesPolicy") or {}
    group["CapacityRebalance"] = str(properties.get("CapacityRebalance", "false")).lower() == "true"
    group["DefaultInstanceWarmup"] = int(properties.get("DefaultInstanceWarmup") or 0)
    zones = [ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets]
    if zones:
        group["AvailabilityZones"] = list(dict.fromkeys(zones))
    return group


@extends(provisioners, "_asg_create", held_by=[(GROUP_HANDLERS, "create")])
def with_first_instances(
    original: Callable[..., Resource], logical_id: str, properties: Record, stack_name: str
) -> Resource:
    name, attributes = original(logical_id, properties, stack_name)
    launch_hooks.keep(name, {}, properties)
    reach_desired_capacity(autoscaling._asgs[name])
    group_updates.settle(client("autoscaling"), name, functools.partial(ends_early, stack_name))
    return name, attributes


@extends(provisioners, "_asg_update", held_by=[(GROUP_HANDLERS, "update")])
def with_kept_capacity(
    original: Callable[..., Resource], physical_id: str, old: Record, new: Record, *owner: str
) -> Resource:
    """Without DesiredCapacity in the template an update keeps what the group has, within its new bounds."""
    before = autoscaling._asgs[physical_id]["DesiredCapacity"] if physical_id in autoscaling._asgs else 0
    name, attributes = original(physical_id, old, new, *owner)
    group = autoscaling._asgs[name]
    if "DesiredCapacity" not in new and name == physical_id:
        group["DesiredCapacity"] = min(max(before, group["MinSize"]), group["MaxSize"])
    launch_hooks.keep(name, old, new)
    reach_desired_capacity(group)
    group_updates.replace_machines(
        client("autoscaling"),
        client("cloudformation"),
        name,
        joined_machines,
        triggered=instance_refresh.is_triggered(old, new),
        ends_early=functools.partial(ends_early, owner[0]),
    )
    return name, attributes


@extends(provisioners, "_asg_delete", held_by=[(GROUP_HANDLERS, "delete")])
def with_last_instances(original: Callable[[str, Record], None], physical_id: str, properties: Record) -> None:
    if group := autoscaling._asgs.get(physical_id):
        for instance in list(group["Instances"]):
            _remove_instance(group, instance)
    original(physical_id, properties)


@replaces(autoscaling, "_reconcile_instances")
def reach_desired_capacity(group: Record) -> None:
    """Launch or take out instances until the group has as many as it wants."""
    while (surplus := len(_staying(group)) - group["DesiredCapacity"]) > 0:
        number = f"from {group['DesiredCapacity'] + surplus} to {group['DesiredCapacity']}"
        cause = f"an instance was taken out of service in response to a difference in capacity, shrinking {number}."
        _take_out(group, _first_to_leave(group), cause)
    while len(_staying(group)) < group["DesiredCapacity"]:
        before = len(_staying(group))
        instance = _launch(group)
        if instance is None:
            text = (
                "AutoScaling: %s launches nothing and stays below its desired capacity: no known instance type has %s"
            )
            autoscaling.logger.warning(text, group["AutoScalingGroupName"], _launch_specification(group)[1])
            return
        group["Instances"].append(instance)
        cause = "an instance was started in response to a difference between desired and actual capacity, "
        _note(group, launch_hooks.launching(instance), f"{cause}from {before} to {before + 1}.")
        if instance["LifecycleState"] == launch_hooks.PENDING:
            launch_hooks.tell(group, instance, "MidLifecycleAction")


def _staying(group: Record) -> list[Record]:
    """Return the instances that make a group's size: neither those that leave nor those that have a successor."""
    return [
        item
        for item in group["Instances"]
        if not item["LifecycleState"].startswith("Terminating") and not instance_refreshes.is_succeeded(item)
    ]


def _first_to_leave(group: Record) -> Record:
    """Return the instance to lose: Spot before on-demand, without tasks before with, newest first.

    AWS's default policy does not look at the tasks: managed draining moves them.
    """
    surplus_on_demand = _on_demand_count(group) > _on_demand_wanted(group, group["DesiredCapacity"])

    def order(instance: Record) -> tuple[bool, bool]:
        return _is_spot(instance) == surplus_on_demand, bool(tasks_on_instance(instance["InstanceId"]))

    # Of equals the last: the newest.
    return min(reversed(_staying(group)), key=order)


def _take_out(group: Record, instance: Record, cause: str) -> None:
    """Take an instance out of its group: with tasks on it, it waits until ECS has drained it."""
    if instance["LifecycleState"].startswith("Terminating"):
        return
    _note(group, _terminating(instance), cause)
    machine = ec2._instances.get(instance["InstanceId"], {})
    alive = machine.get("State", {}).get("Name") == "running"
    if alive and _is_drained_by_ecs(group) and tasks_on_instance(instance["InstanceId"]):
        instance["LifecycleState"] = "Terminating:Wait"
    else:
        _remove_instance(group, instance)


def _remove_instance(group: Record, instance: Record) -> None:
    group["Instances"].remove(instance)
    for activity in group.get("_activities", []):
        if activity["Description"] == _terminating(instance):
            activity["EndTime"] = now_iso()
    ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": [instance["InstanceId"]]})


def _is_drained_by_ecs(group: Record) -> bool:
    provider = provider_of(group["AutoScalingGroupARN"])
    settings = provider["autoScalingGroupProvider"] if provider else {}
    return bool(provider) and settings.get("managedDraining", "ENABLED") == "ENABLED"


def _terminating(instance: Record) -> str:
    """Return how the activity is described that takes an instance out of its group."""
    return f"Terminating EC2 instance: {instance['InstanceId']}"


def _note(group: Record, description: str, cause: str) -> None:
    """Keep what happened to a group for DescribeScalingActivities."""
    now = now_iso()
    activity = {
        "ActivityId": str(uuid4()),
        "AutoScalingGroupName": group["AutoScalingGroupName"],
        "Description": description,
        "Cause": f"At {now} {cause}",
        "StartTime": now,
        "EndTime": now,
        "StatusCode": "Successful",
        "Progress": "100",
    }
    group["_activities"] = [activity, *group.get("_activities", [])][:KEPT_ACTIVITIES]


@replaces(autoscaling._ACTION_MAP, "DescribeScalingActivities")
def describe_group_activities(parameters: Record) -> Response:
    name = autoscaling._p(parameters, "AutoScalingGroupName")
    found = [
        f"<member>{autoscaling._member_xml(activity)}</member>"
        for group in autoscaling._asgs.values()
        if name in ("", group["AutoScalingGroupName"])
        for activity in group.get("_activities", [])
    ]
    answer = f"<Activities>{''.join(found)}</Activities>"
    return _autoscaling_answer("DescribeScalingActivities", answer)


def _autoscaling_answer(operation: str, inner: str) -> Response:
    answer: Response = autoscaling._xml(
        HTTPStatus.OK, f"{operation}Response", f"<{operation}Result>{inner}</{operation}Result>"
    )
    return answer


def _autoscaling_error(text: str) -> Response:
    error: Response = autoscaling._error("ValidationError", text)
    return error


@extends(autoscaling._ACTION_MAP, "SetDesiredCapacity")
def set_desired_capacity(original: Callable[[Record], Response], parameters: Record) -> Response:
    group = autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName"))
    desired = autoscaling._p(parameters, "DesiredCapacity")
    for name, word in (("MinSize", "below min"), ("MaxSize", "above max")):
        if group and desired and (int(desired) > group[name] if name == "MaxSize" else int(desired) < group[name]):
            text = f"New SetDesiredCapacity value {desired} is {word} value {group[name]} for the AutoScalingGroup."
            return _autoscaling_error(text)
    return original(parameters)


@replaces(autoscaling._ACTION_MAP, "TerminateInstanceInAutoScalingGroup")
def terminate_in_group(parameters: Record) -> Response:
    """TerminateInstanceInAutoScalingGroup, which MiniStack lacks."""
    found = group_of(autoscaling._p(parameters, "InstanceId"))
    if not found:
        return _autoscaling_error("Instance Id not found - No managed instance found")
    group, instance = found
    if autoscaling._p(parameters, "ShouldDecrementDesiredCapacity") == "true":
        if group["DesiredCapacity"] <= group["MinSize"]:
            text = "Currently, desiredSize equals minSize. Terminating instance without replacement will violate "
            return _autoscaling_error(f"{text}group's min size constraint.")
        group["DesiredCapacity"] -= 1
    _take_out(group, instance, f"an instance was taken out of service in response to {_reason(instance)}.")
    reach_desired_capacity(group)
    activity = autoscaling._member_xml(group["_activities"][0])
    return _autoscaling_answer("TerminateInstanceInAutoScalingGroup", f"<Activity>{activity}</Activity>")


def _reason(instance: Record) -> str:
    """Return why an instance leaves its group."""
    if ec2._instances.get(instance["InstanceId"], {}).get("State", {}).get("Name") != "running":
        return "an EC2 health check: it has been terminated"
    if instance_refreshes.is_succeeded(instance):
        return "an instance refresh"
    noticed = any(tag["Key"] == machine_life.NOTICE_TAG for tag in ec2._tags.get(instance["InstanceId"], []))
    return "an EC2 Spot interruption notice" if noticed else "a user request"


@replaces(autoscaling._ACTION_MAP, "CompleteLifecycleAction")
def complete_lifecycle_action(parameters: Record) -> Response:
    """End the wait of an instance that has joined or is drained: MiniStack's own does nothing."""
    instance_id = autoscaling._p(parameters, "InstanceId")
    found = group_of(instance_id)
    if found and launch_hooks.is_of(found[0], autoscaling._p(parameters, "LifecycleHookName")):
        group, instance = found
        if instance["LifecycleState"] != launch_hooks.PENDING:
            return _autoscaling_error(f"No active Lifecycle Action found with instance ID {instance_id}")
        if not launch_hooks.end(group, instance, autoscaling._p(parameters, "LifecycleActionResult")):
            _take_out(group, instance, "an instance was taken out of service as its launch was abandoned.")
            reach_desired_capacity(group)
    elif found and found[1]["LifecycleState"] == "Terminating:Wait":
        _remove_instance(*found)
    return _autoscaling_answer("CompleteLifecycleAction", "")


def _launch(group: Record) -> Record | None:
    """Launch the group's next instance: in the zone with the fewest, on demand while the distribution wants that.

    None where no known instance type has what the group requires.
    """
    specification, overrides = _launch_specification(group)
    data = _launch_template_data(specification)
    spot = _next_is_spot(group)
    types = machine_life.launched_types(overrides, [data.get("InstanceType", "t3.micro")])
    if not types:
        return None
    instance_type = types[len(_staying(group)) % len(types)] if spot else types[0]
    subnet, zone = _emptiest_subnet(group)
    machine = ec2._launch_instances_internal(
        image_id=data.get("ImageId", ""),
        instance_type=instance_type,
        subnet_id=subnet,
        count=1,
        user_data=data.get("UserData", ""),
        sg_ids=data.get("SecurityGroupIds"),
    )[0]
    machine["Placement"]["AvailabilityZone"] = zone
    arm_images = [image for image, architecture in MACHINE_IMAGES.values() if architecture == "arm64"]
    machine["Architecture"] = "arm64" if machine["ImageId"] in arm_images else "x86_64"
    machine["CpuCredits"] = data.get("CreditSpecification", {}).get("CpuCredits")
    if spot:
        machine["InstanceLifecycle"] = "spot"
    tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in group["Tags"] if tag.get("PropagateAtLaunch")]
    name_tag = {"Key": "aws:autoscaling:groupName", "Value": group["AutoScalingGroupName"]}
    ec2._tags[machine["InstanceId"]] = [*tags, name_tag]
    return {
        "InstanceId": machine["InstanceId"],
        "InstanceType": instance_type,
        "LifecycleState": launch_hooks.first_state(group),
        "HealthStatus": "Healthy",
        "AvailabilityZone": zone,
        "ProtectedFromScaleIn": str(group["NewInstancesProtectedFromScaleIn"]).lower() == "true",
        "LaunchTemplate": provisioners._asg_launch_template(specification),
        "LaunchConfigurationName": group["LaunchConfigurationName"],
    }


def _launch_specification(group: Record) -> tuple[Record, list[Record]]:
    """Return the launch template that a group names, and what its mixed instances policy overrides."""
    launch = group["MixedInstancesPolicy"].get("LaunchTemplate") if group.get("MixedInstancesPolicy") else None
    if launch:
        return launch["LaunchTemplateSpecification"], launch.get("Overrides", [])
    return group.get("LaunchTemplate") or {}, []


def _launch_template_data(specification: Record) -> Record:
    if not specification:
        return {}
    template = ec2._launch_templates.get(provisioners._asg_launch_template(specification)["LaunchTemplateId"])
    if not template:
        return {}
    named = {"$Latest": template["LatestVersionNumber"], "$Default": template["DefaultVersionNumber"]}
    version = str(specification.get("Version", "$Default"))
    number = int(named.get(version, version))
    data: Record = next(
        (item["LaunchTemplateData"] for item in template["Versions"] if item["VersionNumber"] == number), {}
    )
    return data


def _next_is_spot(group: Record) -> bool:
    """Return whether the group's next instance is a Spot instance.

    On-demand instances fill the base first and then their share, rounded up, of what is above it:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html
    """
    return _on_demand_count(group) >= _on_demand_wanted(group, len(_staying(group)) + 1)


def _on_demand_wanted(group: Record, total: int) -> int:
    distribution = (group.get("MixedInstancesPolicy") or {}).get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity", 0))
    percentage = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    return min(base, total) + -(-max(total - base, 0) * percentage // 100)


def _on_demand_count(group: Record) -> int:
    return sum(not _is_spot(instance) for instance in _staying(group))


def _is_spot(instance: Record) -> bool:
    return bool(ec2._instances.get(instance["InstanceId"], {}).get("InstanceLifecycle") == "spot")


def _subnets(group: Record) -> list[str]:
    return [subnet.strip() for subnet in group["VPCZoneIdentifier"].split(",") if subnet.strip()]


def _emptiest_subnet(group: Record) -> tuple[str, str]:
    """Return the subnet, and its zone, that holds the fewest of the group's instances."""
    zones = {subnet: ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets}
    zones = zones or {ec2._DEFAULT_SUBNET_ID: group["AvailabilityZones"][0]}
    used = [instance["AvailabilityZone"] for instance in _staying(group)]
    return min(zones.items(), key=lambda item: used.count(item[1]))


@extends(autoscaling, "_instance_member_xml")
def with_instance_type(original: Callable[..., str], instance: Record, *names: str, **named: str) -> str:
    text = original(instance, *names, **named)
    return text.removesuffix("</member>") + f"<InstanceType>{instance.get('InstanceType', '')}</InstanceType></member>"


@extends(autoscaling._ACTION_MAP, "DescribeAutoScalingGroups")
def with_policy(original: Callable[[Record], Response], parameters: Record) -> Response:
    status, headers, body = original(parameters)
    text = body.decode()
    for name, group in autoscaling._asgs.items():
        more = f"<CapacityRebalance>{str(group.get('CapacityRebalance', False)).lower()}</CapacityRebalance>"
        more += f"<DefaultInstanceWarmup>{group.get('DefaultInstanceWarmup', 0)}</DefaultInstanceWarmup>"
        if group.get("MixedInstancesPolicy"):
            policy = autoscaling._member_xml(group["MixedInstancesPolicy"])
            more += f"<MixedInstancesPolicy>{policy}</MixedInstancesPolicy>"
        element = f"<AutoScalingGroupName>{name}</AutoScalingGroupName>"
        text = text.replace(element, element + more)
    return status, headers, text.encode()
