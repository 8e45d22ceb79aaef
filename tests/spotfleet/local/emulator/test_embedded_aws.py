"""The embedded AWS, run without Docker: what it adds to MiniStack, seen through the public APIs."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.backchannel import scaling_activities
from spotfleet.local.controllers import alarms, service_scaling
from spotfleet.local.emulator import application_autoscaling
from spotfleet.local.host import paths
from tests.support.clouds import REGION, Cloud, get, identity, ref, running, template

ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run the embedded AWS without a Docker engine, so fast that nobody waits until a service is steady."""
    with running(tmp_path_factory.mktemp("server") / "log", LOCAL_SPEED="60") as started:
        yield started


NETWORK = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "SubnetA": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": ref("Vpc"), "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "eu-west-1a"},
    },
    "SubnetB": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": ref("Vpc"), "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "eu-west-1b"},
    },
}


def test_it_listens_on_loopback_only(cloud: Cloud) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f"{cloud.port:04X}"
    addresses = [entry[1] for entry in listening if entry[1].endswith(f":{port}") and entry[3] == "0A"]
    assert addresses == [f"0100007F:{port}"]
    ipv6 = Path("/proc/net/tcp6").read_text() if Path("/proc/net/tcp6").exists() else ""
    assert f":{port} " not in ipv6


def test_it_says_who_it_is_and_which_stacks_it_has(cloud: Cloud) -> None:
    cloud.create("who", {"Vpc": NETWORK["Vpc"]})
    answer = identity(cloud)
    assert (answer["folder"], answer["pid"]) == (str(paths.ROOT), cloud.pid)
    assert {"name": "who", "region": REGION} in answer["stacks"]
    cloud.delete("who")
    assert "who" not in [stack["name"] for stack in identity(cloud)["stacks"]]


def test_every_type_of_the_templates_is_known(cloud: Cloud) -> None:
    texts = [path.read_text() for path in Path(paths.ROOT, "templates").glob("*.j2")]
    types = {name for text in texts for name in re.findall(r"^ +Type: (AWS::\w+::\w+)$", text, re.MULTILINE)}
    types -= {"AWS::EC2::VPC::Id"}
    assert "AWS::ECS::Service" in types
    resources = {f"R{number}": {"Type": name} for number, name in enumerate(sorted(types))}
    cloud.client("cloudformation").validate_template(TemplateBody=template(resources, None))


def test_unknown_type_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        cloud.client("cloudformation").validate_template(TemplateBody=template({"A": {"Type": "AWS::No::Such"}}, None))


def test_vpc_tells_its_network(cloud: Cloud) -> None:
    outputs = cloud.create("cidr", {"Vpc": NETWORK["Vpc"]}, {"Cidr": get("Vpc", "CidrBlock")})
    assert outputs == {"Cidr": "10.0.0.0/16"}
    cloud.delete("cidr")


def test_a_record_brings_the_zone_that_the_user_has_on_aws(cloud: Cloud) -> None:
    target = {"DNSName": "balancer.example.com", "HostedZoneId": "Z2", "EvaluateTargetHealth": False}
    records = {
        kind: {
            "Type": "AWS::Route53::RecordSet",
            "Properties": {"HostedZoneId": "Z1", "Name": "app.example.com", "Type": kind, "AliasTarget": target},
        }
        for kind in ("A", "AAAA")
    }
    cloud.create("records", records)
    route53 = cloud.client("route53")
    assert route53.get_hosted_zone(Id="Z1")["HostedZone"]["Name"] == "example.com."
    found = route53.list_resource_record_sets(HostedZoneId="Z1")["ResourceRecordSets"]
    assert {record["Type"] for record in found if record["Name"] == "app.example.com."} == {"A", "AAAA"}
    cloud.delete("records")
    # Refused while a record is left.
    route53.delete_hosted_zone(Id="Z1")


def test_stack_names_its_notification_topics(cloud: Cloud) -> None:
    cloud.create("topics", {"Vpc": NETWORK["Vpc"]})
    stacks = cloud.client("cloudformation").describe_stacks(StackName="topics")["Stacks"]
    assert stacks[0]["NotificationARNs"] == []
    cloud.delete("topics")


def test_elastic_ip_and_nat_gateway(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    resources: dict[str, Any] = {
        **NETWORK,
        "Address": {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc", "Tags": [{"Key": "Name", "Value": "a"}]}},
        "Nat": {
            "Type": "AWS::EC2::NatGateway",
            "Properties": {"SubnetId": ref("SubnetA"), "AllocationId": get("Address", "AllocationId")},
        },
    }
    outputs = {
        "Ip": ref("Address"),
        "Allocation": get("Address", "AllocationId"),
        "Nat": ref("Nat"),
        "NatId": get("Nat", "NatGatewayId"),
        "Subnet": ref("SubnetA"),
    }
    made = cloud.create("nat", resources, outputs)
    assert made["Nat"] == made["NatId"]

    def address() -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_addresses(AllocationIds=[made["Allocation"]])["Addresses"][0]
        return found

    def gateway() -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_nat_gateways(NatGatewayIds=[made["Nat"]])["NatGateways"][0]
        return found

    assert address()["PublicIp"] == made["Ip"]
    assert {"Key": "Name", "Value": "a"} in address()["Tags"]
    assert (gateway()["State"], gateway()["SubnetId"]) == ("available", made["Subnet"])

    resources["Address"]["Properties"]["Tags"][0]["Value"] = "b"
    resources["Nat"]["Properties"]["Tags"] = [{"Key": "Name", "Value": "n"}]
    assert cloud.update("nat", resources, outputs) == made
    assert {"Key": "Name", "Value": "b"} in address()["Tags"]
    assert {"Key": "Name", "Value": "n"} in gateway()["Tags"]

    resources["Nat"]["Properties"]["SubnetId"] = ref("SubnetB")
    moved = cloud.update("nat", resources, outputs)
    assert moved["Nat"] != made["Nat"]
    assert gateway()["State"] == "deleted"

    cloud.delete("nat")
    assert all(item["PublicIp"] != made["Ip"] for item in ec2.describe_addresses()["Addresses"])
    assert ec2.describe_nat_gateways(NatGatewayIds=[moved["Nat"]])["NatGateways"][0]["State"] == "deleted"


def test_deletion_of_what_is_gone_succeeds(cloud: Cloud) -> None:
    outputs = {"Allocation": get("Address", "AllocationId")}
    made = cloud.create("gone", {"Address": {"Type": "AWS::EC2::EIP"}}, outputs)
    cloud.client("ec2").release_address(AllocationId=made["Allocation"])
    cloud.delete("gone")


def test_security_group_rules(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": ref("Vpc")}}
    resources: dict[str, Any] = {
        **NETWORK,
        "Front": group,
        "Back": group,
        "In": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": ref("Back"),
                "SourceSecurityGroupId": ref("Front"),
                "IpProtocol": "tcp",
                "FromPort": "32768",
                "ToPort": 65535,
                "Description": "tasks",
            },
        },
        "Out": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {
                "GroupId": ref("Back"),
                "CidrIp": "10.0.0.0/16",
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
            },
        },
    }
    outputs = {"In": ref("In"), "InId": get("In", "Id"), "Out": ref("Out"), "Front": ref("Front"), "Back": ref("Back")}
    made = cloud.create("rules", resources, outputs)
    assert made["In"] == made["InId"]

    def rules() -> dict[str, dict[str, Any]]:
        filters = [{"Name": "group-id", "Values": [made["Back"]]}]
        found = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return {rule["SecurityGroupRuleId"]: rule for rule in found}

    inward = rules()[made["In"]]
    assert (inward["FromPort"], inward["ToPort"], inward["Description"]) == (32768, 65535, "tasks")
    assert inward["ReferencedGroupInfo"]["GroupId"] == made["Front"]
    assert rules()[made["Out"]]["IsEgress"] is True

    resources["In"]["Properties"]["Description"] = "tasks of the service"
    assert cloud.update("rules", resources, outputs)["In"] == made["In"]
    assert rules()[made["In"]]["Description"] == "tasks of the service"

    resources["In"]["Properties"]["ToPort"] = 60999
    changed = cloud.update("rules", resources, outputs)
    assert made["In"] not in rules()
    assert rules()[changed["In"]]["ToPort"] == 60999
    cloud.delete("rules")
    assert rules() == {}


