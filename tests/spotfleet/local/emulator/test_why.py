"""What an environment of the embedded AWS tells of its failures, 60 times faster than on AWS and without Docker."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError
from sceptre.stack import Stack

from spotfleet.behaviour import refusals
from spotfleet.behaviour.refusals import MACHINE, REFUSALS
from spotfleet.stacks import gather
from spotfleet.stacks.causes import first_cause
from spotfleet.stacks.causes.first_cause import Explanation
from tests.support.clouds import REGION, Cloud, get, ref, running, template

SECONDS = 60


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded AWS."""
    with running(Path(tmp_path_factory.mktemp("server"), "log"), LOCAL_SPEED="60") as started:
        yield started


def explained(cloud: Cloud, *names: str) -> Explanation:
    """Return what `spotfleet why` says of stacks, by way of Sceptre's own class of them."""

    def call(service: str, command: str, kwargs: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  # boto3's
        return getattr(cloud.client(service), command)(**kwargs or {})

    stacks = [
        Stack(f"dev/{name}", "x", REGION, external_name=name, template_handler_config={"path": "x"}) for name in names
    ]
    for stack in stacks:
        stack._connection_manager = Mock(call=call, get_session=lambda: Mock(client=cloud.client))
    return first_cause.explain(gather.gather(stacks))


def kind_of(cloud: Cloud, *names: str) -> str | None:
    found = explained(cloud, *names).cause
    return found.kind if found else None


@contextmanager
def refused(cloud: Cloud, kind: str, resource_type: str = "") -> Iterator[None]:
    """Let the embedded AWS refuse something for the block, as `spotfleet refuse` does."""
    name = refusals.parameter_of(resource_type or REFUSALS[kind].type)
    cloud.client("ssm").put_parameter(Name=name, Value=kind, Type="String", Overwrite=True)
    yield
    cloud.client("ssm").delete_parameter(Name=name)


def begin(cloud: Cloud, name: str, resources: dict[str, Any]) -> None:
    cloud.client("cloudformation").create_stack(StackName=name, TemplateBody=template(resources, None))


def ended(cloud: Cloud, name: str) -> str:
    """Return a stack's state once nothing changes it any more."""

    def status() -> str:
        found: str = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return found

    wait(lambda: not status().endswith("_IN_PROGRESS"))
    return status()


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def failed(cloud: Cloud, name: str, resources: dict[str, Any]) -> Explanation:
    """Create a stack that fails, and return why."""
    begin(cloud, name, resources)
    assert ended(cloud, name) == "ROLLBACK_COMPLETE"
    found = explained(cloud, name)
    cloud.delete(name)
    return found


VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}
RECORD = {
    "Type": "AWS::Route53::RecordSet",
    "Properties": {
        "HostedZoneId": "Z1",
        "Name": "app.example.com",
        "Type": "A",
        "TTL": "60",
        "ResourceRecords": ["1.2.3.4"],
    },
}
ACL = {
    "Type": "AWS::WAFv2::WebACL",
    "Properties": {
        "DefaultAction": {"Allow": {}},
        "Scope": "REGIONAL",
        "VisibilityConfig": {"CloudWatchMetricsEnabled": False, "MetricName": "m", "SampledRequestsEnabled": False},
    },
}


