"""Instance refreshes and the machines that they replace, read from Auto Scaling and EC2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour.instance_refresh import REFRESH_TAG, SUCCEEDED, Member, Preferences
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients
from spotfleet.local.host import clock

LAUNCHING = "Launching a new EC2 instance: "


@dataclass(frozen=True)
class Refresh:
    """A refresh that goes on, and when it began, in seconds since 1970."""

    id: str
    began: float
    preferences: Preferences


def read_active(autoscaling: clients.Client, group: str) -> Refresh | None:
    """Return the refresh of a group that goes on, or None."""
    for item in autoscaling.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"]:
        if item["Status"] == "InProgress":
            given = item["Preferences"]
            preferences = Preferences(
                least=given["MinHealthyPercentage"],
                most=given["MaxHealthyPercentage"],
                warmup=given["InstanceWarmup"],
                skip_matching=given["SkipMatching"],
                bake=given["BakeTime"],
                alarms=tuple(given["AlarmSpecification"].get("Alarms", [])),
            )
            return Refresh(item["InstanceRefreshId"], item["StartTime"].timestamp(), preferences)
    return None


def read_entries(autoscaling: clients.Client, group: str) -> dict[str, float]:
    """Return when each machine of a group entered service, in seconds since 1970, as far as its activities tell."""
    return {
        item["Description"].removeprefix(LAUNCHING): item["EndTime"].timestamp()
        for item in autoscaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"]
        if item["Description"].startswith(LAUNCHING) and item["StatusCode"] == "Successful" and "EndTime" in item
    }


def read_members(
    ec2: clients.Client, instances: Sequence[Record], entered: Mapping[str, float], now: float
) -> list[Member]:
    """Return the machines of a group, oldest mark first; one of unknown entry counts from now on."""
    ids = [item["InstanceId"] for item in instances]
    reservations = ec2.describe_instances(InstanceIds=ids)["Reservations"] if ids else []
    marks = {
        instance["InstanceId"]: tag["Value"]
        for reservation in reservations
        for instance in reservation["Instances"]
        for tag in instance.get("Tags", [])
        if tag["Key"] == REFRESH_TAG
    }
    return [
        Member(
            id=item["InstanceId"],
            in_service=clock.aws_seconds(now - entered.get(item["InstanceId"], now))
            if item["LifecycleState"] == "InService"
            else None,
            outdated=item["InstanceId"] in marks,
            succeeded=marks.get(item["InstanceId"]) == SUCCEEDED,
            leaving=item["LifecycleState"].startswith("Terminating"),
        )
        for item in instances
    ]
