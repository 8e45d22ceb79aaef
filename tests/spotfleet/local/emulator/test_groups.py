"""Groups of the embedded AWS: machines that signal CloudFormation (rules F5 and F6), processes that rest, and schedules
(rule G13), 60 times faster than on AWS."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clouds import Cloud, get, ref, running

JOINS = "ECS_CLUSTER=default\n"
SIGNALS = f"{JOINS}/opt/aws/bin/cfn-signal -e $? --stack ${{AWS::StackName}} --resource Group --region eu-west-1\n"
LAUNCHED = {"LaunchTemplateId": ref("Template"), "Version": get("Template", "LatestVersionNumber")}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded AWS, with a cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SPEED", "60")
        with running(Path(tmp_path_factory.mktemp("server"), "log")) as started:
            started.client("ecs").create_cluster(clusterName="default")
            yield started


def resources(
    user_data: str, creation: dict[str, Any] | None = None, rolling: dict[str, Any] | None = None, size: int = 1
) -> dict[str, Any]:
    """Return a group with policies."""
    script = {"Fn::Base64": {"Fn::Sub": user_data}}
    group = {
        "Type": "AWS::AutoScaling::AutoScalingGroup",
        "Properties": {
            **{"MinSize": str(size), "MaxSize": "3", "AvailabilityZones": ["eu-west-1a"], "LaunchTemplate": LAUNCHED},
        },
        **({"CreationPolicy": creation} if creation else {}),
        **({"UpdatePolicy": {"AutoScalingRollingUpdate": rolling}} if rolling else {}),
    }
    data = {"ImageId": "ami-1", "InstanceType": "t3.micro", "UserData": script}
    return {
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": group,
    }


def described(cloud: Cloud, group: str) -> dict[str, Any]:
    """Return what Auto Scaling tells of a group."""
    groups = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    (found,) = groups["AutoScalingGroups"]
    assert isinstance(found, dict)
    return found


def members(cloud: Cloud, group: str) -> list[str]:
    """Return the machines of a group that do not leave."""
    instances = described(cloud, group)["Instances"]
    return [item["InstanceId"] for item in instances if not item["LifecycleState"].startswith("Terminating")]


def signals(cloud: Cloud, stack: str) -> list[str]:
    """Return the signals that a stack's events tell of, the first one first."""
    events = cloud.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in reversed(events)]
    return [reason for reason in reasons if reason.startswith("Received") and "UniqueId" in reason]


def test_a_group_is_created_when_its_machines_have_signalled(cloud: Cloud) -> None:
    policy = {"ResourceSignal": {"Count": 2, "Timeout": "PT15M"}}
    name = cloud.create("signals", resources(SIGNALS, policy, size=2), {"Name": ref("Group")})["Name"]
    told = [f"Received SUCCESS signal with UniqueId {machine}" for machine in members(cloud, name)]
    assert sorted(signals(cloud, "signals")) == sorted(told)
    with pytest.raises(ClientError, match="CREATE_COMPLETE state and cannot be signaled"):
        cloud.client("cloudformation").signal_resource(
            StackName="signals", LogicalResourceId="Group", UniqueId="i-1", Status="SUCCESS"
        )
    cloud.delete("signals")


def test_without_signals_a_creation_fails_after_five_minutes(cloud: Cloud) -> None:
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"Received 0 SUCCESS signal\(s\) out of 1. Unable to satisfy 100%"):
        cloud.create("silent", resources(JOINS, {"ResourceSignal": {}}))
    assert time.monotonic() - began >= 300 / 60
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="silent")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"


def test_one_failure_is_enough_for_a_creation_to_fail(cloud: Cloud) -> None:
    cloudformation = cloud.new_client("cloudformation")

    def fail() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                cloudformation.signal_resource(
                    StackName="broken", LogicalResourceId="Group", UniqueId="i-1", Status="FAILURE"
                )
            except ClientError:
                # There is no such stack yet, or it does not wait yet.
                time.sleep(0.1)
            else:
                return

    signalling = threading.Thread(target=fail)
    signalling.start()
    with pytest.raises(AssertionError, match=r"Received 1 FAILURE signal\(s\) out of 2"):
        cloud.create("broken", resources(JOINS, {"ResourceSignal": {"Count": 2, "Timeout": "PT1H"}}))
    signalling.join()
    assert signals(cloud, "broken") == ["Received FAILURE signal with UniqueId i-1"]