def test_flow_log(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    properties: dict[str, Any] = {
        "ResourceId": ref("Vpc"),
        "ResourceType": "VPC",
        "TrafficType": "REJECT",
        "LogDestinationType": "s3",
        "LogDestination": "arn:aws:s3:::logs",
        "Tags": [{"Key": "Name", "Value": "log"}],
    }
    resources = {**NETWORK, "Log": {"Type": "AWS::EC2::FlowLog", "Properties": properties}}
    outputs = {"Log": ref("Log"), "Id": get("Log", "Id")}
    made = cloud.create("flow", resources, outputs)
    assert made["Log"] == made["Id"]
    log = ec2.describe_flow_logs(FlowLogIds=[made["Log"]])["FlowLogs"][0]
    assert log["TrafficType"] == "REJECT"
    assert {"Key": "Name", "Value": "log"} in log["Tags"]
    properties["TrafficType"] = "ALL"
    changed = cloud.update("flow", resources, outputs)
    assert [item["FlowLogId"] for item in ec2.describe_flow_logs()["FlowLogs"]] == [changed["Log"]]
    cloud.delete("flow")
    assert ec2.describe_flow_logs()["FlowLogs"] == []


def test_ipv6_network_with_its_subnets_and_way_out(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    blocks = {"Fn::Cidr": [{"Fn::Select": [0, get("Vpc", "Ipv6CidrBlocks")]}, 6, 64]}
    resources: dict[str, Any] = {
        "Vpc": NETWORK["Vpc"],
        "Ipv6": {
            "Type": "AWS::EC2::VPCCidrBlock",
            "Properties": {"VpcId": ref("Vpc"), "AmazonProvidedIpv6CidrBlock": True},
        },
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "DependsOn": "Ipv6",
            "Properties": {
                "VpcId": ref("Vpc"),
                "CidrBlock": "10.0.0.0/24",
                "Ipv6CidrBlock": {"Fn::Select": [1, blocks]},
                "AssignIpv6AddressOnCreation": True,
            },
        },
        "Gateway": {"Type": "AWS::EC2::EgressOnlyInternetGateway", "Properties": {"VpcId": ref("Vpc")}},
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}},
        "Route": {
            "Type": "AWS::EC2::Route",
            "Properties": {
                "RouteTableId": ref("Table"),
                "DestinationIpv6CidrBlock": "::/0",
                "EgressOnlyInternetGatewayId": ref("Gateway"),
            },
        },
    }
    outputs = {name: ref(name) for name in ("Vpc", "Subnet", "Gateway", "Table", "Ipv6")}
    made = cloud.create("ipv6", resources, outputs)

    def network() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ec2.describe_vpcs(VpcIds=[made["Vpc"]])["Vpcs"][0].get(
            "Ipv6CidrBlockAssociationSet", []
        )
        return found

    assert [item["AssociationId"] for item in network()] == [made["Ipv6"]]
    subnet = ec2.describe_subnets(SubnetIds=[made["Subnet"]])["Subnets"][0]
    block = subnet["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    assert block.endswith("/64")
    assert IPv6Network(block).subnet_of(IPv6Network(network()[0]["Ipv6CidrBlock"]))
    assert subnet["AssignIpv6AddressOnCreation"] is True
    routes = ec2.describe_route_tables(RouteTableIds=[made["Table"]])["RouteTables"][0]["Routes"]
    assert made["Gateway"] in [route.get("EgressOnlyInternetGatewayId") for route in routes]

    resources["Gateway"]["Properties"]["Tags"] = [{"Key": "Name", "Value": "out"}]
    assert cloud.update("ipv6", resources, outputs) == made
    gateways = ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[made["Gateway"]])
    assert {"Key": "Name", "Value": "out"} in gateways["EgressOnlyInternetGateways"][0]["Tags"]

    for name in ("Route", "Subnet", "Ipv6", "Gateway"):
        del resources[name]
    cloud.update("ipv6", resources, {"Vpc": ref("Vpc")})
    assert network() == []
    assert ec2.describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"] == []
    cloud.delete("ipv6")


def test_a_stack_is_described_with_all_that_it_was_given(cloud: Cloud) -> None:
    """What `sceptre diff` compares: topics, role, and the names of SSM parameters rather than their values."""
    cloudformation = cloud.client("cloudformation")
    path = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    parameters = {"Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"}, "Plain": {"Type": "String"}}
    topic, role = "arn:aws:sns:eu-west-1:000000000000:events", "arn:aws:iam::000000000000:role/cloudformation"

    def given(plain: str, topics: list[str]) -> dict[str, Any]:
        values = [{"ParameterKey": "Image", "ParameterValue": path}, {"ParameterKey": "Plain", "ParameterValue": plain}]
        body = template({"Topic": {"Type": "AWS::SNS::Topic"}}, {"Image": ref("Image")}, parameters)
        return {"StackName": "given", "TemplateBody": body, "Parameters": values, "NotificationARNs": topics}

    def described() -> dict[str, Any]:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName="given")["Stacks"][0]
        return found

    cloudformation.create_stack(**given(path, [topic]), RoleARN=role, TimeoutInMinutes=20)
    assert cloud._finished("given", "stack_create_complete")["Image"].startswith("ami-")
    stack = described()
    assert (stack["NotificationARNs"], stack["RoleARN"], stack["TimeoutInMinutes"]) == ([topic], role, 20)
    found = {item.pop("ParameterKey"): item for item in stack["Parameters"]}
    assert found["Image"] == {"ParameterValue": path, "ResolvedValue": stack["Outputs"][0]["OutputValue"]}
    # The same text is a value where it is meant as one.
    assert found["Plain"] == {"ParameterValue": path}

    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloudformation.update_stack(**given(path, []))
    assert (described()["NotificationARNs"], described()["RoleARN"]) == ([], role)

    change_set = {"StackName": "given", "ChangeSetName": "mine"}
    outputs = {"Image": ref("Image"), "Plain": ref("Plain")}
    body = {
        "TemplateBody": template(
            {"Topic": {"Type": "AWS::SNS::Topic"}, "More": {"Type": "AWS::SNS::Topic"}}, outputs, parameters
        )
    }
    cloudformation.create_change_set(**{**given("other", [topic]), **change_set, **body})
    assert described()["NotificationARNs"] == []
    cloudformation.execute_change_set(**change_set)
    assert cloud._finished("given", "stack_update_complete")["Plain"] == "other"
    assert described()["NotificationARNs"] == [topic]
    cloud.delete("given")


def test_a_template_is_read_from_the_bucket_that_its_url_names(cloud: Cloud) -> None:
    """As Sceptre uploads it with template_bucket_name."""
    s3, cloudformation = cloud.client("s3"), cloud.client("cloudformation")
    s3.create_bucket(Bucket="my.templates", CreateBucketConfiguration={"LocationConstraint": REGION})
    body = template({"Topic": {"Type": "AWS::SNS::Topic"}}, {"From": "bucket"})
    s3.put_object(Bucket="my.templates", Key="dev/vpc/a-b.json", Body=body.encode(), ServerSideEncryption="AES256")
    url = f"https://my.templates.s3.{REGION}.amazonaws.com/dev/vpc/a-b.json"
    assert cloudformation.validate_template(TemplateURL=url)["Parameters"] == []
    cloudformation.create_stack(StackName="from-bucket", TemplateURL=url)
    assert cloud._finished("from-bucket", "stack_create_complete") == {"From": "bucket"}
    cloud.delete("from-bucket")
    with pytest.raises(ClientError, match="not found at"):
        cloudformation.validate_template(TemplateURL=url.replace("a-b", "none"))


def test_an_assumed_role_works_in_the_one_account_that_is_here(cloud: Cloud) -> None:
    role = "arn:aws:iam::123456789012:role/team/deployer"
    answer = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="sceptre")
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/deployer/sceptre"
    given = answer["Credentials"]
    session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], REGION)
    cloudformation = session.client("cloudformation", endpoint_url=cloud.url, config=Config(proxies={}))
    cloudformation.create_stack(StackName="by-role", TemplateBody=template({"Topic": {"Type": "AWS::SNS::Topic"}}, {}))
    cloud._finished("by-role", "stack_create_complete")
    assert f":{ACCOUNT}:" in cloudformation.describe_stacks(StackName="by-role")["Stacks"][0]["StackId"]
    cloud.delete("by-role")
    with pytest.raises(ClientError, match="no-arn"):
        cloud.client("sts").assume_role(RoleArn="no-arn-of-any-role-at-all", RoleSessionName="sceptre")


def test_ipv6_subnet_needs_the_network_first(cloud: Cloud) -> None:
    block = {"Fn::Select": [0, {"Fn::Cidr": [{"Fn::Select": [0, get("Vpc", "Ipv6CidrBlocks")]}, 6, 64]}]}
    resources = changed({name: NETWORK[name] for name in ("Vpc", "SubnetA")}, "SubnetA", Ipv6CidrBlock=block)
    with pytest.raises(AssertionError, match="the VPC has no IPv6 network"):
        cloud.create("early", resources)
    # Nothing is left of the attempt that would hold the VPC.
    assert cloud.client("cloudformation").describe_stacks(StackName="early")["Stacks"][0]["StackStatus"] == (
        "ROLLBACK_COMPLETE"
    )
    cloud.delete("early")


