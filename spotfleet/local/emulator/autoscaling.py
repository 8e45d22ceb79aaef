"""EC2 Auto Scaling: groups run machines, on demand and Spot, in several zones."""

import functools
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from ministack.core.responses import (
    now_iso,
)
from ministack.services import (
    autoscaling,
    ec2,
)
from ministack.services.cloudformation import provisioners

from spotfleet.behaviour import fleet_mix, instance_refresh, machine_losses, spot_pools
from spotfleet.behaviour.spot_pools import Kind, Pool
from spotfleet.behaviour.suspended_processes import Process, is_suspended
from spotfleet.behaviour.termination_policy import Candidate, first_to_leave
from spotfleet.local.api.machines import notice_of
from spotfleet.local.api.rolling_policy import creation_policy_of
from spotfleet.local.backchannel import resource_signals
from spotfleet.local.emulator import (
    group_departures,
    group_launches,
    group_signals,
    group_updates,
    instance_refreshes,
    launch_hooks,
)
from spotfleet.local.emulator.cloudformation import ends_early
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import (
    Record,
    Response,
    client,
    group_of,
)
from spotfleet.local.emulator.resource_types.base import Resource
from spotfleet.local.host import clock, delays

GROUP_HANDLERS = provisioners._RESOURCE_HANDLERS["AWS::AutoScaling::AutoScalingGroup"]

# Held while a group is brought to its size, so that two who ask for it never launch the same machine twice.
_sizing = threading.RLock()


@extends(provisioners, "_asg_fields")
def with_mixed_instances(original: Callable[[Record], Record], properties: Record) -> Record:
    group = original(properties)
    group["MixedInstancesPolicy"] = properties.get("MixedInstancesPolicy") or {}
    group["CapacityRebalance"] = str(properties.get("CapacityRebalance", "false")).lower() == "true"
    group["DefaultInstanceWarmup"] = int(properties.get("DefaultInstanceWarmup") or 0)
    group["MaxInstanceLifetime"] = int(properties.get("MaxInstanceLifetime") or 0)
    group["InstanceMaintenancePolicy"] = properties.get("InstanceMaintenancePolicy") or {}
    zones = [
        ec2._subnets[subnet]["AvailabilityZone"]
        for subnet in group_launches.subnets_of(group)
        if subnet in ec2._subnets
    ]
    if zones:
        group["AvailabilityZones"] = list(dict.fromkeys(zones))
    return group


@extends(provisioners, "_asg_create", held_by=[(GROUP_HANDLERS, "create")])
def with_first_instances(
    original: Callable[..., Resource], logical_id: str, properties: Record, stack_name: str
) -> Resource:
    policy = creation_policy_of(client("cloudformation"), stack_name, logical_id)
    name, attributes = original(logical_id, properties, stack_name)
    launch_hooks.keep(name, {}, properties)
    early, signals = functools.partial(ends_early, stack_name), functools.partial(resource_signals.of, name)
    with group_signals.awaited(stack_name, logical_id, name):
        reach_desired_capacity(autoscaling._asgs[name])
        group_updates.settle(client("autoscaling"), name, early, policy, signals)
    return name, attributes


@extends(provisioners, "_asg_update", held_by=[(GROUP_HANDLERS, "update")])
def with_kept_capacity(
    original: Callable[..., Resource], physical_id: str, old: Record, new: Record, stack_name: str, logical_id: str
) -> Resource:
    """Without DesiredCapacity in the template an update keeps what the group has, within its new bounds."""
    before = autoscaling._asgs[physical_id]["DesiredCapacity"] if physical_id in autoscaling._asgs else 0
    name, attributes = original(physical_id, old, new, stack_name, logical_id)
    group = autoscaling._asgs[name]
    if "DesiredCapacity" not in new and name == physical_id:
        group["DesiredCapacity"] = min(max(before, group["MinSize"]), group["MaxSize"])
    launch_hooks.keep(name, old, new)
    with group_signals.awaited(stack_name, logical_id, name):
        reach_desired_capacity(group)
        group_updates.replace_machines(
            client("autoscaling"),
            client("cloudformation"),
            name,
            functools.partial(resource_signals.of, name),
            triggered=instance_refresh.is_triggered(old, new),
            ends_early=functools.partial(ends_early, stack_name),
        )
    return name, attributes


@extends(provisioners, "_asg_delete", held_by=[(GROUP_HANDLERS, "delete")])
def with_last_instances(original: Callable[[str, Record], None], physical_id: str, properties: Record) -> None:
    if group := autoscaling._asgs.get(physical_id):
        group["DesiredCapacity"] = group["MinSize"] = 0
        for instance in list(group["Instances"]):
            _take_out(group, instance, "an instance was taken out of service as its group is deleted.")
        while group["Instances"]:
            time.sleep(group_updates.POLL_SECONDS)
    original(physical_id, properties)


@replaces(autoscaling, "_reconcile_instances")
def reach_desired_capacity(group: Record) -> None:
    """Launch or take out instances until the group has as many as it wants, or no pool has capacity for more."""
    with _sizing:
        while (
            not is_suspended(group, Process.TERMINATE)
            and (surplus := len(_staying(group)) - group["DesiredCapacity"]) > 0
        ):
            change = f"from {group['DesiredCapacity'] + surplus} to {group['DesiredCapacity']}"
            cause = f"an instance was taken out of service in response to a difference in capacity, shrinking {change}."
            _take_out(group, _first_to_leave(group), cause)
        spot = [_is_spot(instance) for instance in _members(group)]
        missing = max(0, group["DesiredCapacity"] - len(_staying(group)))
        numbers = fleet_mix.launches(fleet_mix.distribution_of(group), spot.count(False), spot.count(True), missing)
        for kind, number in zip((Kind.ON_DEMAND, Kind.SPOT), numbers, strict=True):
            # The share of one kind never becomes the other's.
            if number and group_launches.is_due(group, kind) and not is_suspended(group, Process.LAUNCH):
                all(group_launches.launch(group, kind, _staying(group)) for _ in range(number))


