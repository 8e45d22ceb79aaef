"""What an update of a stack is, and in which order it goes: rules F1 and F2, 60 times faster than on AWS."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from spotfleet.facts.machine_images import ECS_IMAGES, IMAGE_ID, OWNER
from spotfleet.local.host import paths
from tests.support import signed
from tests.support.clouds import REGION, Cloud, get, ref, running, template

PATH = ECS_IMAGES["x86_64"] + IMAGE_ID
NEWER = "ami-0123456789abcdef1"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded AWS, with a cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SPEED", "60")
        with running(Path(tmp_path_factory.mktemp("server"), "log")) as started:
            started.client("ecs").create_cluster(clusterName="default")
            yield started


def ssm_of(cloud: Cloud, account: str) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
    """Return a client that acts in an account."""
    session = boto3.Session(account, signed.key(paths.ROOT, cloud.port), region_name=REGION)
    return session.client("ssm", endpoint_url=cloud.url)


def test_a_newer_machine_image_rolls_the_machines_with_the_next_update(cloud: Cloud) -> None:
    """Rule F2: the same template twice, and another value behind the parameter that it names."""
    parameters = {"ImageId": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": PATH}}
    launched = {"LaunchTemplateId": ref("Template"), "Version": get("Template", "LatestVersionNumber")}
    size = {"MinSize": "1", "MaxSize": "2", "AvailabilityZones": ["eu-west-1a"]}
    data = {"ImageId": ref("ImageId"), "InstanceType": "t3.micro"}
    resources = {
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "UpdatePolicy": {"AutoScalingRollingUpdate": {"MinInstancesInService": "0"}},
            "Properties": {**size, "LaunchTemplate": launched},
        },
    }
    outputs = {"Name": ref("Group")}
    name = cloud.create("images", resources, outputs, parameters)["Name"]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloud.update("images", resources, outputs, parameters)
    before = images(cloud, name)
    ssm_of(cloud, OWNER).put_parameter(Name=PATH, Value=NEWER, Type="String", Overwrite=True)
    cloud.update("images", resources, outputs, parameters)
    after = images(cloud, name)
    assert list(after.values()) == [NEWER]
    assert list(before.values()) != [NEWER]
    assert before.keys().isdisjoint(after)
    (told,) = cloud.client("ec2").describe_images(ImageIds=[NEWER])["Images"]
    assert (told["Name"], told["Architecture"]) == ("al2023-ami-ecs-hvm-2023.0.20261108-kernel-6.1-x86_64", "x86_64")
    cloud.delete("images")


def images(cloud: Cloud, group: str) -> dict[str, str]:
    """Return the image of each machine of a group that does not leave."""
    groups = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    members = [
        item["InstanceId"]
        for item in groups["AutoScalingGroups"][0]["Instances"]
        if not item["LifecycleState"].startswith("Terminating")
    ]
    reservations = cloud.client("ec2").describe_instances(InstanceIds=members)["Reservations"]
    return {item["InstanceId"]: item["ImageId"] for found in reservations for item in found["Instances"]}


def test_nobody_but_its_owner_publishes_a_machine_image(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="No access to reserved parameter name"):
        cloud.client("ssm").put_parameter(Name=PATH, Value="ami-1", Type="String", Overwrite=True)
    with pytest.raises(ClientError, match="No access to reserved parameter name"):
        ssm_of(cloud, OWNER).put_parameter(Name="/aws/service/mine", Value="ami-1", Type="String")


TOPIC: dict[str, Any] = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "a"}}


@pytest.mark.parametrize(
    ("changes", "is_update"),
    [
        # What AWS's page has, as far as measurements do not say otherwise.
        ({"Conditions": {"Other": {"Fn::Equals": ["a", "a"]}}}, False),
        ({"Parameters": {"Unused": {"Type": "String", "Default": "x"}}}, False),
        ({"Resources": {"Topic": {**TOPIC, "UpdatePolicy": {"UseOnlineResharding": True}}}}, False),
        ({"Resources": {"Topic": {**TOPIC, "DependsOn": []}}}, False),
        ({"Description": "other"}, False),
        ({"Resources": {"Topic": {**TOPIC, "Metadata": {"why": "to make it one"}}}}, True),
        ({"Resources": {"Topic": {**TOPIC, "DeletionPolicy": "Retain"}}}, True),
        ({"Outputs": {"Topic": {"Value": ref("Topic")}, "More": {"Value": "x"}}}, True),
        # What an output has of a resource is not known before.
        ({"Outputs": {"Topic": {"Value": get("Topic", "TopicName")}}}, True),
    ],
)
def test_what_is_no_update(cloud: Cloud, changes: dict[str, Any], is_update: bool) -> None:
    cloudformation = cloud.client("cloudformation")
    before = {"Resources": {"Topic": TOPIC}, "Outputs": {"Topic": {"Value": ref("Topic")}}}
    cloud.create("same", before["Resources"], {"Topic": ref("Topic")})
    body = json.dumps(before | changes)
    if is_update:
        cloudformation.update_stack(StackName="same", TemplateBody=body)
        cloudformation.get_waiter("stack_update_complete").wait(StackName="same", WaiterConfig={"Delay": 0.1})
    else:
        with pytest.raises(ClientError, match="No updates are to be performed"):
            cloudformation.update_stack(StackName="same", TemplateBody=body)
    cloud.delete("same")


def test_a_change_set_of_outputs_alone_can_be_executed(cloud: Cloud) -> None:
    cloudformation = cloud.client("cloudformation")
    cloud.create("told", {"Topic": TOPIC}, {"Topic": ref("Topic")})
    place = {"StackName": "told", "ChangeSetName": "more"}
    outputs = {"Topic": ref("Topic"), "More": "x"}
    cloudformation.create_change_set(**place, TemplateBody=template({"Topic": TOPIC}, outputs))
    found = cloudformation.describe_change_set(**place)
    assert (found["Status"], found["ExecutionStatus"], found["Changes"]) == ("CREATE_COMPLETE", "AVAILABLE", [])
    cloudformation.execute_change_set(**place)
    cloudformation.get_waiter("stack_update_complete").wait(StackName="told", WaiterConfig={"Delay": 0.1})
    (stack,) = cloudformation.describe_stacks(StackName="told")["Stacks"]
    assert {item["OutputKey"] for item in stack["Outputs"]} == {"Topic", "More"}
    cloudformation.create_change_set(
        **place | {"ChangeSetName": "none"}, TemplateBody=template({"Topic": TOPIC}, outputs)
    )
    assert cloudformation.describe_change_set(StackName="told", ChangeSetName="none")["Status"] == "FAILED"
    cloud.delete("told")


def service(memory: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # what a template can hold
    """Return a service without tasks and its task definition."""
    container = {"Name": "web", "Image": "web", "Memory": memory}
    definition = {"Family": "web", "ContainerDefinitions": [container]}
    return {
        "Definition": {"Type": "AWS::ECS::TaskDefinition", "Properties": definition},
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {"DesiredCount": 0, "TaskDefinition": ref("Definition"), **more},
        },
    }


def events(cloud: Cloud, stack: str) -> list[tuple[str, str]]:
    """Return what a stack's events tell of its last operation, the first one first."""
    told = cloud.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    lines = [(event["LogicalResourceId"], event["ResourceStatus"]) for event in told]
    return list(reversed(lines[: lines.index((stack, "UPDATE_IN_PROGRESS"))]))