def test_nat_instance(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    properties: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": ref("Template"), "Version": get("Template", "LatestVersionNumber")},
        "SourceDestCheck": False,
        "NetworkInterfaces": [
            {
                "DeviceIndex": "0",
                "AssociatePublicIpAddress": True,
                "SubnetId": ref("SubnetA"),
                "GroupSet": [get("Group", "GroupId")],
            }
        ],
        "UserData": {"Fn::Base64": "#!/bin/bash"},
        "CreditSpecification": {"CPUCredits": "standard"},
        "IamInstanceProfile": ref("Profile"),
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": "8", "Encrypted": True}}],
    }
    resources: dict[str, Any] = {
        **NETWORK,
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": ref("Vpc")}},
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": []}},
        "Template": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {
                "LaunchTemplateData": {
                    "ImageId": ref("Image"),
                    "InstanceType": "t4g.nano",
                    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
                }
            },
        },
        "Machine": {
            "Type": "AWS::EC2::Instance",
            # Nobody sends the signal here, and the stack does not wait for it.
            "CreationPolicy": {"ResourceSignal": {"Timeout": "PT10M"}},
            "Properties": properties,
        },
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}},
        "Route": {
            "Type": "AWS::EC2::Route",
            "Properties": {
                "RouteTableId": ref("Table"),
                "DestinationCidrBlock": "0.0.0.0/0",
                "InstanceId": ref("Machine"),
            },
        },
    }
    image = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    parameter = {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": image}
    outputs = {
        "Machine": ref("Machine"),
        "Ip": get("Machine", "PrivateIp"),
        "Group": get("Group", "GroupId"),
        "Table": ref("Table"),
    }

    made = cloud.create("nat-instance", resources, outputs, {"Image": parameter})

    def machine(instance_id: str) -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return found

    found = machine(made["Machine"])
    assert (found["InstanceType"], found["SourceDestCheck"]) == ("t4g.nano", False)
    assert found["PrivateIpAddress"] == made["Ip"]
    assert [group["GroupId"] for group in found["SecurityGroups"]] == [made["Group"]]
    expected = cloud.client("ssm").get_parameter(Name=image)["Parameter"]["Value"]
    assert found["ImageId"] == expected
    assert "arm64" in ec2.describe_images(ImageIds=[expected])["Images"][0]["Name"]
    routes = ec2.describe_route_tables(RouteTableIds=[made["Table"]])["RouteTables"][0]["Routes"]
    assert made["Machine"] in [route.get("InstanceId") for route in routes]

    properties["Tags"] = [{"Key": "Name", "Value": "nat"}]
    properties["SourceDestCheck"] = True
    assert cloud.update("nat-instance", resources, outputs, {"Image": parameter}) == made
    assert machine(made["Machine"])["SourceDestCheck"] is True
    assert {"Key": "Name", "Value": "nat"} in machine(made["Machine"])["Tags"]

    properties["UserData"] = {"Fn::Base64": "#!/bin/sh"}
    replaced = cloud.update("nat-instance", resources, outputs, {"Image": parameter})
    assert machine(made["Machine"])["State"]["Name"] == "terminated"
    cloud.delete("nat-instance")
    assert machine(replaced["Machine"])["State"]["Name"] == "terminated"


def web_acl(name: str) -> dict[str, Any]:
    """Return a web ACL that lets everything in."""
    metrics = {"CloudWatchMetricsEnabled": True, "SampledRequestsEnabled": False, "MetricName": name}
    return {
        "Type": "AWS::WAFv2::WebACL",
        "Properties": {"Scope": "REGIONAL", "DefaultAction": {"Allow": {}}, "VisibilityConfig": metrics},
    }


def test_web_acl_of_a_load_balancer(cloud: Cloud) -> None:
    waf = cloud.client("wafv2")
    resources: dict[str, Any] = {
        **NETWORK,
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Subnets": [ref("SubnetA"), ref("SubnetB")]},
        },
        "First": web_acl("First"),
        "Second": web_acl("Second"),
        "Association": {
            "Type": "AWS::WAFv2::WebACLAssociation",
            "Properties": {"ResourceArn": ref("Balancer"), "WebACLArn": get("First", "Arn")},
        },
    }
    outputs = {"Balancer": ref("Balancer"), "First": get("First", "Arn"), "Second": get("Second", "Arn")}
    made = cloud.create("waf", resources, outputs)

    def before_the_balancer() -> str:
        arn: str = waf.get_web_acl_for_resource(ResourceArn=made["Balancer"])["WebACL"]["ARN"]
        return arn

    assert before_the_balancer() == made["First"]
    resources["Association"]["Properties"]["WebACLArn"] = get("Second", "Arn")
    cloud.update("waf", resources, outputs)
    assert before_the_balancer() == made["Second"]
    del resources["Association"]
    cloud.update("waf", resources, outputs)
    with pytest.raises(ClientError, match="WAFNonexistentItemException"):
        before_the_balancer()
    cloud.delete("waf")


def test_log_of_a_web_acl(cloud: Cloud) -> None:
    waf = cloud.client("wafv2")
    group: dict[str, Any] = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "aws-waf-logs-mine"}}
    logging: dict[str, Any] = {
        "Type": "AWS::WAFv2::LoggingConfiguration",
        "Properties": {
            "ResourceArn": get("Acl", "Arn"),
            "LogDestinationConfigs": [
                {"Fn::Sub": "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Group}"},
            ],
            "RedactedFields": [{"SingleHeader": {"Name": "cookie"}}, {"QueryString": {}}],
        },
    }
    resources: dict[str, Any] = {"Acl": web_acl("Acl"), "Group": group, "Logging": logging}
    made = cloud.create("waf-log", resources, {"Acl": get("Acl", "Arn")})

    def configuration() -> Any:  # noqa: ANN401  # what boto3 returns
        return waf.get_logging_configuration(ResourceArn=made["Acl"])["LoggingConfiguration"]

    assert configuration()["RedactedFields"] == logging["Properties"]["RedactedFields"]
    assert configuration()["LogDestinationConfigs"][0].endswith(":log-group:aws-waf-logs-mine")
    logging["Properties"]["RedactedFields"] = []
    cloud.update("waf-log", resources, {"Acl": get("Acl", "Arn")})
    assert configuration()["RedactedFields"] == []
    other = {"ResourceArn": made["Acl"], "LogDestinationConfigs": ["arn:aws:logs:eu-west-1:1:log-group:mine"]}
    with pytest.raises(ClientError, match="LOG_DESTINATION"):
        waf.put_logging_configuration(LoggingConfiguration=other)
    del resources["Logging"]
    cloud.update("waf-log", resources, {"Acl": get("Acl", "Arn")})
    with pytest.raises(ClientError, match="WAFNonexistentItemException"):
        configuration()
    cloud.delete("waf-log")


def test_role_keeps_its_path_and_its_boundary(cloud: Cloud) -> None:
    boundary = "arn:aws:iam::123456789012:policy/bounds"
    role: dict[str, Any] = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
            "Path": "/teams/shop/",
            "PermissionsBoundary": boundary,
        },
    }
    made = cloud.create("bounded", {"Role": role}, {"Role": ref("Role")})
    found = cloud.client("iam").get_role(RoleName=made["Role"])["Role"]
    assert (found["Path"], found["PermissionsBoundary"]["PermissionsBoundaryArn"]) == ("/teams/shop/", boundary)
    del role["Properties"]["PermissionsBoundary"]
    cloud.update("bounded", {"Role": role}, {"Role": ref("Role")})
    assert "PermissionsBoundary" not in cloud.client("iam").get_role(RoleName=made["Role"])["Role"]
    cloud.delete("bounded")


def test_operations(cloud: Cloud) -> None:
    """What MiniStack has itself: the resources of certificate, logs, alarms and dashboard, in the templates' form."""
    rule = {"EventPattern": {"source": ["aws.ecs"]}, "Targets": [{"Id": "topic", "Arn": ref("Topic")}]}
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
    }
    statement |= {"Action": "s3:PutObject", "Resource": {"Fn::Sub": "${Bucket.Arn}/*"}}
    publish: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
    }
    alarm: dict[str, Any] = {
        "Namespace": "AWS/ECS",
        "MetricName": "CPUUtilization",
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 80,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": [ref("Topic")],
    }
    resources: dict[str, Any] = {
        "Zone": {"Type": "AWS::Route53::HostedZone", "Properties": {"Name": "example.test"}},
        "Certificate": {
            "Type": "AWS::CertificateManager::Certificate",
            "Properties": {
                "DomainName": "www.example.test",
                "ValidationMethod": "DNS",
                "DomainValidationOptions": [{"DomainName": "www.example.test", "HostedZoneId": ref("Zone")}],
            },
        },
        "Alias": {
            "Type": "AWS::Route53::RecordSet",
            "Properties": {
                "HostedZoneId": ref("Zone"),
                "Name": "www.example.test",
                "Type": "AAAA",
                "AliasTarget": {"DNSName": "balancer.test", "HostedZoneId": "Z32O12XQLNTSW2"},
            },
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "ExpirationInDays": 30}]}},
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": ref("Bucket"),
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            },
        },
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"Subscription": [{"Protocol": "email", "Endpoint": "ops@example.test"}]},
        },
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "Topics": [ref("Topic")],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [{**publish, "Resource": ref("Topic")}]},
            },
        },
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
        "Dashboard": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": '{"widgets": []}'}},
        "Rule": {"Type": "AWS::Events::Rule", "Properties": rule},
    }
    outputs = {name: ref(name) for name in ("Zone", "Certificate", "Bucket", "Topic", "Alarm", "Dashboard", "Rule")}
    made = cloud.create("operations", resources, outputs)
    certificate = cloud.client("acm").describe_certificate(CertificateArn=made["Certificate"])["Certificate"]
    assert certificate["Status"] == "ISSUED"
    records = cloud.client("route53").list_resource_record_sets(HostedZoneId=made["Zone"])["ResourceRecordSets"]
    alias = next(record for record in records if record["Type"] == "AAAA")
    assert alias["AliasTarget"]["DNSName"].startswith("balancer.test")
    s3 = cloud.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=made["Bucket"])["Policy"])
    assert policy["Statement"][0]["Principal"] == statement["Principal"]
    subscriptions = cloud.client("sns").list_subscriptions_by_topic(TopicArn=made["Topic"])["Subscriptions"]
    assert [item["Endpoint"] for item in subscriptions] == ["ops@example.test"]
    cloudwatch, events = cloud.client("cloudwatch"), cloud.client("events")

    def threshold() -> float:
        found: float = cloudwatch.describe_alarms(AlarmNames=[made["Alarm"]])["MetricAlarms"][0]["Threshold"]
        return found

    assert threshold() == 80
    assert json.loads(cloudwatch.get_dashboard(DashboardName=made["Dashboard"])["DashboardBody"]) == {"widgets": []}
    assert [item["Arn"] for item in events.list_targets_by_rule(Rule=made["Rule"])["Targets"]] == [made["Topic"]]

    alarm["Threshold"] = 90
    widget = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 2, "properties": {"markdown": "traffic"}}
    resources["Dashboard"]["Properties"]["DashboardBody"] = json.dumps({"widgets": [widget]})
    assert cloud.update("operations", resources, outputs) == made
    assert threshold() == 90
    assert "traffic" in cloudwatch.get_dashboard(DashboardName=made["Dashboard"])["DashboardBody"]

    cloud.delete("operations")
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []
    assert cloud.client("sns").list_topics()["Topics"] == []
    assert events.list_rules()["Rules"] == []
    assert made["Bucket"] not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert cloud.client("acm").list_certificates()["CertificateSummaryList"] == []
    assert cloud.client("route53").list_hosted_zones()["HostedZones"] == []


GROUP: dict[str, Any] = {
    **NETWORK,
    "Template": {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateData": {"ImageId": "ami-0ec5a12023aaa6464", "InstanceType": "t4g.micro"}},
    },
    "Group": {
        "Type": "AWS::AutoScaling::AutoScalingGroup",
        "Properties": {
            "MinSize": "3",
            "MaxSize": "4",
            "VPCZoneIdentifier": [ref("SubnetA"), ref("SubnetB")],
            "Tags": [{"Key": "Name", "Value": "machine", "PropagateAtLaunch": True}],
            "MixedInstancesPolicy": {
                "InstancesDistribution": {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0},
                "LaunchTemplate": {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateId": ref("Template"),
                        "Version": get("Template", "LatestVersionNumber"),
                    },
                    "Overrides": [{"InstanceType": "t4g.micro"}, {"InstanceType": "t4g.small"}],
                },
            },
        },
    },
}


