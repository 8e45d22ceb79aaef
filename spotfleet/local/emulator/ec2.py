"""EC2: IPv6 networks, and what an instance and an image tell."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv6Network
from typing import Any

from ministack.services import (
    ec2,
)
from ministack.services.cloudformation import provisioners

from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record, Response
from spotfleet.local.emulator.resource_types.base import Resource


@extends(provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"], "create")
@extends(provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"], "update")
def with_cidr_block(original: Callable[..., Resource], *arguments: object) -> Resource:
    """Add what Fn::GetAtt of a VPC lacks."""
    vpc_id, attributes = original(*arguments)
    # The IPv6 network is the one that AWS::EC2::VPCCidrBlock brings, later than these attributes are kept.
    return vpc_id, attributes | {
        "CidrBlock": ec2._vpcs[vpc_id]["CidrBlock"],
        "Ipv6CidrBlocks": [_ipv6_block(vpc_id)],
    }


def _ipv6_block(vpc_id: str) -> str:
    """Return the /56 that a VPC gets when it asks for one: always the same, in the range kept for documentation."""
    digits = vpc_id.removeprefix("vpc-").lower()
    return f"2001:db8:{digits[:4]}:{digits[4:6]}00::/56"


@replaces(ec2._ACTION_MAP, "AssociateVpcCidrBlock")
def associate_vpc_cidr_block(parameters: Record) -> Response:
    vpc_id = ec2._p(parameters, "VpcId")
    if vpc_id not in ec2._vpcs:
        missing: Response = ec2._error("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist", 400)
        return missing
    ec2._vpcs[vpc_id]["Ipv6CidrBlock"] = _ipv6_block(vpc_id)
    association = _ipv6_association(vpc_id, "ipv6CidrBlockAssociation")
    answer: Response = ec2._xml(200, "AssociateVpcCidrBlockResponse", f"<vpcId>{vpc_id}</vpcId>{association}")
    return answer


@replaces(ec2._ACTION_MAP, "DisassociateVpcCidrBlock")
def disassociate_vpc_cidr_block(parameters: Record) -> Response:
    association = ec2._p(parameters, "AssociationId")
    vpc_id = association.replace("vpc-cidr-assoc-", "vpc-")
    if vpc_id not in ec2._vpcs or "Ipv6CidrBlock" not in ec2._vpcs[vpc_id]:
        text = f"The association ID '{association}' does not exist"
        missing: Response = ec2._error("InvalidVpcCidrBlockAssociationID.NotFound", text, 400)
        return missing
    del ec2._vpcs[vpc_id]["Ipv6CidrBlock"]
    answer: Response = ec2._xml(200, "DisassociateVpcCidrBlockResponse", f"<vpcId>{vpc_id}</vpcId>")
    return answer


def _ipv6_association(vpc_id: str, element: str) -> str:
    return (
        f"<{element}><associationId>{vpc_id.replace('vpc-', 'vpc-cidr-assoc-')}</associationId>"
        f"<ipv6CidrBlock>{_ipv6_block(vpc_id)}</ipv6CidrBlock>"
        f"<ipv6CidrBlockState><state>associated</state></ipv6CidrBlockState></{element}>"
    )


@extends(ec2, "_vpc_fields_xml")
def with_ipv6_network(original: Callable[..., str], vpc: Record, tag: str = "item") -> str:
    text = original(vpc, tag)
    if "Ipv6CidrBlock" not in vpc:
        return text
    blocks = _ipv6_association(vpc["VpcId"], "item")
    return (
        text.removesuffix(f"</{tag}>") + f"<ipv6CidrBlockAssociationSet>{blocks}</ipv6CidrBlockAssociationSet></{tag}>"
    )


@extends(ec2, "_subnet_fields_xml")
def with_ipv6_subnet(original: Callable[..., str], subnet: Record, tag: str = "item") -> str:
    text = original(subnet, tag)
    if not subnet.get("Ipv6CidrBlock"):
        return text
    assigned = "assignIpv6AddressOnCreation"
    text = text.replace(f"<{assigned}>false", f"<{assigned}>{str(subnet['AssignIpv6AddressOnCreation']).lower()}")
    block = (
        f"<ipv6CidrBlockAssociationSet><item><associationId>subnet-cidr-assoc-{subnet['SubnetId'][7:]}</associationId>"
        f"<ipv6CidrBlock>{subnet['Ipv6CidrBlock']}</ipv6CidrBlock>"
        f"<ipv6CidrBlockState><state>associated</state></ipv6CidrBlockState></item></ipv6CidrBlockAssociationSet>"
    )
    return text.removesuffix(f"</{tag}>") + f"{block}</{tag}>"


@extends(provisioners._RESOURCE_HANDLERS["AWS::EC2::Subnet"], "create", properties_index=1)
@extends(provisioners._RESOURCE_HANDLERS["AWS::EC2::Subnet"], "update", properties_index=2)
def keeping_ipv6(original: Callable[..., Resource], *arguments: Any, properties_index: int) -> Resource:  # noqa: ANN401  # create and update differ
    """Keep what a template says about a subnet's IPv6 addresses; MiniStack knows IPv4 only."""
    properties = arguments[properties_index]
    block = properties.get("Ipv6CidrBlock")
    network = ec2._vpcs.get(properties["VpcId"], {}).get("Ipv6CidrBlock")
    if block and (not network or not IPv6Network(block).subnet_of(IPv6Network(network))):
        raise ValueError(f"The CIDR '{block}' is invalid: the VPC has no IPv6 network that holds it")
    subnet_id, attributes = original(*arguments)
    assign = str(properties.get("AssignIpv6AddressOnCreation", "false")).lower() == "true"
    ec2._subnets[subnet_id] |= {"Ipv6CidrBlock": block, "AssignIpv6AddressOnCreation": assign}
    return subnet_id, attributes


