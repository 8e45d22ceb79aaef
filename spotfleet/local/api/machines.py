"""The machines of the groups, read from Auto Scaling, EC2 and ECS."""

from datetime import datetime

from spotfleet.behaviour.machine_life import NOTICE_TAG, Machine, agent_settings, completed_hook
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_clusters, read_container_instances


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
    reservations = pages(ec2, "describe_instances", "Reservations", InstanceIds=list(members))
    return [
        _machine(ec2, instance, *members[instance["InstanceId"]], registered.get(instance["InstanceId"]))
        for reservation in reservations
        for instance in reservation["Instances"]
    ]


def _machine(ec2: clients.Client, instance: Record, group: Record, member: Record, ecs: Record | None) -> Machine:
    user_data = _user_data(ec2, instance["InstanceId"])
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
        notice=notice_of(instance),
        rebalanced=bool(group.get("CapacityRebalance", False)),
        pending=member["LifecycleState"] == "Pending:Wait",
        completes=completed_hook(user_data),
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
    """Return when EC2 takes a machine, in seconds since 1970, or None when it has no notice."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return datetime.fromisoformat(tags[NOTICE_TAG]).timestamp() if tags.get(NOTICE_TAG) else None


def _user_data(ec2: clients.Client, instance_id: str) -> str:
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    text: str = answer["UserData"].get("Value", "")
    return text