def changed(resources: dict[str, Any], logical_id: str, **properties: object) -> dict[str, Any]:
    """Return resources in which one has other properties."""
    resource = resources[logical_id]
    return {**resources, logical_id: {**resource, "Properties": {**resource["Properties"], **properties}}}


def test_auto_scaling_group_has_machines(cloud: Cloud) -> None:
    autoscaling, ec2 = cloud.client("autoscaling"), cloud.client("ec2")
    name = cloud.create("group", GROUP, {"Name": ref("Group")})["Name"]

    def group() -> dict[str, Any]:
        found: dict[str, Any] = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        described: dict[str, Any] = found["AutoScalingGroups"][0]
        return described

    def machines() -> list[dict[str, Any]]:
        ids = [instance["InstanceId"] for instance in group()["Instances"]]
        reservations = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        found = {item["InstanceId"]: item for reservation in reservations for item in reservation["Instances"]}
        return [found[instance_id] for instance_id in ids]

    distribution = group()["MixedInstancesPolicy"]["InstancesDistribution"]
    assert (distribution["OnDemandBaseCapacity"], distribution["OnDemandPercentageAboveBaseCapacity"]) == (1, 0)
    assert group()["DesiredCapacity"] == 3
    assert group()["AvailabilityZones"] == ["eu-west-1a", "eu-west-1b"]
    assert [item["AvailabilityZone"] for item in group()["Instances"]] == ["eu-west-1a", "eu-west-1b", "eu-west-1a"]
    assert [machine.get("InstanceLifecycle", "on-demand") for machine in machines()] == ["on-demand", "spot", "spot"]
    assert group()["Instances"][0]["InstanceType"] == "t4g.micro"
    assert {machine["Architecture"] for machine in machines()} == {"arm64"}
    assert {"Key": "Name", "Value": "machine"} in machines()[0]["Tags"]
    shown = autoscaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    assert [item["InstanceType"] for item in shown] == [item["InstanceType"] for item in group()["Instances"]]

    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=4)
    assert len(group()["Instances"]) == 4
    cloud.update("group", changed(GROUP, "Group", MaxSize="6"), {"Name": ref("Group")})
    assert (group()["MaxSize"], group()["DesiredCapacity"]) == (6, 4)
    ids = [machine["InstanceId"] for machine in machines()]
    cloud.delete("group")
    reservations = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    assert {item["State"]["Name"] for reservation in reservations for item in reservation["Instances"]} == {
        "terminated"
    }


@pytest.mark.parametrize(("specification", "mode"), [({"CpuCredits": "standard"}, "standard"), (None, "unlimited")])
def test_machines_tell_how_they_pay_for_cpu(cloud: Cloud, specification: dict[str, str] | None, mode: str) -> None:
    data = GROUP["Template"]["Properties"]["LaunchTemplateData"]
    said = {"CreditSpecification": specification} if specification else {}
    name = cloud.create("credits", changed(GROUP, "Template", LaunchTemplateData=data | said), {"Name": ref("Group")})
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name["Name"]])
    ids = [instance["InstanceId"] for instance in found["AutoScalingGroups"][0]["Instances"]]
    ec2 = cloud.client("ec2")
    told = ec2.describe_instance_credit_specifications(InstanceIds=ids)["InstanceCreditSpecifications"]
    assert told == [{"InstanceId": instance_id, "CpuCredits": mode} for instance_id in ids]
    with pytest.raises(ClientError, match="i-0 does not exist"):
        ec2.describe_instance_credit_specifications(InstanceIds=["i-0"])
    cloud.delete("credits")


@pytest.mark.parametrize(("memory", "types"), [(8192, {"m8g.large"}), (10_000_000, set())])
def test_auto_scaling_group_launches_what_it_requires(cloud: Cloud, memory: int, types: set[str]) -> None:
    policy = json.loads(json.dumps(GROUP["Group"]["Properties"]["MixedInstancesPolicy"]))
    required = {
        **{"VCpuCount": {"Min": 2, "Max": "4"}, "MemoryMiB": {"Min": str(memory), "Max": 2 * memory}},
        **{"CpuManufacturers": ["amazon-web-services"], "InstanceGenerations": ["current"]},
        **{"BurstablePerformance": "excluded", "BareMetal": "excluded"},
    }
    policy["LaunchTemplate"]["Overrides"] = [{"InstanceRequirements": required}]
    name = cloud.create("required", changed(GROUP, "Group", MixedInstancesPolicy=policy), {"Name": ref("Group")})[
        "Name"
    ]
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    group = found["AutoScalingGroups"][0]
    assert group["DesiredCapacity"] == 3
    assert {instance["InstanceType"] for instance in group["Instances"]} == types
    told = group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"][0]["InstanceRequirements"]
    assert (told["MemoryMiB"]["Min"], told["CpuManufacturers"]) == (memory, ["amazon-web-services"])
    cloud.delete("required")


SERVICE: dict[str, Any] = {
    **GROUP,
    "Cluster": {"Type": "AWS::ECS::Cluster"},
    "Provider": {
        "Type": "AWS::ECS::CapacityProvider",
        "Properties": {
            "AutoScalingGroupProvider": {
                "AutoScalingGroupArn": ref("Group"),
                # With it, as on AWS, the group would be held for an hour when the stack is deleted.
                "ManagedDraining": "DISABLED",
                "ManagedScaling": {"Status": "ENABLED", "TargetCapacity": "80"},
                "ManagedTerminationProtection": "DISABLED",
            }
        },
    },
    "Association": {
        "Type": "AWS::ECS::ClusterCapacityProviderAssociations",
        "Properties": {
            "Cluster": ref("Cluster"),
            "CapacityProviders": [ref("Provider")],
            "DefaultCapacityProviderStrategy": [{"CapacityProvider": ref("Provider"), "Weight": 1}],
        },
    },
    "Tasks": {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "Cpu": "256",
            "RuntimePlatform": {"CpuArchitecture": "X86_64"},
            "Volumes": [{"Name": "scratch"}],
            "ContainerDefinitions": [
                {
                    "Name": "web",
                    "Image": "web:1",
                    "Memory": "256",
                    "ReadonlyRootFilesystem": "true",
                    "LinuxParameters": {"InitProcessEnabled": True},
                    "PortMappings": [{"ContainerPort": "5000", "HostPort": 0}],
                    "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "Web"}},
                }
            ],
        },
    },
    "Service": {
        "Type": "AWS::ECS::Service",
        "DependsOn": "Association",
        "Properties": {
            "Cluster": ref("Cluster"),
            "TaskDefinition": ref("Tasks"),
            "CapacityProviderStrategy": [{"CapacityProvider": ref("Provider"), "Weight": 1}],
            "PlacementStrategies": [{"Type": "spread", "Field": "attribute:ecs.availability-zone"}],
            "HealthCheckGracePeriodSeconds": "30",
            "EnableECSManagedTags": "true",
            "PropagateTags": "SERVICE",
        },
    },
}
SERVICE_OUTPUTS = {
    "Cluster": ref("Cluster"),
    "Provider": ref("Provider"),
    "Tasks": ref("Tasks"),
    "Service": ref("Service"),
    "Name": get("Service", "Name"),
}


