"""Resource types of EC2."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from spotfleet.local.api.clients import Client
from spotfleet.local.emulator.api_parameters import api_parameters
from spotfleet.local.emulator.resource_types.base import (
    Clients,
    Owner,
    Properties,
    Replaced,
    Resource,
    ignore,
    tag_specifications,
    update_ec2_tags,
    without_tags,
)


class Tagged(ABC):
    """A resource of which EC2 changes nothing but the tags; it has one attribute, its id."""

    id_attribute = "Id"

    @abstractmethod
    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Make the resource."""

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else needs a new resource."""
        if without_tags(old) != without_tags(new):
            return self.create(clients, owner, new)
        update_ec2_tags(clients("ec2"), physical_id, old, new)
        return physical_id, {self.id_attribute: physical_id}


class ElasticIp:
    """AWS::EC2::EIP. Ref is the address."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Allocate an address."""
        specifications = tag_specifications("elastic-ip", properties)
        address = clients("ec2").allocate_address(
            Domain=properties.get("Domain", "vpc"), TagSpecifications=specifications
        )
        return self._resource(address)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else needs a new address."""
        if without_tags(old) != without_tags(new):
            return self.create(clients, owner, new)
        address = self._find(clients, physical_id)
        if address is None:
            raise ValueError(f"Address {physical_id} does not exist")
        update_ec2_tags(clients("ec2"), address["AllocationId"], old, new)
        return self._resource(address)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Release the address."""
        if address := self._find(clients, physical_id):
            clients("ec2").release_address(AllocationId=address["AllocationId"])

    @staticmethod
    def _find(clients: Clients, public_ip: str) -> dict[str, Any] | None:
        addresses = clients("ec2").describe_addresses()["Addresses"]
        return next((address for address in addresses if address["PublicIp"] == public_ip), None)

    @staticmethod
    def _resource(address: Mapping[str, Any]) -> Resource:
        return address["PublicIp"], {"AllocationId": address["AllocationId"], "PublicIp": address["PublicIp"]}


class NatGateway(Tagged):
    """AWS::EC2::NatGateway."""

    id_attribute = "NatGatewayId"

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Make the gateway."""
        ec2 = clients("ec2")
        parameters = api_parameters(ec2, "CreateNatGateway", without_tags(properties))
        specifications = tag_specifications("natgateway", properties)
        gateway = ec2.create_nat_gateway(**parameters, TagSpecifications=specifications)["NatGateway"]
        return gateway["NatGatewayId"], {"NatGatewayId": gateway["NatGatewayId"]}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the gateway; EC2 shows it as deleted for a while."""
        ignore("NotFound", clients("ec2").delete_nat_gateway, NatGatewayId=physical_id)


class Instance:
    """AWS::EC2::Instance, also from a launch template. No signal is waited for: nothing runs in these machines."""

    in_place = ("SourceDestCheck", "Tags")
    # What RunInstances has no parameter for, or is given in another way.
    _left_out = ("LaunchTemplate", "SourceDestCheck", "Tags", "TagSpecifications")

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Start the machine."""
        ec2 = clients("ec2")
        machine = {**self._launch_template(ec2, properties), **properties}
        interface = (machine.pop("NetworkInterfaces", None) or [{}])[0]
        machine.setdefault("SubnetId", interface.get("SubnetId"))
        machine.setdefault("SecurityGroupIds", interface.get("GroupSet", []))
        if isinstance(profile := machine.get("IamInstanceProfile"), str):
            # Ref of a profile is its ARN in MiniStack, and its name in CloudFormation.
            machine["IamInstanceProfile"] = {"Arn" if profile.startswith("arn:") else "Name": profile}
        parameters = api_parameters(
            ec2, "RunInstances", {k: v for k, v in machine.items() if v and k not in self._left_out}
        )
        specifications = tag_specifications("instance", properties)
        answer = ec2.run_instances(**parameters, MinCount=1, MaxCount=1, TagSpecifications=specifications)
        instance_id = answer["Instances"][0]["InstanceId"]
        self._set_source_dest_check(ec2, instance_id, properties)
        return self._resource(ec2, instance_id)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags and the source and destination check; anything else needs a new machine."""
        if any(old.get(name) != new.get(name) for name in {*old, *new}.difference(self.in_place)):
            return self.create(clients, owner, new)
        ec2 = clients("ec2")
        update_ec2_tags(ec2, physical_id, old, new)
        self._set_source_dest_check(ec2, physical_id, new)
        return self._resource(ec2, physical_id)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Terminate the machine."""
        ignore("NotFound", clients("ec2").terminate_instances, InstanceIds=[physical_id])

    @staticmethod
    def _launch_template(ec2: Client, properties: Properties) -> dict[str, Any]:
        """Return what the launch template says; the instance's own properties come before it."""
        if not (template := properties.get("LaunchTemplate")):
            return {}
        place = {name: template[name] for name in ("LaunchTemplateId", "LaunchTemplateName") if name in template}
        versions = ec2.describe_launch_template_versions(**place, Versions=[str(template["Version"])])
        data: dict[str, Any] = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        # An answer tells whether the options are applied already; a request does not.
        data.get("MetadataOptions", {}).pop("State", None)
        return data

    @staticmethod
    def _set_source_dest_check(ec2: Client, instance_id: str, properties: Properties) -> None:
        check = str(properties.get("SourceDestCheck", True)).lower() == "true"
        ec2.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck={"Value": check})

    @staticmethod
    def _resource(ec2: Client, instance_id: str) -> Resource:
        machine = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        names = {
            "PrivateIp": "PrivateIpAddress",
            "PublicIp": "PublicIpAddress",
            "PrivateDnsName": "PrivateDnsName",
            "PublicDnsName": "PublicDnsName",
            "VpcId": "VpcId",
        }
        attributes = {name: machine.get(member, "") for name, member in names.items()}
        zone = machine["Placement"]["AvailabilityZone"]
        return instance_id, {**attributes, "AvailabilityZone": zone, "InstanceId": instance_id}


