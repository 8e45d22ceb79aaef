"""Groups without capacity, at risk, or with machines that end by themselves, 60 times faster than on AWS."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spotfleet.behaviour.machine_losses import RECOMMENDATION_TAG
from tests.spotfleet.local.emulator.test_embedded_aws import GROUP
from tests.support.clouds import Cloud, ref, running

WAIT_SECONDS = 30
SPOT = "spotfleet:closed:spot:"
POOLS = [f"{name}/{zone}" for name in ("t4g.micro", "t4g.small") for zone in ("eu-west-1a", "eu-west-1b")]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded AWS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SPEED", "60")
        with running(Path(tmp_path_factory.mktemp("server"), "log")) as started:
            yield started


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def activities(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Return what a group has done, newest first."""
    found: list[dict[str, Any]] = cloud.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name)[
        "Activities"
    ]
    return found


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    """Return a group as Auto Scaling describes it."""
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    group: dict[str, Any] = found["AutoScalingGroups"][0]
    return group


def tags(name: str, *keys: str) -> list[dict[str, Any]]:
    """Return tags of a group that hold for an hour."""
    of_group = {"ResourceId": name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return [{**of_group, "Key": key, "Value": str(time.time() + 3600)} for key in keys]


def test_a_launch_without_capacity_fails_in_awss_words_and_changes_no_size(cloud: Cloud) -> None:
    autoscaling, ec2 = cloud.client("autoscaling"), cloud.client("ec2")
    name = cloud.create("closed", GROUP, {"Name": ref("Group")})["Name"]

    def kinds() -> list[str]:
        ids = [item["InstanceId"] for item in described(cloud, name)["Instances"]]
        found = [item for one in ec2.describe_instances(InstanceIds=ids)["Reservations"] for item in one["Instances"]]
        return sorted(item.get("InstanceLifecycle", "on-demand") for item in found)

    assert kinds() == ["on-demand", "spot", "spot"]
    autoscaling.create_or_update_tags(Tags=tags(name, *(SPOT + pool for pool in POOLS)))
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=4)
    failed = activities(cloud, name)[0]
    assert failed["StatusCode"] == "Failed"
    assert "There is no Spot capacity available that matches your request" in failed["StatusMessage"]
    # It tries again, and nothing else changes.
    wait_until(lambda: [item["StatusCode"] for item in activities(cloud, name)].count("Failed") > 1)
    assert described(cloud, name)["DesiredCapacity"] == 4
    assert kinds() == ["on-demand", "spot", "spot"]

    autoscaling.delete_tags(Tags=tags(name, SPOT + POOLS[3]))
    wait_until(lambda: len(kinds()) == 4)
    newest = described(cloud, name)["Instances"][-1]
    assert (newest["InstanceType"], newest["AvailabilityZone"]) == ("t4g.small", "eu-west-1b")
    assert kinds() == ["on-demand", "spot", "spot", "spot"]
    cloud.delete("closed")


def test_spot_machines_of_a_zone_are_of_one_pool(cloud: Cloud) -> None:
    properties = GROUP["Group"]["Properties"]
    policy = json.loads(json.dumps(properties["MixedInstancesPolicy"]))
    policy["InstancesDistribution"]["OnDemandBaseCapacity"] = 0
    group = {**GROUP["Group"], "Properties": {**properties, "MixedInstancesPolicy": policy, "MinSize": 4}}
    name = cloud.create("pools", {**GROUP, "Group": group}, {"Name": ref("Group")})["Name"]
    instances = described(cloud, name)["Instances"]
    assert sorted(item["AvailabilityZone"] for item in instances) == ["eu-west-1a"] * 2 + ["eu-west-1b"] * 2
    assert len({(item["InstanceType"], item["AvailabilityZone"]) for item in instances}) == 2
    cloud.delete("pools")


def test_the_target_of_an_ended_machine_is_unused_when_its_group_has_found_out(cloud: Cloud) -> None:
    elbv2 = cloud.client("elbv2")
    name = cloud.create("ended", GROUP, {"Name": ref("Group")})["Name"]
    machine = described(cloud, name)["Instances"][0]["InstanceId"]
    vpc = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    target_group = elbv2.create_target_group(Name="ended", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    group = target_group["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": machine, "Port": 32768}])

    def health() -> tuple[str, str]:
        (found,) = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return found["TargetHealth"]["State"], found["TargetHealth"]["Reason"]

    assert health()[0] != "unused"
    cloud.client("ec2").terminate_instances(InstanceIds=[machine])
    wait_until(lambda: health() == ("unused", "Target.InvalidState"))
    members = [item["InstanceId"] for item in described(cloud, name)["Instances"]]
    assert machine not in members
    wait_until(lambda: len(described(cloud, name)["Instances"]) == 3)
    why = [item["Cause"] for item in activities(cloud, name) if item["Description"].endswith(f"instance: {machine}")]
    assert "an EC2 health check indicating it has been terminated or stopped" in why[0]
    elbv2.delete_target_group(TargetGroupArn=group)
    cloud.delete("ended")


def test_a_machine_at_risk_goes_when_its_successor_is_in_service(cloud: Cloud) -> None:
    group = {**GROUP["Group"], "Properties": {**GROUP["Group"]["Properties"], "CapacityRebalance": True}}
    name = cloud.create("risk", {**GROUP, "Group": group}, {"Name": ref("Group")})["Name"]
    before = [item["InstanceId"] for item in described(cloud, name)["Instances"]]
    tag = {"Key": RECOMMENDATION_TAG, "Value": "now"}
    cloud.client("ec2").create_tags(Resources=[before[-1]], Tags=[tag])
    wait_until(lambda: before[-1] not in [item["InstanceId"] for item in described(cloud, name)["Instances"]])
    after = [item["InstanceId"] for item in described(cloud, name)["Instances"]]
    assert (len(after), described(cloud, name)["DesiredCapacity"]) == (3, 3)
    last, first = activities(cloud, name)[:2]
    assert first["Description"] == f"Launching a new EC2 instance: {after[-1]}"
    assert last["Description"] == f"Terminating EC2 instance: {before[-1]}"
    assert "in response to an EC2 instance rebalance recommendation" in last["Cause"]
    cloud.delete("risk")