def test_capacity_provider_and_its_association(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    names = ("Cluster", "Provider", "Association", *GROUP)
    resources = {name: SERVICE[name] for name in names}
    outputs = {"Cluster": ref("Cluster"), "Provider": ref("Provider"), "Association": ref("Association")}
    made = cloud.create("capacity", resources, outputs)
    assert made["Association"] == made["Cluster"]

    def provider() -> dict[str, Any]:
        found = ecs.describe_capacity_providers(capacityProviders=[made["Provider"]])["capacityProviders"]
        assert len(found) == 1
        described: dict[str, Any] = found[0]["autoScalingGroupProvider"]
        return described

    assert provider()["autoScalingGroupArn"].startswith("arn:aws:autoscaling:")
    assert provider()["managedScaling"]["targetCapacity"] == 80
    assert provider()["managedDraining"] == "DISABLED"
    cluster = ecs.describe_clusters(clusters=[made["Cluster"]])["clusters"][0]
    assert cluster["capacityProviders"] == [made["Provider"]]
    assert cluster["defaultCapacityProviderStrategy"][0]["weight"] == 1

    group = SERVICE["Provider"]["Properties"]["AutoScalingGroupProvider"]
    scaling = {"Status": "ENABLED", "TargetCapacity": 100}
    resources = changed(resources, "Provider", AutoScalingGroupProvider={**group, "ManagedScaling": scaling})
    assert cloud.update("capacity", resources, outputs) == made
    assert provider()["managedScaling"]["targetCapacity"] == 100

    without = {name: resource for name, resource in resources.items() if name != "Association"}
    del outputs["Association"]
    cloud.update("capacity", without, outputs)
    assert ecs.describe_clusters(clusters=[made["Cluster"]])["clusters"][0]["capacityProviders"] == []
    cloud.delete("capacity")
    left = ecs.describe_capacity_providers()["capacityProviders"]
    assert made["Provider"] not in [item["name"] for item in left]


def test_a_stack_that_is_deleted_while_it_is_created_leaves_no_service(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    # No machine holds such a task, so the service is never steady.
    large = {**SERVICE["Tasks"]["Properties"]["ContainerDefinitions"][0], "Memory": "100000"}
    body = template(changed(SERVICE, "Tasks", ContainerDefinitions=[large]), None)
    cloud.client("cloudformation").create_stack(StackName="given-up", TemplateBody=body)

    def services() -> list[str]:
        clusters = [arn for arn in ecs.list_clusters()["clusterArns"] if "given-up" in arn]
        return [arn for cluster in clusters for arn in ecs.list_services(cluster=cluster)["serviceArns"]]

    deadline = time.monotonic() + 20
    while not services():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cloud.delete("given-up")
    assert services() == []
    assert not [arn for arn in ecs.list_clusters()["clusterArns"] if "given-up" in arn]


def test_service_with_its_task_definition(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    made = cloud.create("service", SERVICE, SERVICE_OUTPUTS)

    def service() -> dict[str, Any]:
        found: dict[str, Any] = ecs.describe_services(cluster=made["Cluster"], services=[made["Service"]])
        described: dict[str, Any] = found["services"][0]
        return described

    assert service()["serviceName"] == made["Name"]
    assert (service()["runningCount"], service()["desiredCount"]) == (1, 1)
    assert service()["deployments"][0]["rolloutState"] == "COMPLETED"
    assert service()["healthCheckGracePeriodSeconds"] == 30
    assert service()["enableECSManagedTags"] is True
    assert service()["propagateTags"] == "SERVICE"
    assert service()["placementStrategy"] == [{"type": "spread", "field": "attribute:ecs.availability-zone"}]
    definition = ecs.describe_task_definition(taskDefinition=made["Tasks"])["taskDefinition"]
    container = definition["containerDefinitions"][0]
    assert definition["runtimePlatform"] == {"cpuArchitecture": "X86_64"}
    assert definition["volumes"] == [{"name": "scratch"}]
    assert container["linuxParameters"] == {"initProcessEnabled": True}
    assert (container["memory"], container["readonlyRootFilesystem"]) == (256, True)
    assert container["portMappings"][0]["containerPort"] == 5000
    assert container["logConfiguration"]["options"] == {"awslogs-group": "Web"}

    new_container = {**SERVICE["Tasks"]["Properties"]["ContainerDefinitions"][0], "Image": "web:2"}
    resources = changed(SERVICE, "Tasks", ContainerDefinitions=[new_container])
    updated = cloud.update("service", resources, SERVICE_OUTPUTS)
    assert updated["Service"] == made["Service"]
    assert (made["Tasks"][-2:], updated["Tasks"][-2:]) == (":1", ":2")
    assert service()["taskDefinition"] == updated["Tasks"]
    assert len(service()["deployments"]) == 1
    old = ecs.describe_task_definition(taskDefinition=made["Tasks"])["taskDefinition"]
    assert old["status"] == "INACTIVE"

    tasks = ecs.list_tasks(cluster=made["Cluster"])["taskArns"]
    assert len(tasks) == 1
    cloud.delete("service")
    assert ecs.describe_clusters(clusters=[made["Cluster"]])["clusters"] == []
    assert ecs.describe_tasks(tasks=tasks)["tasks"] == []


def test_desired_count_stays_when_the_template_has_none(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    made = cloud.create("count", SERVICE, SERVICE_OUTPUTS)
    place = {"cluster": made["Cluster"], "service": made["Service"]}
    ecs.update_service(**place, desiredCount=3)
    cloud.update("count", changed(SERVICE, "Service", HealthCheckGracePeriodSeconds=60), SERVICE_OUTPUTS)
    service = ecs.describe_services(cluster=made["Cluster"], services=[made["Service"]])["services"][0]
    assert (service["desiredCount"], service["healthCheckGracePeriodSeconds"]) == (3, 60)
    cloud.delete("count")


def test_provider_cannot_leave_while_a_service_uses_it(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    without = {name: resource for name, resource in SERVICE.items() if name not in ("Service", "Tasks")}
    outputs = {"Cluster": ref("Cluster"), "Provider": ref("Provider")}
    made = cloud.create("used", without, outputs)
    container = {"name": "web", "image": "web:1", "memory": 64}
    ecs.register_task_definition(family="used", containerDefinitions=[container])
    ecs.create_service(
        cluster=made["Cluster"],
        serviceName="outside",
        taskDefinition="used",
        desiredCount=1,
        capacityProviderStrategy=[{"capacityProvider": made["Provider"], "weight": 1}],
    )
    with pytest.raises(AssertionError, match="in use and cannot be removed: service outside"):
        cloud.delete("used")
    ecs.delete_service(cluster=made["Cluster"], service="outside", force=True)
    cloud.delete("used")


def test_wrong_property_fails_with_its_name(cloud: Cloud) -> None:
    wrong = [{"Name": "web", "Image": "web:1", "Memory": 64, "LinuxParameters": {"InitProcess": True}}]
    with pytest.raises(AssertionError, match=r"extraneous key \[InitProcess\] is not permitted"):
        cloud.create("wrong", changed({"Tasks": SERVICE["Tasks"]}, "Tasks", ContainerDefinitions=wrong))
    cloud.delete("wrong")


TARGET = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}


def test_scalable_target_and_policy(cloud: Cloud) -> None:
    ecs, scaling = cloud.client("ecs"), cloud.client("application-autoscaling")
    resource_id = {"Fn::Sub": "service/${Cluster}/${Service.Name}"}
    schedule = {
        "ScheduledActionName": "night",
        "Schedule": "cron(0 20 * * ? *)",
        "ScalableTargetAction": {"MinCapacity": 1},
    }
    resources: dict[str, Any] = {
        **SERVICE,
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {
                **TARGET,
                "ResourceId": resource_id,
                "MinCapacity": "2",
                "MaxCapacity": "4",
                "ScheduledActions": [schedule],
            },
        },
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": "cpu",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": ref("Target"),
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": "70",
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                },
            },
        },
    }
    outputs = {**SERVICE_OUTPUTS, "Target": ref("Target"), "Policy": ref("Policy"), "PolicyArn": get("Policy", "Arn")}
    made = cloud.create("scaling", resources, outputs)
    resource = f"service/{made['Cluster']}/{made['Name']}"
    assert made["Target"] == f"{resource}|ecs:service:DesiredCount|ecs"
    assert made["Policy"] == made["PolicyArn"]

    def service() -> dict[str, Any]:
        found: dict[str, Any] = ecs.describe_services(cluster=made["Cluster"], services=[made["Service"]])
        described: dict[str, Any] = found["services"][0]
        return described

    def target() -> dict[str, Any]:
        found: dict[str, Any] = scaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[resource])
        described: dict[str, Any] = found["ScalableTargets"][0]
        return described

    assert (target()["MinCapacity"], target()["MaxCapacity"]) == (2, 4)
    assert service()["desiredCount"] == 2
    policy = scaling.describe_scaling_policies(ServiceNamespace="ecs", ResourceId=resource)["ScalingPolicies"][0]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 70
    names = [item["AlarmName"] for item in policy["Alarms"]]
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {(alarm["ComparisonOperator"], alarm["Threshold"], alarm["EvaluationPeriods"]) for alarm in alarms} == {
        ("GreaterThanThreshold", 70, 3),
        ("LessThanThreshold", 63, 15),
    }
    actions = scaling.describe_scheduled_actions(ServiceNamespace="ecs", ResourceId=resource)["ScheduledActions"]
    assert [action["ScheduledActionName"] for action in actions] == ["night"]

    ecs.update_service(cluster=made["Cluster"], service=made["Service"], desiredCount=4)
    resources = changed(resources, "Target", MaxCapacity=3, ScheduledActions=[])
    assert cloud.update("scaling", resources, outputs) == made
    assert (target()["MaxCapacity"], service()["desiredCount"]) == (3, 3)
    assert scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"] == []

    cloud.delete("scaling")
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"] == []
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


@pytest.fixture
def resource(cloud: Cloud) -> Iterator[str]:
    """Make an ECS service with one task and return its resource id."""
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="c")
    ecs.register_task_definition(family="t", containerDefinitions=[{"name": "web", "image": "web:1", "memory": 64}])
    # Of tasks that need no machine, for here is none.
    ecs.create_service(cluster="c", serviceName="s", taskDefinition="t", desiredCount=1, launchType="FARGATE")
    wait_for_tasks(cloud)
    yield "service/c/s"
    scaling = cloud.client("application-autoscaling")
    for target in scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]:
        scaling.deregister_scalable_target(**TARGET, ResourceId=target["ResourceId"])
    ecs.delete_service(cluster="c", service="s", force=True)
    ecs.delete_cluster(cluster="c")


def wait_for_tasks(cloud: Cloud) -> None:
    """Wait until the scheduler has started as many tasks as the fixture's service wants."""
    cloud.client("ecs").get_waiter("services_stable").wait(
        cluster="c", services=["s"], WaiterConfig={"Delay": 0.1, "MaxAttempts": 200}
    )


def desired_count(cloud: Cloud) -> int:
    """Return the number of tasks that the fixture's service wants."""
    service = cloud.client("ecs").describe_services(cluster="c", services=["s"])["services"][0]
    return int(service["desiredCount"])


