"""The machines of the groups, read from Auto Scaling, EC2 and ECS."""

import re
import time
from collections.abc import Container
from datetime import UTC, datetime

from spotfleet.behaviour.delays import BOOT, IN_SERVICE
from spotfleet.behaviour.instance_refresh import REFRESH_TAG, SUCCEEDED
from spotfleet.behaviour.machine_life import NOTICE_TAG, Machine, agent_settings, completed_hook, signalled_resource
from spotfleet.behaviour.machine_losses import RECOMMENDATION_TAG, SUCCEEDED_TAG
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.spot_notice import NOTICE_SECONDS
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_clusters, read_container_instances
from spotfleet.local.host import clock, delays

# When and by whom an instance was ended, as EC2 says it.
ENDED = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")


def read_machines(region: str) -> list[Machine]:
    """Return the machines of all Auto Scaling groups of a region."""
    ec2, autoscaling = clients.client("ec2", region), clients.client("autoscaling", region)
    members = {
        instance["InstanceId"]: (group, instance)
        for group in pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups")
        for instance in group["Instances"]
    }
    if not members:
        return []
    ecs = clients.client("ecs", region)
    registered = read_container_instances(ecs, [cluster["clusterName"] for cluster in read_clusters(ecs)])
    drained = _drained_groups(ecs)
    reservations = pages(ec2, "describe_instances", "Reservations", InstanceIds=list(members))
    return [
        _machine(ec2, instance, *members[instance["InstanceId"]], registered.get(instance["InstanceId"]), drained)
        for reservation in reservations
        for instance in reservation["Instances"]
    ]


def _drained_groups(ecs: clients.Client) -> set[str]:
    """Return the ARNs of the groups whose capacity provider has managed draining, as is the default."""
    providers = [
        item.get("autoScalingGroupProvider") for item in ecs.describe_capacity_providers()["capacityProviders"]
    ]
    return {
        item["autoScalingGroupArn"]
        for item in providers
        if item and item.get("managedDraining", "ENABLED") == "ENABLED"
    }


def _machine(
    ec2: clients.Client,
    instance: Record,
    group: Record,
    member: Record,
    ecs: Record | None,
    drained: Container[str],
) -> Machine:
    user_data, tags = _user_data(ec2, instance["InstanceId"]), _tags(instance)
    version = str(member.get("LaunchTemplate", {}).get("Version", ""))
    return Machine(
        id=instance["InstanceId"],
        group=group["AutoScalingGroupName"],
        type=instance["InstanceType"],
        zone=member["AvailabilityZone"],
        spot=instance.get("InstanceLifecycle") == "spot",
        running=instance["State"]["Name"] == "running",
        leaving=member["LifecycleState"].startswith("Terminating"),
        launched=instance["LaunchTime"].timestamp(),
        agent=agent_settings(user_data),
        ecs=ecs,
        warmup=float(group.get("DefaultInstanceWarmup", 0)),
        boot=delays.of(BOOT, instance["InstanceId"]),
        in_service=delays.of(IN_SERVICE, instance["InstanceId"]),
        notice=notice_of(instance),
        ended=_ended(instance),
        at_risk=RECOMMENDATION_TAG in tags,
        rebalanced=bool(group.get("CapacityRebalance", False)),
        drained=group["AutoScalingGroupARN"] in drained,
        succeeded=SUCCEEDED_TAG in tags,
        refreshed=tags.get(REFRESH_TAG) == SUCCEEDED,
        pending=member["LifecycleState"].startswith("Pending"),
        completes=completed_hook(user_data),
        signals=signalled_resource(user_data),
        version=int(version) if version.isdecimal() else 0,
    )


def read_detailed_monitoring(region: str, group: Record) -> bool:
    """Return whether EC2 tells of a group's machines each minute, and not every five, by its launch template (G12).

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/manage-detailed-monitoring.html
    """
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    template = mixed.get("LaunchTemplateSpecification") or group.get("LaunchTemplate")
    if not template:
        return False
    versions = clients.client("ec2", region).describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"], Versions=[template.get("Version", "$Default")]
    )["LaunchTemplateVersions"]
    return any(item["LaunchTemplateData"].get("Monitoring", {}).get("Enabled", False) for item in versions)


def notice_of(instance: Record) -> float | None:
    """Return when EC2 takes a machine, in seconds since 1970, or None while it has no notice of that."""
    moment = _tags(instance).get(NOTICE_TAG)
    if not moment:
        return None
    taken = datetime.fromisoformat(moment).timestamp()
    # A recommendation that comes before the notice has its moment already.
    return taken if time.time() >= taken - clock.seconds(NOTICE_SECONDS) else None


def _tags(instance: Record) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def _ended(instance: Record) -> float | None:
    found = ENDED.search(instance.get("StateTransitionReason", ""))
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() if found else None


def _user_data(ec2: clients.Client, instance_id: str) -> str:
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    text: str = answer["UserData"].get("Value", "")
    return text