class VpcCidrBlock(Replaced):
    """AWS::EC2::VPCCidrBlock. Ref is the association's id."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Give the VPC another network."""
        ec2 = clients("ec2")
        answer = ec2.associate_vpc_cidr_block(**api_parameters(ec2, "AssociateVpcCidrBlock", properties))
        association = answer["Ipv6CidrBlockAssociation"]
        block = {"Id": association["AssociationId"], "Ipv6CidrBlock": association["Ipv6CidrBlock"]}
        return association["AssociationId"], block

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Take it from the VPC."""
        ignore("NotFound", clients("ec2").disassociate_vpc_cidr_block, AssociationId=physical_id)


class EgressOnlyInternetGateway(Tagged):
    """AWS::EC2::EgressOnlyInternetGateway."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Make the gateway."""
        specifications = tag_specifications("egress-only-internet-gateway", properties)
        answer = clients("ec2").create_egress_only_internet_gateway(
            VpcId=properties["VpcId"], TagSpecifications=specifications
        )
        gateway = answer["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]
        return gateway, {"Id": gateway}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the gateway."""
        call = clients("ec2").delete_egress_only_internet_gateway
        ignore("NotFound", call, EgressOnlyInternetGatewayId=physical_id)


class FlowLog(Tagged):
    """AWS::EC2::FlowLog."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Start the log."""
        ec2 = clients("ec2")
        parameters = api_parameters(ec2, "CreateFlowLogs", without_tags(properties))
        parameters["ResourceIds"] = [properties["ResourceId"]]
        answer = ec2.create_flow_logs(**parameters)
        if not answer["FlowLogIds"]:
            raise ValueError(answer["Unsuccessful"][0]["Error"]["Message"])
        flow_log = answer["FlowLogIds"][0]
        update_ec2_tags(ec2, flow_log, {}, properties)
        return flow_log, {"Id": flow_log}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """End the log."""
        ignore("NotFound", clients("ec2").delete_flow_logs, FlowLogIds=[physical_id])


@dataclass(frozen=True)
class SecurityGroupRule(Replaced):
    """AWS::EC2::SecurityGroupIngress and SecurityGroupEgress, told apart by `direction`."""

    direction: str
    # Where traffic comes from or goes to: the names in a template, and in EC2's SecurityGroupRuleRequest.
    members: ClassVar[Mapping[str, str]] = {
        "CidrIp": "CidrIpv4",
        "CidrIpv6": "CidrIpv6",
        "SourceSecurityGroupId": "ReferencedGroupId",
        "DestinationSecurityGroupId": "ReferencedGroupId",
        "SourcePrefixListId": "PrefixListId",
        "DestinationPrefixListId": "PrefixListId",
    }

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Add the rule to its group."""
        ec2 = clients("ec2")
        authorize = getattr(ec2, f"authorize_security_group_{self.direction}")
        answer = authorize(GroupId=properties["GroupId"], IpPermissions=[self._permission(properties)])
        rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return rule, {"Id": rule}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the description; anything else needs a new rule."""
        if {**old, "Description": None} != {**new, "Description": None}:
            return self.create(clients, owner, new)
        rule = {"IpProtocol": str(new["IpProtocol"]), "Description": new.get("Description", "")}
        rule |= {name: int(new[name]) for name in ("FromPort", "ToPort") if name in new}
        rule |= {self.members[name]: new[name] for name in self.members if new.get(name)}
        changes = [{"SecurityGroupRuleId": physical_id, "SecurityGroupRule": rule}]
        clients("ec2").modify_security_group_rules(GroupId=new["GroupId"], SecurityGroupRules=changes)
        return physical_id, {"Id": physical_id}

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Take the rule out of its group."""
        revoke = getattr(clients("ec2"), f"revoke_security_group_{self.direction}")
        ignore("NotFound", revoke, GroupId=properties["GroupId"], SecurityGroupRuleIds=[physical_id])

    @staticmethod
    def _permission(properties: Properties) -> dict[str, Any]:
        permission: dict[str, Any] = {"IpProtocol": str(properties["IpProtocol"])}
        for port in ("FromPort", "ToPort"):
            if port in properties:
                permission[port] = int(properties[port])
        description = {"Description": properties["Description"]} if properties.get("Description") else {}
        sources = (
            ("CidrIp", "IpRanges", "CidrIp"),
            ("CidrIpv6", "Ipv6Ranges", "CidrIpv6"),
            ("SourceSecurityGroupId", "UserIdGroupPairs", "GroupId"),
            ("DestinationSecurityGroupId", "UserIdGroupPairs", "GroupId"),
            ("SourcePrefixListId", "PrefixListIds", "PrefixListId"),
            ("DestinationPrefixListId", "PrefixListIds", "PrefixListId"),
        )
        for name, ranges, member in sources:
            if properties.get(name):
                permission[ranges] = [{member: properties[name], **description}]
        return permission