@replaces(ec2._ACTION_MAP, "ModifyInstanceAttribute")
def modify_instance_attribute(parameters: Record) -> Response:
    """Change the check that a machine's traffic is its own; nothing else of a machine is changed in this project."""
    machine = ec2._instances.get(ec2._p(parameters, "InstanceId"))
    value = ec2._p(parameters, "SourceDestCheck.Value")
    if machine is None or not value:
        refusal: Response = ec2._error("InvalidParameterCombination", "Give InstanceId and SourceDestCheck", 400)
        return refusal
    machine["SourceDestCheck"] = value.lower() == "true"
    answer: Response = ec2._xml(200, "ModifyInstanceAttributeResponse", "<return>true</return>")
    return answer


@extends(ec2, "_stub_image_view")
def telling_architecture(original: Callable[..., Record], image_id: str, name: str, *more: str) -> Record:
    """Tell the architecture that an image's name ends in; MiniStack has x86_64 for all."""
    view = original(image_id, name, *more)
    return view | {"Architecture": "arm64"} if name.endswith("-arm64") else view


@extends(ec2._ACTION_MAP, "DescribeInstanceAttribute")
def with_user_data(original: Callable[[Record], Response], parameters: Record) -> Response:
    """Tell an instance's user data, which MiniStack always calls empty."""
    status, headers, body = original(parameters)
    machine = ec2._instances.get(str(ec2._p(parameters, "InstanceId")), {})
    value = f"<userData><value>{machine.get('UserData', '')}</value></userData>"
    return status, headers, body.replace(b"<userData/>", value.encode())


@extends(ec2, "_instance_xml")
def with_lifecycle(original: Callable[[Record], str], machine: Record) -> str:
    text = original(machine).removesuffix("</item>")
    if lifecycle := machine.get("InstanceLifecycle"):
        text += f"<instanceLifecycle>{lifecycle}</instanceLifecycle>"
    if ended := machine.get("_terminated_at"):
        # AWS tells whole seconds: here the next one, as nobody shall learn of it too early.
        moment = datetime.fromtimestamp(math.ceil(ended), UTC)
        text += f"<reason>User initiated ({moment:%Y-%m-%d %H:%M:%S} GMT)</reason>"
    return f"{text}</item>"