def test_a_roll_waits_for_signals_and_goes_back_by_the_policy_before(cloud: Cloud) -> None:
    before = {"MinInstancesInService": "0", "PauseTime": "PT0S"}
    name = cloud.create("rolled", resources(JOINS, rolling=before), {"Name": ref("Group")})["Name"]
    # Machines without signals: on the way there they fail, and by the same policy they would on the way back.
    after = before | {"WaitOnResourceSignals": True, "PauseTime": "PT5M", "SuspendProcesses": ["AZRebalance"]}
    silent = resources(f"{JOINS}# new\n", rolling=after)
    with pytest.raises(AssertionError, match=r"Received 1 FAILURE signal\(s\) out of 1. Unable to satisfy 100%"):
        cloud.update("rolled", silent, {"Name": ref("Group")})
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="rolled")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert described(cloud, name).get("SuspendedProcesses", []) == []
    cloud.update("rolled", resources(f"{SIGNALS}# new\n", rolling=after), {"Name": ref("Group")})
    told = signals(cloud, "rolled")
    assert told[-1] == f"Received SUCCESS signal with UniqueId {members(cloud, name)[0]}"
    cloud.delete("rolled")


def test_a_suspended_group_launches_nothing_until_it_is_resumed(cloud: Cloud) -> None:
    autoscaling = cloud.client("autoscaling")
    name = cloud.create("suspended", resources(JOINS), {"Name": ref("Group")})["Name"]
    place: dict[str, Any] = {"AutoScalingGroupName": name, "ScalingProcesses": ["Launch", "Terminate"]}
    autoscaling.suspend_processes(**place)
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    assert [item["ProcessName"] for item in described(cloud, name)["SuspendedProcesses"]] == ["Launch", "Terminate"]
    assert len(members(cloud, name)) == 1
    autoscaling.resume_processes(**place)
    assert described(cloud, name).get("SuspendedProcesses", []) == []
    assert len(members(cloud, name)) == 2
    with pytest.raises(ClientError, match="Invalid process type: Sleep"):
        autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["Sleep"])
    cloud.delete("suspended")


def test_a_scheduled_action_sets_the_sizes_of_a_group_within_two_minutes(cloud: Cloud) -> None:
    """Rule G13; the moment is one of the wall clock, at any speed."""
    at = datetime.now(UTC) + timedelta(seconds=3)
    action = {
        "Type": "AWS::AutoScaling::ScheduledAction",
        "Properties": {
            **{"AutoScalingGroupName": ref("Group"), "MinSize": 2, "DesiredCapacity": 3},
            "StartTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        },
    }
    name = cloud.create("scheduled", {**resources(JOINS), "Action": action}, {"Name": ref("Group")})["Name"]
    assert described(cloud, name)["DesiredCapacity"] == 1
    autoscaling, deadline = cloud.client("autoscaling"), at + timedelta(seconds=120)
    while described(cloud, name)["DesiredCapacity"] == 1 and datetime.now(UTC) < deadline:
        time.sleep(0.2)
    found = described(cloud, name)
    assert (found["MinSize"], found["MaxSize"], found["DesiredCapacity"]) == (2, 3, 3)
    assert datetime.now(UTC) >= at.replace(microsecond=0)
    # It does not recur, and is over.
    told = autoscaling.describe_scheduled_actions(AutoScalingGroupName=name)["ScheduledUpdateGroupActions"]
    assert told == []
    for wrong, reason in (
        ({"Recurrence": "30 6 * *", "MinSize": 1}, "Given recurrence string: 30 6 [*] [*] is invalid"),
        (
            {"Recurrence": "30 6 * * *", "MinSize": 1, "TimeZone": "Mars/Olympus"},
            "Given time zone: Mars/Olympus is inv",
        ),
        ({"Recurrence": "30 6 * * *"}, "at least one of MinSize, MaxSize, DesiredCapacity"),
        ({"MinSize": 1}, "a start time or a recurrence"),
    ):
        with pytest.raises(ClientError, match=reason):
            autoscaling.put_scheduled_update_group_action(
                AutoScalingGroupName=name, ScheduledActionName="wrong", **wrong
            )
    cloud.delete("scheduled")