@pytest.mark.usefixtures("resource")
def test_a_container_tells_why_it_ended(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    (task,) = ecs.list_tasks(cluster="c")["taskArns"]
    reason = "OutOfMemoryError: Container killed due to memory usage"
    ecs.submit_container_state_change(cluster="c", task=task, containerName="web", exitCode=137, reason=reason)
    (described,) = ecs.describe_tasks(cluster="c", tasks=[task])["tasks"]
    assert [container["reason"] for container in described["containers"]] == [reason]


def test_registering_holds_the_service_within_its_bounds(cloud: Cloud, resource: str) -> None:
    scaling = cloud.client("application-autoscaling")
    place = {**TARGET, "ResourceId": resource}
    arn = scaling.register_scalable_target(**place, MinCapacity=2, MaxCapacity=5)["ScalableTargetARN"]
    assert arn.startswith(f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/")
    assert desired_count(cloud) == 2
    assert scaling.register_scalable_target(**place, MinCapacity=0, MaxCapacity=1)["ScalableTargetARN"] == arn
    assert desired_count(cloud) == 1
    scaling.register_scalable_target(**place, SuspendedState={"ScheduledScalingSuspended": True})
    target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    assert target["SuspendedState"]["ScheduledScalingSuspended"] is True
    assert target["SuspendedState"]["DynamicScalingInSuspended"] is False
    assert scaling.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"] == []


def monitoring(**resolutions: int) -> dict[str, Any]:
    return {
        "metricConfigurations": [
            {"metricNames": [name], "resolutionSeconds": seconds} for name, seconds in resolutions.items()
        ]
    }


@pytest.mark.usefixtures("resource")
def test_another_resolution_of_metrics_is_kept_and_starts_a_deployment(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")

    def deployment() -> str:
        (service,) = ecs.describe_services(cluster="c", services=["s"])["services"]
        return str(next(item["id"] for item in service["deployments"] if item["status"] == "PRIMARY"))

    def resolution() -> dict[str, Any]:
        (service,) = ecs.describe_services(cluster="c", services=["s"])["services"]
        arns = [item["arn"] for item in service["currentServiceRevisions"]]
        (revision,) = ecs.describe_service_revisions(serviceRevisionArns=arns)["serviceRevisions"]
        found: dict[str, Any] = revision.get("monitoring", {})
        return found

    first = deployment()
    ecs.update_service(cluster="c", service="s", monitoring=monitoring(CPUUtilization=60))
    assert deployment() == first
    fine = monitoring(CPUUtilization=20, MemoryUtilization=60)
    ecs.update_service(cluster="c", service="s", monitoring=fine)
    second = deployment()
    assert second != first
    assert resolution() == fine
    ecs.update_service(cluster="c", service="s", monitoring=fine)
    ecs.update_service(cluster="c", service="s", desiredCount=1)
    assert deployment() == second
    assert resolution() == fine


def test_a_policy_by_20_second_metrics_has_alarms_of_that_period(cloud: Cloud, resource: str) -> None:
    scaling = cloud.client("application-autoscaling")
    place = {**TARGET, "ResourceId": resource}
    scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=5)
    names = ["ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilizationHighResolution"]
    for name in names:
        tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType": name}}
        scaling.put_scaling_policy(
            **place,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    periods = {(alarm["MetricName"], alarm["Period"], alarm["EvaluationPeriods"]) for alarm in alarms}
    assert periods == {
        *(("CPUUtilization", 60, 3), ("CPUUtilization", 60, 15)),
        *(("MemoryUtilization", 20, 3), ("MemoryUtilization", 20, 15)),
    }


def test_targets_are_kept_by_region(cloud: Cloud, resource: str) -> None:
    cloud.client("application-autoscaling").register_scalable_target(
        **TARGET, ResourceId=resource, MinCapacity=1, MaxCapacity=2
    )
    elsewhere = cloud.client("application-autoscaling", "eu-central-1")
    assert elsewhere.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []


def test_tags_of_a_target(cloud: Cloud, resource: str) -> None:
    scaling = cloud.client("application-autoscaling")
    place = {**TARGET, "ResourceId": resource}
    arn = scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2, Tags={"a": "1"})["ScalableTargetARN"]
    scaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2"}


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "text"),
    [
        ("register_scalable_target", {"MinCapacity": 1}, "ValidationException", "MaxCapacity is required"),
        (
            "register_scalable_target",
            {"MinCapacity": 3, "MaxCapacity": 2},
            "ValidationException",
            "Maximum capacity cannot be less than minimum capacity",
        ),
        (
            "register_scalable_target",
            {"ResourceId": "service/c/none", "MinCapacity": 1, "MaxCapacity": 2},
            "ValidationException",
            "ECS service doesn't exist: service/c/none",
        ),
        (
            "register_scalable_target",
            {"ServiceNamespace": "nothing", "MinCapacity": 1, "MaxCapacity": 2},
            "ValidationException",
            "at 'serviceNamespace' failed to satisfy constraint",
        ),
        (
            "register_scalable_target",
            {"ServiceNamespace": "lambda", "MinCapacity": 1, "MaxCapacity": 2},
            "ValidationException",
            "Unsupported service namespace",
        ),
        ("deregister_scalable_target", {}, "ObjectNotFoundException", "No scalable target registered"),
        ("put_scaling_policy", {"PolicyName": "p"}, "ObjectNotFoundException", "No scalable target registered"),
        ("delete_scaling_policy", {"PolicyName": "p"}, "ObjectNotFoundException", "No scaling policy found"),
        (
            "put_scheduled_action",
            {"ScheduledActionName": "a", "Schedule": "rate(1 day)"},
            "ObjectNotFoundException",
            "No scalable target registered",
        ),
        (
            "delete_scheduled_action",
            {"ScheduledActionName": "a"},
            "ObjectNotFoundException",
            "No scheduled action found",
        ),
    ],
)
@pytest.mark.usefixtures("resource")
def test_wrong_requests_are_refused(
    cloud: Cloud, operation: str, parameters: dict[str, Any], code: str, text: str
) -> None:
    call = getattr(cloud.client("application-autoscaling"), operation)
    with pytest.raises(ClientError, match=text) as caught:
        call(**{**TARGET, "ResourceId": "service/c/s", **parameters})
    assert caught.value.response["Error"]["Code"] == code
    assert desired_count(cloud) == 1


class Moment:
    """A clock that a test sets, in seconds since 1970, for modules that import `time`."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        """Return the moment."""
        return self.now

    def last_minute(self) -> int:
        """Return the AWS minute that has ended last."""
        return metrics_store.minute(self.now) - 1


@pytest.fixture
def moment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Moment:
    """Let the controllers of this process work on the embedded AWS, by a clock that the test sets."""
    moment = Moment()
    monkeypatch.setattr(embedded_aws, "regions", lambda: [REGION])
    monkeypatch.setattr(clients, "client", cloud.client)
    for module in (alarms, service_scaling, scaling_activities, application_autoscaling):
        monkeypatch.setattr(module, "time", moment)
    return moment


@pytest.fixture
def place(cloud: Cloud, resource: str) -> dict[str, str]:
    """Register the service as a scalable target of 2 to 6 tasks that keeps its CPU use at 70 %."""
    place = {**TARGET, "ResourceId": resource}
    client = cloud.client("application-autoscaling")
    client.register_scalable_target(**place, MinCapacity=2, MaxCapacity=6)
    client.put_scaling_policy(
        **place,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 70,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            "ScaleOutCooldown": 120,
            "ScaleInCooldown": 120,
        },
    )
    wait_for_tasks(cloud)
    return place


def publish_cpu(cloud: Cloud, minute: int, percent: float) -> None:
    """Publish the CPU use of the service in an AWS minute."""
    dimensions = {"ClusterName": "c", "ServiceName": "s"}
    metrics_store.publish(cloud.client("cloudwatch"), "AWS/ECS", {"CPUUtilization": [percent]}, dimensions, minute)


def test_a_service_follows_its_metric_and_its_cooldown(cloud: Cloud, moment: Moment, place: dict[str, str]) -> None:
    judge, follower = alarms.Alarms(), service_scaling.Scaling()
    for minute in range(moment.last_minute() - 2, moment.last_minute() + 1):
        publish_cpu(cloud, minute, 98.0)
    judge.step()
    follower.step()
    assert desired_count(cloud) == 3, "2 tasks at 98 % are as much as 2.8 at 70 %"
    follower.step()
    assert desired_count(cloud) == 3, "a data point is acted upon once"

    moment.now += 60
    publish_cpu(cloud, moment.last_minute(), 98.0)
    judge.step()
    follower.step()
    assert desired_count(cloud) == 3, "in the cooldown the third task counts as an answer to the 98 %"
    wait_for_tasks(cloud)
    moment.now += 60
    publish_cpu(cloud, moment.last_minute(), 98.0)
    judge.step()
    follower.step()
    assert desired_count(cloud) == 5
    changes = scaling_activities.changes(REGION, place)
    assert [(change.before, change.after) for change in changes[:2]] == [(3, 5), (2, 3)]


def test_a_step_of_load_is_followed_when_aws_can_have_seen_it(
    cloud: Cloud, moment: Moment, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules W1, W2 and T2: three whole minutes, the longest publication of 180 s, and a look at :59."""
    monkeypatch.setenv("LOCAL_DELAYS", "slow")
    judge, follower = alarms.Alarms(), service_scaling.Scaling()
    # Far from what other tests published of this service.
    step = metrics_store.end(moment.last_minute()) + 7200
    for minute in range(metrics_store.minute(step), metrics_store.minute(step) + 8):
        publish_cpu(cloud, minute, 140.0)
    counts = {}
    for after in (300, 359, 360, 418, 419):
        moment.now = step + after
        judge.step()
        follower.step()
        counts[after] = desired_count(cloud)
    assert counts == {300: 2, 359: 2, 360: 2, 418: 2, 419: 4}, place


def test_few_samples_of_a_percentile_are_ignored_when_an_alarm_says_so(cloud: Cloud, moment: Moment) -> None:
    """Rule W5: of 20 requests one took 3 s; the 99th percentile needs 1,000."""
    cloudwatch = cloud.client("cloudwatch")
    dimensions = {"LoadBalancer": "app/few/1"}
    alarm = {
        **{"Namespace": "AWS/ApplicationELB", "MetricName": "TargetResponseTime", "ExtendedStatistic": "p99"},
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        **{"Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"},
    }
    cloudwatch.put_metric_alarm(AlarmName="few", **alarm)
    cloudwatch.put_metric_alarm(AlarmName="few ignored", EvaluateLowSampleCountPercentile="ignore", **alarm)

    def states_after(requests: int) -> list[str]:
        values, samples = {"TargetResponseTime": [0.1] * 19 + [3.0]}, {"TargetResponseTime": float(requests)}
        minute = moment.last_minute()
        metrics_store.publish(cloudwatch, "AWS/ApplicationELB", values, dimensions, minute, samples=samples)
        alarms.Alarms().step()
        moment.now += 60
        found = cloudwatch.describe_alarms(AlarmNames=["few", "few ignored"])["MetricAlarms"]
        return [item["StateValue"] for item in found]

    assert states_after(20) == ["ALARM", "INSUFFICIENT_DATA"]
    moment.now += 300
    assert states_after(1000) == ["ALARM", "ALARM"]
    cloudwatch.delete_alarms(AlarmNames=["few", "few ignored"])