@pytest.mark.parametrize(
    ("refusal", "resource", "kind", "word"),
    [
        ("vpcs", VPC, "quota", "L-F678F1CE"),
        ("addresses", {"Type": "AWS::EC2::EIP"}, "quota", "L-0263D0A3"),
        ("web_acls", ACL, "quota", "wafv2"),
        ("permission", ROLE, "permission_denied", "iam:CreateRole"),
        ("throttling", ROLE, "throttled", "launch again"),
        ("name", {"Type": "AWS::ECR::Repository"}, "name_taken", "project_code"),
        (
            "certificate",
            {"Type": "AWS::CertificateManager::Certificate", "Properties": {"DomainName": "app.example.com"}},
            "certificate_failed",
            "CAA",
        ),
        ("zone", RECORD, "hosted_zone_missing", "hosted_zone_id"),
        ("service_role", {"Type": "AWS::ECS::Cluster"}, "service_linked_role", "create-service-linked-role"),
    ],
)
def test_what_aws_refuses_at_a_launch(
    cloud: Cloud, refusal: str, resource: dict[str, Any], kind: str, word: str
) -> None:
    with refused(cloud, refusal):
        found = failed(cloud, "refused", {"It": resource})
    assert found.cause
    assert found.cause.kind == kind
    assert word in found.cause.way_out
    assert found.way[-1] == "dev/refused is ROLLBACK_COMPLETE"


def test_every_refusal_is_made_as_aws_words_it(cloud: Cloud) -> None:
    for kind, refusal in REFUSALS.items():
        assert "{" not in refusals.said(kind, refusal.type, "sg-1"), kind
    with refused(cloud, "permission", "AWS::EC2::VPC"):
        found = failed(cloud, "vpc", {"Vpc": VPC})
    assert found.cause
    assert "ec2:CreateVpc" in found.cause.sentence
    cloud.create("vpc", {"Vpc": VPC})
    assert kind_of(cloud, "vpc") is None
    cloud.delete("vpc")


GROUP = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"VpcId": ref("Vpc"), "GroupDescription": "of a test"}}


@pytest.mark.parametrize(
    ("refusal", "resources", "kind"),
    [
        ("in_use", {"Vpc": VPC, "Group": GROUP}, "in_use"),
        ("bucket", {"Bucket": {"Type": "AWS::S3::Bucket"}}, "bucket_not_empty"),
    ],
)
def test_what_aws_refuses_to_delete(cloud: Cloud, refusal: str, resources: dict[str, Any], kind: str) -> None:
    cloud.create("held", resources)
    with refused(cloud, refusal):
        cloud.client("cloudformation").delete_stack(StackName="held")
        assert ended(cloud, "held") == "DELETE_FAILED"
        assert kind_of(cloud, "held") == kind
    cloud.delete("held")


BALANCER: dict[str, Any] = {
    "Vpc": VPC,
    **{
        f"Subnet{zone}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                **{"VpcId": ref("Vpc"), "CidrBlock": f"10.0.{number}.0/24"},
                "AvailabilityZone": f"eu-west-1{zone.lower()}",
            },
        }
        for number, zone in enumerate("AB")
    },
    "Balancer": {
        "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "Properties": {
            "Subnets": [ref("SubnetA"), ref("SubnetB")],
            "LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "true"}],
        },
    },
    "Listener": {
        "Type": "AWS::ElasticLoadBalancingV2::Listener",
        "Properties": {
            **{"LoadBalancerArn": ref("Balancer"), "Port": 80, "Protocol": "HTTP"},
            "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        },
    },
}


def rule(listener: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Properties": {
            **{"ListenerArn": listener, "Priority": 100},
            "Conditions": [{"Field": "path-pattern", "Values": ["/*"]}],
            "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        },
    }


def test_a_protected_load_balancer_and_a_priority_that_is_taken(cloud: Cloud) -> None:
    made = cloud.create("balancer", BALANCER, {"Listener": ref("Listener"), "Balancer": ref("Balancer")})
    cloud.create("first", {"Rule": rule(made["Listener"])})
    taken = failed(cloud, "second", {"Rule": rule(made["Listener"])}).cause
    assert taken
    assert (taken.kind, "priority 100" in taken.sentence) == ("priority_taken", True)
    cloud.delete("first")
    cloud.client("cloudformation").delete_stack(StackName="balancer")
    assert ended(cloud, "balancer") == "DELETE_FAILED"
    assert kind_of(cloud, "balancer") == "deletion_protection"
    off = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    cloud.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=made["Balancer"], Attributes=off)
    cloud.delete("balancer")


