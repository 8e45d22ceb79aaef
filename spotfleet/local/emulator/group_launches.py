"""An Auto Scaling group launches a machine: from which pool, with what, and what is told when none has capacity."""

import time
from collections.abc import Sequence
from uuid import uuid4

from ministack.core.responses import now_iso
from ministack.services import autoscaling, ec2
from ministack.services.cloudformation import provisioners

from spotfleet.behaviour import fleet_mix, machine_life, spot_pools
from spotfleet.behaviour.refusals import MACHINE
from spotfleet.behaviour.spot_pools import Kind, Pool
from spotfleet.local.emulator import launch_hooks, machine_images, refusals
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock, delays

# What DescribeScalingActivities of a group goes back to.
KEPT_ACTIVITIES = 100
DIFFERENCE = "an instance was started in response to a difference between desired and actual capacity."


def launch(group: Record, kind: Kind, members: Sequence[Record]) -> bool:
    """Launch a machine of a kind, and tell it; False where no pool has capacity, which is told as well.

    `members` are those that the zones are balanced by.
    """
    if words := refusals.of(MACHINE):
        _fail(group, kind)
        note(group, "Launching a new EC2 instance", DIFFERENCE, "Failed", words)
        return False
    types = types_of(group)
    if not types:
        text = "AutoScaling: %s launches nothing and stays below its desired capacity: no known instance type has %s"
        autoscaling.logger.warning(text, group["AutoScalingGroupName"], specification_of(group)[1])
        _fail(group, kind)
        return False
    subnets = _subnets_by_zone(group)
    zones = fleet_mix.zones_by_members(list(subnets), [item["AvailabilityZone"] for item in members])
    closed = spot_pools.closed_pools({tag["Key"]: tag["Value"] for tag in group["Tags"]}, time.time())
    pool = spot_pools.chosen(kind, types, zones, score_of, lambda kind, pool: (kind, pool) not in closed)
    if pool is None:
        _fail(group, kind)
        note(group, "Launching a new EC2 instance", DIFFERENCE, "Failed", spot_pools.no_capacity(kind, types, zones))
        return False
    group.setdefault("_failed_launches", {}).pop(kind, None)
    instance = _launch_from(group, kind, pool, subnets[pool.zone])
    group["Instances"].append(instance)
    before = len(members)
    cause = "an instance was started in response to a difference between desired and actual capacity, "
    note(group, launch_hooks.launching(instance), f"{cause}from {before} to {before + 1}.")
    launch_hooks.begin(group, instance)
    return True


def is_due(group: Record, kind: Kind) -> bool:
    """Return whether a group tries to launch a machine of a kind: at once, then at growing distances."""
    _failures, next_try = group.get("_failed_launches", {}).get(kind, (0, 0.0))
    return bool(time.time() >= next_try)


def _fail(group: Record, kind: Kind) -> None:
    failed = group.setdefault("_failed_launches", {})
    failures = failed.get(kind, (0, 0.0))[0] + 1
    failed[kind] = failures, time.time() + clock.seconds(spot_pools.retry_after(failures))


def try_at_once(group: Record) -> None:
    """Forget which launches have failed: what a group is newly asked for is tried at once."""
    group.pop("_failed_launches", None)


def note(group: Record, description: str, cause: str, status: str = "Successful", message: str = "") -> None:
    """Keep what happened to a group for DescribeScalingActivities."""
    now = now_iso()
    activity = {
        "ActivityId": str(uuid4()),
        "AutoScalingGroupName": group["AutoScalingGroupName"],
        "Description": description,
        "Cause": f"At {now} {cause}",
        "StartTime": now,
        "EndTime": now,
        "StatusCode": status,
        **({"StatusMessage": message} if message else {}),
        "Progress": "100",
    }
    group["_activities"] = [activity, *group.get("_activities", [])][:KEPT_ACTIVITIES]


def score_of(pool: Pool) -> float:
    """Return a pool's score in this rehearsal."""
    return spot_pools.score(delays.seed(), pool)


def types_of(group: Record) -> list[str]:
    """Return the instance types that a group launches, in its order."""
    specification, overrides = specification_of(group)
    return machine_life.launched_types(overrides, [_template_data(specification).get("InstanceType", "t3.micro")])


def specification_of(group: Record) -> tuple[Record, list[Record]]:
    """Return the launch template that a group names, and what its mixed instances policy overrides."""
    policy = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate")
    if policy:
        return policy["LaunchTemplateSpecification"], policy.get("Overrides", [])
    return group.get("LaunchTemplate") or {}, []


def _launch_from(group: Record, kind: Kind, pool: Pool, subnet: str) -> Record:
    specification, _overrides = specification_of(group)
    data = _template_data(specification)
    machine = ec2._launch_instances_internal(
        image_id=data.get("ImageId", ""),
        instance_type=pool.type,
        subnet_id=subnet,
        count=1,
        user_data=data.get("UserData", ""),
        sg_ids=data.get("SecurityGroupIds"),
    )[0]
    machine["Placement"]["AvailabilityZone"] = pool.zone
    machine["Architecture"] = machine_images.architecture_of(machine["ImageId"])
    machine["CpuCredits"] = data.get("CreditSpecification", {}).get("CpuCredits")
    if kind is Kind.SPOT:
        machine["InstanceLifecycle"] = "spot"
    tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in group["Tags"] if tag.get("PropagateAtLaunch")]
    name_tag = {"Key": "aws:autoscaling:groupName", "Value": group["AutoScalingGroupName"]}
    ec2._tags[machine["InstanceId"]] = [*tags, name_tag]
    return {
        "InstanceId": machine["InstanceId"],
        "InstanceType": pool.type,
        "LifecycleState": launch_hooks.PENDING,
        "HealthStatus": "Healthy",
        "AvailabilityZone": pool.zone,
        "ProtectedFromScaleIn": str(group["NewInstancesProtectedFromScaleIn"]).lower() == "true",
        "LaunchTemplate": provisioners._asg_launch_template(specification),
        "LaunchConfigurationName": group["LaunchConfigurationName"],
    }


def _template_data(specification: Record) -> Record:
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


def subnets_of(group: Record) -> list[str]:
    """Return the subnets that a group names."""
    return [subnet.strip() for subnet in group["VPCZoneIdentifier"].split(",") if subnet.strip()]


def _subnets_by_zone(group: Record) -> dict[str, str]:
    """Return a subnet for each of a group's zones."""
    known = {ec2._subnets[subnet]["AvailabilityZone"]: subnet for subnet in subnets_of(group) if subnet in ec2._subnets}
    return known or {group["AvailabilityZones"][0]: ec2._DEFAULT_SUBNET_ID}