def test_an_alarm_follows_the_99th_percentile(cloud: Cloud, moment: Moment) -> None:
    cloudwatch = cloud.client("cloudwatch")
    dimensions = {"LoadBalancer": "app/web/1"}
    cloudwatch.put_metric_alarm(
        AlarmName="slow",
        Namespace="AWS/ApplicationELB",
        MetricName="TargetResponseTime",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        ExtendedStatistic="p99",
        Period=60,
        EvaluationPeriods=2,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )

    def state_after(*times: float) -> str:
        values = {"TargetResponseTime": times}
        metrics_store.publish(cloudwatch, "AWS/ApplicationELB", values, dimensions, moment.last_minute())
        alarms.Alarms().step()
        state: str = cloudwatch.describe_alarms(AlarmNames=["slow"])["MetricAlarms"][0]["StateValue"]
        moment.now += 60
        return state

    fast, slow = [0.1] * 100, [0.1] * 97 + [3.0] * 3
    assert [state_after(*times) for times in (fast, slow, slow, fast, slow, slow)] == [
        *("OK", "OK", "ALARM", "OK", "OK", "ALARM")
    ]
    moment.now += 120
    assert state_after() == "OK", "no requests are no slow requests"
    cloudwatch.delete_alarms(AlarmNames=["slow"])


def test_a_due_schedule_sets_the_bounds_once(cloud: Cloud, moment: Moment, place: dict[str, str]) -> None:
    client, follower = cloud.client("application-autoscaling"), service_scaling.Scaling()
    just_now = datetime.now(UTC) - timedelta(seconds=20)
    action = {
        "ScheduledActionName": "now",
        "Schedule": f"at({just_now:%Y-%m-%dT%H:%M:%S})",
        "ScalableTargetAction": {"MinCapacity": 4, "MaxCapacity": 5},
    }
    client.put_scheduled_action(**place, **action)
    client.register_scalable_target(**place, SuspendedState={"ScheduledScalingSuspended": True})
    follower.step()
    assert desired_count(cloud) == 2
    client.register_scalable_target(**place, SuspendedState={"ScheduledScalingSuspended": False})
    follower = service_scaling.Scaling()
    follower.step()
    follower.step()
    assert desired_count(cloud) == 4
    target = client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (4, 5)
    changes = scaling_activities.changes(REGION, place)
    assert [(change.before, change.after) for change in changes if change.moment == moment.now] == [(2, 4)]


@pytest.mark.parametrize(
    ("operation", "parameters", "text"),
    [
        (
            "put_scaling_policy",
            {"PolicyName": "p", "PolicyType": "StepScaling"},
            "only TargetTrackingScaling is supported",
        ),
        ("put_scheduled_action", {"ScheduledActionName": "a", "Schedule": "cron(0 20 * * * *)"}, "needs a \\?"),
    ],
)
def test_what_would_never_act_is_refused(
    cloud: Cloud, place: dict[str, str], operation: str, parameters: dict[str, Any], text: str
) -> None:
    with pytest.raises(ClientError, match=text) as caught:
        getattr(cloud.client("application-autoscaling"), operation)(**place, **parameters)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_one_service_that_is_gone_holds_up_no_other(
    cloud: Cloud, moment: Moment, place: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ecs, client = cloud.client("ecs"), cloud.client("application-autoscaling")
    ecs.create_cluster(clusterName="a")
    ecs.create_service(cluster="a", serviceName="gone", taskDefinition="t", desiredCount=1)
    gone = {**place, "ResourceId": "service/a/gone"}
    client.register_scalable_target(**gone, MinCapacity=1, MaxCapacity=2)
    now = datetime.now(UTC) - timedelta(seconds=20)
    for where in (gone, place):
        client.put_scheduled_action(
            **where,
            ScheduledActionName="now",
            Schedule=f"at({now:%Y-%m-%dT%H:%M:%S})",
            ScalableTargetAction={"MinCapacity": 3},
        )
    ecs.delete_service(cluster="a", service="gone", force=True)
    ecs.delete_cluster(cluster="a")
    service_scaling.Scaling().step()
    assert desired_count(cloud) == 3
    assert "service/a/gone is not scaled." in caplog.text
    del moment


def test_machine_images_are_public_parameters_in_every_region(cloud: Cloud) -> None:
    path = "/aws/service/ecs/optimized-ami/amazon-linux-2023"
    # A tenth of them: making clients takes longer than all that is tested here.
    for region in boto3.Session().get_available_regions("ecs")[::10]:
        ssm = cloud.client("ssm", region)
        for part, architecture in (("", "x86_64"), ("/arm64", "arm64")):
            name = f"{path}{part}/recommended"
            answers = ssm.get_parameters(Names=[name, f"{name}/image_id"])["Parameters"]
            values = {answer["Name"]: answer["Value"] for answer in answers}
            image = values[f"{name}/image_id"]
            assert json.loads(values[name])["image_id"] == image
            described = cloud.client("ec2", region).describe_images(ImageIds=[image])["Images"][0]
            assert described["Name"].endswith(architecture)
            assert described["Architecture"] == architecture


def test_repository_is_on_localhost(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    uri = ecr.create_repository(repositoryName="team/web")["repository"]["repositoryUri"]
    assert uri == f"127.0.0.1:{cloud.port}/team/web"
    token = ecr.get_authorization_token()["authorizationData"][0]
    assert token["proxyEndpoint"] == f"http://127.0.0.1:{cloud.port}"
    with pytest.raises(ClientError) as caught:
        ecr.describe_images(repositoryName="team/web", imageIds=[{"imageTag": "1"}])
    assert caught.value.response["Error"]["Code"] == "ImageNotFoundException"
    assert ecr.describe_images(repositoryName="team/web")["imageDetails"] == []
    ecr.delete_repository(repositoryName="team/web", force=True)


def register_machine(cloud: Cloud, cluster: str, instance_id: str) -> dict[str, Any]:
    """Do what the agent of a t3.micro does when it has booted."""
    described: dict[str, Any] = cloud.client("ecs").register_container_instance(
        cluster=cluster,
        instanceIdentityDocument=json.dumps({"instanceId": instance_id}),
        totalResources=[
            {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 837},
        ],
        attributes=[{"name": "ecs.availability-zone", "value": "eu-west-1a"}],
    )["containerInstance"]
    return described


def test_machines_register_drain_and_go(cloud: Cloud) -> None:
    ecs, autoscaling, ec2 = (cloud.client(name) for name in ("ecs", "autoscaling", "ec2"))
    name = cloud.create("registered", GROUP, {"Name": ref("Group")})["Name"]
    ecs.create_cluster(clusterName="registered")
    machine = autoscaling.describe_auto_scaling_instances()["AutoScalingInstances"][0]["InstanceId"]
    made = register_machine(cloud, "registered", machine)
    assert register_machine(cloud, "registered", machine)["containerInstanceArn"] == made["containerInstanceArn"]
    assert made["remainingResources"] == made["registeredResources"]
    assert ecs.describe_clusters(clusters=["registered"])["clusters"][0]["registeredContainerInstancesCount"] == 1

    place = {"cluster": "registered", "containerInstances": [made["containerInstanceArn"]]}
    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    provider = {"autoScalingGroupArn": group["AutoScalingGroupARN"]}
    ecs.create_capacity_provider(name="made-after-the-machine", autoScalingGroupProvider=provider)
    described = ecs.describe_container_instances(**place)["containerInstances"][0]
    assert "capacityProviderName" not in made
    assert described["capacityProviderName"] == "made-after-the-machine"
    # With managed draining it would leave a lifecycle hook that holds the machines for an hour.
    undrained = {"managedDraining": "DISABLED"}
    ecs.update_capacity_provider(name="made-after-the-machine", autoScalingGroupProvider=undrained)
    ecs.delete_capacity_provider(capacityProvider="made-after-the-machine")

    drained = ecs.update_container_instances_state(**place, status="DRAINING")["containerInstances"][0]
    assert (drained["ec2InstanceId"], drained["status"]) == (machine, "DRAINING")
    assert ecs.list_container_instances(cluster="registered", status="ACTIVE")["containerInstanceArns"] == []

    # One that ends by itself is missed when its group finds out.
    ec2.terminate_instances(InstanceIds=[machine])
    silent = ecs.describe_container_instances(**place)["containerInstances"][0]
    assert (silent["status"], silent["agentConnected"]) == ("DRAINING", False)
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=machine, ShouldDecrementDesiredCapacity=False)
    assert ecs.list_container_instances(cluster="registered")["containerInstanceArns"] == []
    assert ecs.describe_container_instances(**place)["containerInstances"][0]["status"] == "INACTIVE"
    cloud.delete("registered")
    assert autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"] == []


def test_a_group_replaces_what_is_terminated_and_tells_why(cloud: Cloud) -> None:
    autoscaling = cloud.client("autoscaling")
    name = cloud.create("replaced", GROUP, {"Name": ref("Group")})["Name"]

    def group() -> dict[str, Any]:
        found: dict[str, Any] = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        described: dict[str, Any] = found["AutoScalingGroups"][0]
        return described

    first = group()["Instances"][0]["InstanceId"]
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)
    now = [instance["InstanceId"] for instance in group()["Instances"]]
    assert len(now) == group()["DesiredCapacity"] == 3
    assert first not in now
    told = autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    assert told[0]["Description"] == f"Launching a new EC2 instance: {now[-1]}"
    assert told[1]["Description"] == f"Terminating EC2 instance: {first}"
    assert "in response to a user request" in told[1]["Cause"]

    with pytest.raises(ClientError, match="above max value"):
        autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=99)
    with pytest.raises(ClientError, match="No managed instance found"):
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId="i-0", ShouldDecrementDesiredCapacity=False)
    cloud.delete("replaced")