def _members(group: Record) -> list[Record]:
    """Return the instances of a group that do not leave."""
    return [item for item in group["Instances"] if not item["LifecycleState"].startswith("Terminating")]


def _staying(group: Record) -> list[Record]:
    """Return the instances that make a group's size: neither those that leave nor those that have a successor."""
    return [item for item in _members(group) if not instance_refreshes.is_succeeded(item) and not _is_succeeded(item)]


def _is_succeeded(instance: Record) -> bool:
    return _tag(instance, machine_losses.SUCCEEDED_TAG) is not None


def _tag(instance: Record, name: str) -> str | None:
    return next((tag["Value"] for tag in ec2._tags.get(instance["InstanceId"], []) if tag["Key"] == name), None)


def _first_to_leave(group: Record) -> Record:
    """Return the instance to lose by AWS's default termination policy."""
    types = group_launches.types_of(group)
    staying = {item["InstanceId"]: item for item in _staying(group)}
    candidates = [_candidate(item, types) for item in staying.values()]
    return staying[first_to_leave(candidates, fleet_mix.distribution_of(group), _stream()).id]


def _candidate(instance: Record, types: list[str]) -> Candidate:
    kind = Kind.SPOT if _is_spot(instance) else Kind.ON_DEMAND
    pool = Pool(instance["InstanceType"], instance["AvailabilityZone"])
    version = str(instance["LaunchTemplate"].get("Version", ""))
    launched = ec2._instances.get(instance["InstanceId"], {}).get("LaunchTime", now_iso())
    return Candidate(
        id=instance["InstanceId"],
        zone=pool.zone,
        spot=kind is Kind.SPOT,
        fits=spot_pools.fits(kind, pool, types, group_launches.score_of),
        version=int(version) if version.isdecimal() else 0,
        age=clock.aws_seconds(time.time() - datetime.fromisoformat(launched).timestamp()),
    )


@functools.cache
def _stream() -> random.Random:
    return random.Random(f"{delays.seed()}/leaves")  # noqa: S311  # nothing is kept secret by it


def _take_out(group: Record, instance: Record, cause: str) -> None:
    """Take an instance out of its group: with tasks on it, it waits until ECS has drained it."""
    if instance["LifecycleState"].startswith("Terminating"):
        return
    group_launches.note(group, group_departures.terminating(instance), cause)
    group_departures.begin(group, instance)


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
    if group and desired and int(desired) != group["DesiredCapacity"]:
        group_launches.try_at_once(group)
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
        return "an EC2 health check indicating it has been terminated or stopped"
    if _tag(instance, machine_losses.SUCCEEDED_TAG) == machine_losses.WRONG_ZONE:
        return "a rebalancing of the Availability Zones"
    if _tag(instance, machine_losses.SUCCEEDED_TAG) == machine_losses.OUTLIVED:
        return "the maximum instance lifetime"
    if notice_of({"Tags": ec2._tags.get(instance["InstanceId"], [])}) is not None:
        return "an EC2 Spot interruption notice"
    if _is_succeeded(instance):
        return "an EC2 instance rebalance recommendation"
    return "an instance refresh" if instance_refreshes.is_succeeded(instance) else "a user request"


@replaces(autoscaling._ACTION_MAP, "CompleteLifecycleAction")
def complete_lifecycle_action(parameters: Record) -> Response:
    """End the wait of an instance that has joined or is drained: MiniStack's own does nothing."""
    instance_id = autoscaling._p(parameters, "InstanceId")
    found = group_of(instance_id)
    if found and launch_hooks.is_of(found[0], autoscaling._p(parameters, "LifecycleHookName")):
        group, instance = found
        if instance["LifecycleState"] != launch_hooks.HELD:
            return _autoscaling_error(f"No active Lifecycle Action found with instance ID {instance_id}")
        if not launch_hooks.end(group, instance, autoscaling._p(parameters, "LifecycleActionResult")):
            _take_out(group, instance, "an instance was taken out of service as its launch was abandoned.")
            reach_desired_capacity(group)
    elif found and found[1]["LifecycleState"] == group_departures.HELD:
        group_departures.end(*found)
    return _autoscaling_answer("CompleteLifecycleAction", "")


def _is_spot(instance: Record) -> bool:
    return bool(ec2._instances.get(instance["InstanceId"], {}).get("InstanceLifecycle") == "spot")


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
        if group.get("SuspendedProcesses"):
            more += f"<SuspendedProcesses>{autoscaling._member_xml(group['SuspendedProcesses'])}</SuspendedProcesses>"
        if group.get("MaxInstanceLifetime"):
            more += f"<MaxInstanceLifetime>{group['MaxInstanceLifetime']}</MaxInstanceLifetime>"
        for name_of_policy in ("MixedInstancesPolicy", "InstanceMaintenancePolicy"):
            if group.get(name_of_policy):
                more += f"<{name_of_policy}>{autoscaling._member_xml(group[name_of_policy])}</{name_of_policy}>"
        element = f"<AutoScalingGroupName>{name}</AutoScalingGroupName>"
        text = text.replace(element, element + more)
    return status, headers, text.encode()