def machines(*, hook: bool = False, share: int = 0) -> dict[str, Any]:
    """Return a group of one machine, which no hook or one holds, with an on-demand share in percent."""
    data = {"ImageId": "ami-1", "InstanceType": "t3.micro"}
    launched = {"LaunchTemplateId": ref("Template"), "Version": get("Template", "LatestVersionNumber")}
    policy = {
        "InstancesDistribution": {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": share},
        "LaunchTemplate": {"LaunchTemplateSpecification": launched, "Overrides": [{"InstanceType": "t3.micro"}]},
    }
    held = {
        **{"LifecycleHookName": "joined", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
        **{"HeartbeatTimeout": 600, "DefaultResult": "ABANDON"},
    }
    properties = {
        **{"MinSize": "1", "MaxSize": "2", "AvailabilityZones": ["eu-west-1a"], "MixedInstancesPolicy": policy},
        **({"LifecycleHookSpecificationList": [held]} if hook else {}),
    }
    return {
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "UpdatePolicy": {"AutoScalingInstanceRefresh": {"Strategy": "Rolling", "Preferences": {}}},
            "Properties": properties,
        },
    }


def test_a_machine_that_never_joins(cloud: Cloud) -> None:
    assert failed(cloud, "silent", machines(hook=True)).as_json()["kind"] == "never_joined"


@pytest.fixture
def fleet(cloud: Cloud) -> Iterator[str]:
    """A group of one Spot machine, and of two at the most."""
    name = cloud.create("fleet", machines(), {"Group": ref("Group")})["Group"]
    assert kind_of(cloud, "fleet") is None
    yield name
    cloud.delete("fleet")


@pytest.mark.parametrize(("refusal", "quota"), [("vcpus", "L-1216C47A"), ("spot_vcpus", "L-34B43A08")])
def test_a_quota_of_machines(cloud: Cloud, fleet: str, refusal: str, quota: str) -> None:
    with refused(cloud, refusal, MACHINE):
        cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=fleet, DesiredCapacity=2)
        wait(lambda: kind_of(cloud, "fleet") == "quota")
        found = explained(cloud, "fleet")
    assert found.cause
    assert not found.failed
    assert quota in found.cause.way_out


def test_no_spot_capacity(cloud: Cloud, fleet: str) -> None:
    closed = {"ResourceId": fleet, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    key, until = "spotfleet:closed:spot:t3.micro/eu-west-1a", str(time.time() + SECONDS)
    cloud.client("autoscaling").create_or_update_tags(Tags=[{**closed, "Key": key, "Value": until}])
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=fleet, DesiredCapacity=2)
    wait(lambda: kind_of(cloud, "fleet") == "no_spot_capacity")


@pytest.mark.usefixtures("fleet")
def test_a_refresh_that_is_taken_back(cloud: Cloud) -> None:
    changed = machines(share=100)
    changed["Group"]["UpdatePolicy"]["AutoScalingInstanceRefresh"]["Preferences"] = {
        **{"MaxHealthyPercentage": 100, "SkipMatching": False},
        "AlarmSpecification": {"Alarms": ["none"]},
    }
    cloud.client("cloudformation").update_stack(StackName="fleet", TemplateBody=template(changed, None))
    assert ended(cloud, "fleet") == "UPDATE_ROLLBACK_COMPLETE"
    found = explained(cloud, "fleet").cause
    assert found
    assert (found.kind, "none" in found.sentence) == ("refresh_rolled_back", True)


def test_keys_that_aws_does_not_take(cloud: Cloud) -> None:
    session = boto3.Session("local", "of another start", region_name=REGION)
    with pytest.raises(ClientError) as caught:
        session.client("cloudformation", endpoint_url=cloud.url).describe_stacks()
    found = first_cause.refused_at_all(str(caught.value), "dev")
    assert found
    assert found.kind == "expired_credentials"