# --- Load balancers

SERVE_A_FILE = (
    ") -m found\n  http-request return status 200 content-type text/plain file /etc/shadow if TRUE\n  acl x path"
)
PATH = {"Field": "path-pattern", "Values": ["/x"]}
ANSWER: dict[str, Any] = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}


@pytest.fixture(scope="module")
def balanced(cloud: Cloud) -> Iterator[dict[str, str]]:
    """Make a load balancer with a listener and a target group, and return their ARNs."""
    elbv2 = cloud.client("elbv2")
    balancer = elbv2.create_load_balancer(Name="web", Subnets=["subnet-1"])["LoadBalancers"][0]["LoadBalancerArn"]
    group = elbv2.create_target_group(Name="blue", Protocol="HTTP", Port=80)["TargetGroups"][0]["TargetGroupArn"]
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[ANSWER]
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    yield {"balancer": balancer, "group": group, "listener": listener}
    elbv2.delete_load_balancer(LoadBalancerArn=balancer)
    elbv2.delete_target_group(TargetGroupArn=group)


def header_condition(name: str) -> dict[str, Any]:
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": ["a"]}}


def with_condition(kind: str, config: str = "", **values: Any) -> dict[str, Any]:  # noqa: ANN401  # an API's parameters
    condition: dict[str, Any] = {"Field": kind} | ({config: values} if config else values)
    return {"Conditions": [condition]}


def with_answer(**config: str) -> dict[str, Any]:
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"} | config}
    return {"Actions": [answer]}


def with_redirect(**config: str) -> dict[str, Any]:
    return {"Actions": [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"} | config}]}


def with_attribute(key: str, value: str) -> dict[str, Any]:
    return {"Attributes": [{"Key": key, "Value": value}]}


INVALID = "ValidationError"
UNUSABLE = "InvalidConfigurationRequest"
FRAME_OPTIONS = "routing.http.response.x_frame_options.header_value"


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("create_rule", {"Conditions": [header_condition("x" + SERVE_A_FILE)]}, INVALID),
        ("create_rule", {"Conditions": [header_condition("Host")]}, INVALID),
        ("create_rule", with_condition("path-pattern", Values=["/a b"]), INVALID),
        ("create_rule", with_condition("path-pattern", Values=["/?"] * 6), INVALID),
        ("create_rule", with_condition("path-pattern", "PathPatternConfig", RegexValues=["("]), INVALID),
        ("create_rule", with_condition("host-header", Values=["a.b\n"]), INVALID),
        ("create_rule", with_condition("source-ip", "SourceIpConfig", Values=["-f /etc/hosts"]), INVALID),
        ("create_rule", with_condition("source-ip", Values=["10.0.0.0/8"]), INVALID),
        ("create_rule", with_condition("colour", Values=["red"]), INVALID),
        ("create_rule", {"Priority": 50001}, INVALID),
        ("create_rule", {"Actions": [ANSWER, ANSWER | {"Order": 2}]}, INVALID),
        ("create_rule", {"Actions": [{"Type": "forward", "TargetGroupArn": "arn:none"}]}, "TargetGroupNotFound"),
        ("create_rule", with_answer(StatusCode="200 file /etc/shadow"), INVALID),
        ("create_rule", with_answer(ContentType="a/b"), INVALID),
        ("create_rule", with_answer(MessageBody="\x01"), INVALID),
        ("create_rule", with_redirect(), "InvalidLoadBalancerAction"),
        ("create_rule", with_redirect(Port="0"), INVALID),
        ("create_listener", {"Port": 80}, "DuplicateListener"),
        ("create_listener", {"Port": 70000}, INVALID),
        ("create_listener", {"Protocol": "TCP"}, INVALID),
        ("create_listener", {"Protocol": "HTTPS"}, INVALID),
        ("create_target_group", {"Name": "a.b"}, INVALID),
        ("create_target_group", {"HealthCheckPath": "health"}, INVALID),
        ("create_target_group", {"Matcher": {"HttpCode": "200\n  server x 127.0.0.1:1"}}, INVALID),
        ("create_target_group", {"HealthCheckPort": "any"}, INVALID),
        ("modify_target_group", {"HealthCheckTimeoutSeconds": 31}, INVALID),
        ("modify_target_group", {"HealthCheckPath": "/a b"}, INVALID),
        ("register_targets", {"Targets": [{"Id": "i-1; show info", "Port": 80}]}, "InvalidTarget"),
        ("register_targets", {"Targets": [{"Id": "i-0123456789abcdef0", "Port": 70000}]}, INVALID),
        ("modify_load_balancer_attributes", with_attribute("idle_timeout.timeout_seconds", "inf"), UNUSABLE),
        ("modify_load_balancer_attributes", with_attribute("no.such", "1"), INVALID),
        ("modify_target_group_attributes", with_attribute("slow_start.duration_seconds", "5"), UNUSABLE),
        ("modify_listener_attributes", with_attribute(FRAME_OPTIONS, "a\r\nb"), UNUSABLE),
    ],
)
def test_what_elbv2_refuses_is_refused(
    cloud: Cloud, balanced: dict[str, str], operation: str, parameters: dict[str, Any], code: str
) -> None:
    new_listener = {"LoadBalancerArn": balanced["balancer"], "Protocol": "HTTP", "Port": 81, "DefaultActions": [ANSWER]}
    new_rule = {"ListenerArn": balanced["listener"], "Priority": 1, "Conditions": [PATH], "Actions": [ANSWER]}
    given: dict[str, dict[str, Any]] = {
        "create_rule": new_rule,
        "create_listener": new_listener,
        "create_target_group": {"Name": "green", "Protocol": "HTTP", "Port": 80},
        "modify_listener_attributes": {"ListenerArn": balanced["listener"]},
        "modify_load_balancer_attributes": {"LoadBalancerArn": balanced["balancer"]},
    }
    whole = given.get(operation, {"TargetGroupArn": balanced["group"]}) | parameters
    with pytest.raises(ClientError) as error:
        getattr(cloud.client("elbv2"), operation)(**whole)
    assert error.value.response["Error"]["Code"] == code


def test_what_a_rule_says_is_told_again_as_it_was(cloud: Cloud, balanced: dict[str, str]) -> None:
    elbv2 = cloud.client("elbv2")
    text = '<b class="x">it\'s & that</b>\n'
    conditions = [
        {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a&b"], "RegexValues": ["^/<.>$"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "<k>", "Value": "&\\*"}]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X'&", "Values": ["<é>"]}},
    ]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503", "MessageBody": text}}
    weighted = {"TargetGroups": [{"TargetGroupArn": balanced["group"], "Weight": 7}]}
    for priority, action in ((1, answer), (2, {"Type": "forward", "ForwardConfig": weighted})):
        rule = {"ListenerArn": balanced["listener"], "Priority": priority, "Conditions": conditions}
        elbv2.create_rule(**rule, Actions=[action])
        with pytest.raises(ClientError, match="PriorityInUse"):
            elbv2.create_rule(**rule, Actions=[action])
    first, second = elbv2.describe_rules(ListenerArn=balanced["listener"])["Rules"][1:]
    told = [{key: value for key, value in one.items() if key != "Values"} for one in first["Conditions"]]
    assert told == conditions
    assert first["Actions"][0]["FixedResponseConfig"]["MessageBody"] == text
    assert second["Actions"][0]["ForwardConfig"] == weighted
    for rule in (first, second):
        elbv2.delete_rule(RuleArn=rule["RuleArn"])


def test_templates_are_checked_as_the_api_is(cloud: Cloud, balanced: dict[str, str]) -> None:
    rule = {"ListenerArn": balanced["listener"], "Priority": 9, "Actions": [ANSWER]}
    bad = rule | {"Conditions": [header_condition("x" + SERVE_A_FILE)]}
    body = template({"Rule": {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": bad}}, None)
    cloud.client("cloudformation").create_stack(StackName="bad-rule", TemplateBody=body)
    with pytest.raises(WaiterError):
        cloud.client("cloudformation").get_waiter("stack_create_complete").wait(
            StackName="bad-rule", WaiterConfig={"Delay": 0.1, "MaxAttempts": 50}
        )
    assert any("HTTP header name 'x) -m found" in reason for reason in cloud.reasons("bad-rule"))
    assert len(cloud.client("elbv2").describe_rules(ListenerArn=balanced["listener"])["Rules"]) == 1
    cloud.delete("bad-rule")


def test_a_template_gives_a_listener_its_attributes(cloud: Cloud, balanced: dict[str, str]) -> None:
    key = "routing.http.response.strict_transport_security.header_value"

    def listener(value: str, weight: int) -> dict[str, Any]:
        forward = {"TargetGroups": [{"TargetGroupArn": balanced["group"], "Weight": weight}]}
        properties = {
            **{"LoadBalancerArn": balanced["balancer"], "Protocol": "HTTP", "Port": "8000"},
            "DefaultActions": [{"Type": "forward", "ForwardConfig": forward}],
            "ListenerAttributes": [{"Key": key, "Value": value}],
        }
        return {"Listener": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": properties}}

    def told() -> tuple[str, int]:
        arn = cloud.client("cloudformation").describe_stack_resources(StackName="listener")["StackResources"][0]
        attributes = cloud.client("elbv2").describe_listener_attributes(ListenerArn=arn["PhysicalResourceId"])
        described = cloud.client("elbv2").describe_listeners(ListenerArns=[arn["PhysicalResourceId"]])["Listeners"][0]
        weight = described["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["Weight"]
        return {item["Key"]: item["Value"] for item in attributes["Attributes"]}[key], weight

    cloud.create("listener", listener("max-age=1", 3))
    assert told() == ("max-age=1", 3)
    cloud.update("listener", listener("max-age=2", 4))
    assert told() == ("max-age=2", 4)
    cloud.delete("listener")