def test_what_was_replaced_goes_when_the_stack_counts_as_updated(cloud: Cloud) -> None:
    """Rule F1: the old revision of a task definition goes in the cleanup, when the service has the new one."""
    outputs = {"Definition": ref("Definition")}
    first = cloud.create("order", service(64), outputs)["Definition"]
    second = cloud.update("order", service(128), outputs)["Definition"]
    assert [line for line in events(cloud, "order") if line[1] != "UPDATE_IN_PROGRESS"] == [
        ("Definition", "UPDATE_COMPLETE"),
        ("Service", "UPDATE_COMPLETE"),
        ("order", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Definition", "DELETE_IN_PROGRESS"),
        ("Definition", "DELETE_COMPLETE"),
        ("order", "UPDATE_COMPLETE"),
    ]
    ecs = cloud.client("ecs")

    def status(definition: str) -> str:
        return str(ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]["status"])

    assert (status(first), status(second)) == ("INACTIVE", "ACTIVE")
    # A service whose update fails, here as its task finds no machine and somebody gives up, keeps the old revision.
    cloudformation = cloud.client("cloudformation")
    cloudformation.update_stack(StackName="order", TemplateBody=template(service(256, DesiredCount=1), outputs))
    while ("Service", "UPDATE_IN_PROGRESS") not in events(cloud, "order"):
        time.sleep(0.1)
    cloudformation.cancel_update_stack(StackName="order")
    cloudformation.get_waiter("stack_rollback_complete").wait(StackName="order", WaiterConfig={"Delay": 0.1})
    assert status(second) == "ACTIVE"
    cloud.delete("order")
