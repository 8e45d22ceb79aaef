"""The CloudFormation resource types that the templates use and MiniStack lacks or does only in part.

Every type works through the public AWS APIs of the embedded AWS. What Ref and Fn::GetAtt return is that of the
template reference: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
An update that returns another physical id is a replacement: the stack then deletes the old resource by itself.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from botocore.exceptions import ClientError

from spotfleet.local.api.clients import Client, Value, pages
from spotfleet.local.emulator import deployments
from spotfleet.local.emulator.api_parameters import api_parameters

Properties = Mapping[str, Value]
# A resource's physical id, which is what Ref returns, and what Fn::GetAtt returns.
Resource = tuple[str, dict[str, str]]
# The client of an AWS service, in the stack's account and region.
Clients = Callable[[str], Client]

# CloudFormation waits for a service as long as its handler allows, 36 hours; a rehearsal gives up earlier.
STEADY_SECONDS = 300
STEADY_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Owner:
    """The place of a resource: its stack and its logical id in the template, from which its name is made.

    `ends_early` says why the stack waits for the resource no longer: its time is up, or somebody has cancelled it.
    """

    stack_name: str
    logical_id: str
    ends_early: Callable[[], str] = lambda: ""

    def generated_name(self, longest: int = 255) -> str:
        """Return a name as CloudFormation makes it: stack, logical id and something random."""
        random = uuid4().hex[:12]
        return f"{self.stack_name}-{self.logical_id}"[: longest - len(random) - 1] + f"-{random}"


class ResourceType(Protocol):
    """What a stack can do with a resource of one type. Each method raises ValueError or ClientError with the reason."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Make the resource."""

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the resource, or make its replacement."""

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Remove the resource; one that is gone already is no error."""


class Replaced:
    """Update of a type whose changes all need a new resource."""

    def update(
        self: ResourceType, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties
    ) -> Resource:
        """Make the replacement."""
        del physical_id, old
        return self.create(clients, owner, new)


def _ignore(code_or_text: str, call: Callable[..., object], **parameters: Value) -> None:
    """Call an API and ignore its saying that the thing is not there."""
    try:
        call(**parameters)
    except ClientError as error:
        if code_or_text not in f"{error.response['Error']['Code']} {error.response['Error']['Message']}":
            raise


def _tag_map(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag.get("Value", "")) for tag in properties.get("Tags", [])}


def _tag_specifications(resource_type: str, properties: Properties) -> list[dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in _tag_map(properties).items()]
    return [{"ResourceType": resource_type, "Tags": tags}] if tags else []


def _without_tags(properties: Properties) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "Tags"}


def _update_ec2_tags(ec2: Client, resource_id: str, old: Properties, new: Properties) -> None:
    removed = [{"Key": key} for key in _tag_map(old).keys() - _tag_map(new).keys()]
    if removed:
        ec2.delete_tags(Resources=[resource_id], Tags=removed)
    if _tag_map(new):
        tags = [{"Key": key, "Value": value} for key, value in _tag_map(new).items()]
        ec2.create_tags(Resources=[resource_id], Tags=tags)


def _update_ecs_tags(ecs: Client, arn: str, old: Properties, new: Properties) -> None:
    removed = sorted(_tag_map(old).keys() - _tag_map(new).keys())
    if removed:
        ecs.untag_resource(resourceArn=arn, tagKeys=removed)
    if _tag_map(new):
        ecs.tag_resource(resourceArn=arn, tags=[{"key": k, "value": v} for k, v in _tag_map(new).items()])


class ElasticIp:
    """AWS::EC2::EIP. Ref is the address."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Allocate an address."""
        specifications = _tag_specifications("elastic-ip", properties)
        address = clients("ec2").allocate_address(
            Domain=properties.get("Domain", "vpc"), TagSpecifications=specifications
        )
        return self._resource(address)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else needs a new address."""
        if _without_tags(old) != _without_tags(new):
            return self.create(clients, owner, new)
        address = self._find(clients, physical_id)
        if address is None:
            raise ValueError(f"Address {physical_id} does not exist")
        _update_ec2_tags(clients("ec2"), address["AllocationId"], old, new)
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


class NatGateway:
    """AWS::EC2::NatGateway."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Make the gateway."""
        ec2 = clients("ec2")
        parameters = api_parameters(ec2, "CreateNatGateway", _without_tags(properties))
        specifications = _tag_specifications("natgateway", properties)
        gateway = ec2.create_nat_gateway(**parameters, TagSpecifications=specifications)["NatGateway"]
        return gateway["NatGatewayId"], {"NatGatewayId": gateway["NatGatewayId"]}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else needs a new gateway."""
        if _without_tags(old) != _without_tags(new):
            return self.create(clients, owner, new)
        _update_ec2_tags(clients("ec2"), physical_id, old, new)
        return physical_id, {"NatGatewayId": physical_id}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the gateway; EC2 shows it as deleted for a while."""
        _ignore("NotFound", clients("ec2").delete_nat_gateway, NatGatewayId=physical_id)


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
        specifications = _tag_specifications("instance", properties)
        answer = ec2.run_instances(**parameters, MinCount=1, MaxCount=1, TagSpecifications=specifications)
        instance_id = answer["Instances"][0]["InstanceId"]
        self._set_source_dest_check(ec2, instance_id, properties)
        return self._resource(ec2, instance_id)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags and the source and destination check; anything else needs a new machine."""
        if any(old.get(name) != new.get(name) for name in {*old, *new}.difference(self.in_place)):
            return self.create(clients, owner, new)
        ec2 = clients("ec2")
        _update_ec2_tags(ec2, physical_id, old, new)
        self._set_source_dest_check(ec2, physical_id, new)
        return self._resource(ec2, physical_id)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Terminate the machine."""
        _ignore("NotFound", clients("ec2").terminate_instances, InstanceIds=[physical_id])

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
        _ignore("NotFound", clients("ec2").disassociate_vpc_cidr_block, AssociationId=physical_id)


class EgressOnlyInternetGateway:
    """AWS::EC2::EgressOnlyInternetGateway."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Make the gateway."""
        specifications = _tag_specifications("egress-only-internet-gateway", properties)
        answer = clients("ec2").create_egress_only_internet_gateway(
            VpcId=properties["VpcId"], TagSpecifications=specifications
        )
        gateway = answer["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]
        return gateway, {"Id": gateway}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; another VPC needs a new gateway."""
        if _without_tags(old) != _without_tags(new):
            return self.create(clients, owner, new)
        _update_ec2_tags(clients("ec2"), physical_id, old, new)
        return physical_id, {"Id": physical_id}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the gateway."""
        call = clients("ec2").delete_egress_only_internet_gateway
        _ignore("NotFound", call, EgressOnlyInternetGatewayId=physical_id)


class WebAclAssociation(Replaced):
    """AWS::WAFv2::WebACLAssociation. A resource has one web ACL at most."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Put the web ACL before the resource."""
        waf = clients("wafv2")
        place = {name: properties[name] for name in ("ResourceArn", "WebACLArn")}
        waf.associate_web_acl(**place)
        return "|".join(place.values()), {}

    def delete(self, clients: Clients, _physical_id: str, properties: Properties) -> None:
        """Take the web ACL away, unless another one has taken its place."""
        waf = clients("wafv2")
        try:
            acl = waf.get_web_acl_for_resource(ResourceArn=properties["ResourceArn"]).get("WebACL", {})
        except ClientError as error:
            if error.response["Error"]["Code"] != "WAFNonexistentItemException":
                raise
            return
        if acl.get("ARN") == properties["WebACLArn"]:
            waf.disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class FirewallLogging:
    """AWS::WAFv2::LoggingConfiguration. Ref is the web ACL's ARN."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Let the web ACL log; the same call changes how it does."""
        waf = clients("wafv2")
        configuration = api_parameters(waf, "PutLoggingConfiguration", {"LoggingConfiguration": dict(properties)})
        waf.put_logging_configuration(**configuration)
        return properties["ResourceArn"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change how it logs; another web ACL needs a configuration of its own."""
        del physical_id, old
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """End the log."""
        _ignore("WAFNonexistentItemException", clients("wafv2").delete_logging_configuration, ResourceArn=physical_id)


class FlowLog:
    """AWS::EC2::FlowLog."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Start the log."""
        ec2 = clients("ec2")
        parameters = api_parameters(ec2, "CreateFlowLogs", _without_tags(properties))
        parameters["ResourceIds"] = [properties["ResourceId"]]
        answer = ec2.create_flow_logs(**parameters)
        if not answer["FlowLogIds"]:
            raise ValueError(answer["Unsuccessful"][0]["Error"]["Message"])
        flow_log = answer["FlowLogIds"][0]
        _update_ec2_tags(ec2, flow_log, {}, properties)
        return flow_log, {"Id": flow_log}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else needs a new log."""
        if _without_tags(old) != _without_tags(new):
            return self.create(clients, owner, new)
        _update_ec2_tags(clients("ec2"), physical_id, old, new)
        return physical_id, {"Id": physical_id}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """End the log."""
        _ignore("NotFound", clients("ec2").delete_flow_logs, FlowLogIds=[physical_id])


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
        _ignore("NotFound", revoke, GroupId=properties["GroupId"], SecurityGroupRuleIds=[physical_id])

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


class CapacityProvider:
    """AWS::ECS::CapacityProvider. Ref is the name."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Make the provider of an Auto Scaling group's machines."""
        ecs = clients("ecs")
        parameters = api_parameters(ecs, "CreateCapacityProvider", self._with_arn(clients, properties))
        parameters["name"] = properties.get("Name") or owner.generated_name()
        provider = ecs.create_capacity_provider(**parameters)["capacityProvider"]
        # MiniStack keeps managedDraining only when it is updated.
        self._update_group(clients, provider["name"], properties)
        return provider["name"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change scaling, protection, draining and tags; another name or group needs a new provider."""
        if self._identity(old) != self._identity(new):
            return self.create(clients, owner, new)
        self._update_group(clients, physical_id, new)
        provider = clients("ecs").describe_capacity_providers(capacityProviders=[physical_id])["capacityProviders"][0]
        _update_ecs_tags(clients("ecs"), provider["capacityProviderArn"], old, new)
        return physical_id, {}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the provider."""
        _ignore("not found", clients("ecs").delete_capacity_provider, capacityProvider=physical_id)

    @staticmethod
    def _identity(properties: Properties) -> tuple[Any, Any]:
        return properties.get("Name"), properties.get("AutoScalingGroupProvider", {}).get("AutoScalingGroupArn")

    @staticmethod
    def _with_arn(clients: Clients, properties: Properties) -> dict[str, Any]:
        """Return the properties with the group's ARN, for which a template may give the group's name."""
        group = dict(properties["AutoScalingGroupProvider"])
        if not group["AutoScalingGroupArn"].startswith("arn:"):
            name = group["AutoScalingGroupArn"]
            groups = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
            if not groups["AutoScalingGroups"]:
                raise ValueError(f"The Auto Scaling group {name} does not exist")
            group["AutoScalingGroupArn"] = groups["AutoScalingGroups"][0]["AutoScalingGroupARN"]
        return {**properties, "AutoScalingGroupProvider": group}

    @staticmethod
    def _update_group(clients: Clients, name: str, properties: Properties) -> None:
        group = dict(properties["AutoScalingGroupProvider"])
        group.pop("AutoScalingGroupArn", None)
        if group:
            changes = api_parameters(clients("ecs"), "UpdateCapacityProvider", {"AutoScalingGroupProvider": group})
            clients("ecs").update_capacity_provider(name=name, **changes)


class ClusterCapacityProviderAssociations:
    """AWS::ECS::ClusterCapacityProviderAssociations. Ref is the cluster's name."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Give the cluster its capacity providers: the list replaces the one it had."""
        ecs = clients("ecs")
        ecs.put_cluster_capacity_providers(**api_parameters(ecs, "PutClusterCapacityProviders", properties))
        return properties["Cluster"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Replace the list."""
        removed = set(old["CapacityProviders"]) - set(new["CapacityProviders"])
        if new["Cluster"] == physical_id:
            self._refuse_while_used(clients, physical_id, removed)
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Take the providers from the cluster; as in ECS, not while a service uses one."""
        ecs = clients("ecs")
        clusters = ecs.describe_clusters(clusters=[physical_id])["clusters"]
        if not clusters or clusters[0]["status"] != "ACTIVE":
            return
        self._refuse_while_used(clients, physical_id, set(properties["CapacityProviders"]))
        ecs.put_cluster_capacity_providers(
            cluster=physical_id, capacityProviders=[], defaultCapacityProviderStrategy=[]
        )

    @staticmethod
    def _refuse_while_used(clients: Clients, cluster: str, providers: set[str]) -> None:
        ecs = clients("ecs")
        for arn in pages(ecs, "list_services", "serviceArns", cluster=cluster):
            service = ecs.describe_services(cluster=cluster, services=[arn])["services"][0]
            used = {item["capacityProvider"] for item in service.get("capacityProviderStrategy", [])}
            if used & providers:
                name = service["serviceName"]
                raise ValueError(f"The specified capacity provider is in use and cannot be removed: service {name}")


class TaskDefinition:
    """AWS::ECS::TaskDefinition. Ref is the ARN of one revision."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Register a family's first revision."""
        return self._register(clients, properties.get("Family") or owner.generated_name(), properties)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else registers the next revision."""
        if _without_tags(old) != _without_tags(new):
            if old.get("Family") != new.get("Family"):
                return self.create(clients, owner, new)
            family = physical_id.rpartition("/")[2].rpartition(":")[0]
            return self._register(clients, family, new)
        _update_ecs_tags(clients("ecs"), physical_id, old, new)
        return physical_id, {"TaskDefinitionArn": physical_id}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Deregister the revision."""
        _ignore("Unable to describe", clients("ecs").deregister_task_definition, taskDefinition=physical_id)

    @staticmethod
    def _register(clients: Clients, family: str, properties: Properties) -> Resource:
        ecs = clients("ecs")
        parameters = {**api_parameters(ecs, "RegisterTaskDefinition", properties), "family": family}
        arn = ecs.register_task_definition(**parameters)["taskDefinition"]["taskDefinitionArn"]
        return arn, {"TaskDefinitionArn": arn}


REPLACING_A_SERVICE = ("Cluster", "DeploymentController", "LaunchType", "Role", "SchedulingStrategy", "ServiceName")


class Service:
    """AWS::ECS::Service: done when the service is steady, failed when its deployment fails. Ref is the ARN."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Create the service and wait for its tasks; one that never got steady is removed again."""
        ecs = clients("ecs")
        parameters = self._parameters(ecs, "CreateService", properties)
        parameters["serviceName"] = properties.get("ServiceName") or owner.generated_name()
        service = ecs.create_service(**parameters)["service"]
        try:
            self._wait(ecs, service, owner)
        except Exception:  # whatever it is: the stack knows nothing of a service that was not created
            self.delete(clients, service["serviceArn"], properties)
            raise
        return self._resource(service)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change what differs and wait for the deployment, which ECS starts when the tasks change."""
        if any(old.get(name) != new.get(name) for name in REPLACING_A_SERVICE):
            return self.create(clients, owner, new)
        ecs = clients("ecs")
        changed = {name: value for name, value in new.items() if old.get(name) != value or name == "DesiredCount"}
        parameters = self._parameters(ecs, "UpdateService", _without_tags(changed))
        place = {"cluster": new.get("Cluster", "default"), "service": physical_id}
        described = ecs.describe_services(cluster=place["cluster"], services=[physical_id])["services"]
        if described and _primary(described[0])["rolloutState"] == "FAILED":
            # It has given up, and would not start a task again.
            parameters["forceNewDeployment"] = True
        service = ecs.update_service(**{**parameters, **place})["service"]
        _update_ecs_tags(ecs, physical_id, old, new)
        self._wait(ecs, service, owner)
        return self._resource(service)

    @staticmethod
    def _parameters(ecs: Client, operation: str, properties: Properties) -> dict[str, Value]:
        # The one property whose name in the API is another word.
        renamed = {"placementStrategy" if k == "PlacementStrategies" else k: v for k, v in properties.items()}
        return api_parameters(ecs, operation, renamed)

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Stop the tasks and delete the service."""
        cluster = properties.get("Cluster", "default")
        _ignore("not found", clients("ecs").delete_service, cluster=cluster, service=physical_id, force=True)

    @staticmethod
    def _resource(service: Mapping[str, Any]) -> Resource:
        return service["serviceArn"], {"ServiceArn": service["serviceArn"], "Name": service["serviceName"]}

    def _wait(self, ecs: Client, service: dict[str, Any], owner: Owner) -> None:
        deployment_id = _primary(service)["id"]
        deadline = time.monotonic() + STEADY_SECONDS
        while not self._steady(ecs, service, deployment_id):
            end = owner.ends_early()
            if time.monotonic() > deadline:
                end = f"{service['serviceName']} was not steady after {STEADY_SECONDS} s."
            if end:
                raise ValueError(f"{end} {_last_stop(ecs, service)}")
            time.sleep(STEADY_POLL_SECONDS)
            place = {"cluster": service["clusterArn"], "services": [service["serviceArn"]]}
            service = ecs.describe_services(**place)["services"][0]

    @staticmethod
    def _steady(ecs: Client, service: dict[str, Any], deployment_id: str) -> bool:
        deployment = next((item for item in service["deployments"] if item["id"] == deployment_id), None)
        if deployment is None or deployment["status"] != "PRIMARY" or deployment["rolloutState"] == "FAILED":
            cause = (deployment or {}).get("rolloutStateReason") or deployments.failure_in(
                service["events"], deployment_id
            )
            cause = cause or "Another deployment took its place."
            if deployment and "image digest" in cause:
                # No task gets as far as stopping for it.
                raise ValueError(f"{cause} {_missing_images(ecs, deployment['taskDefinition'])}")
            raise ValueError(f"{cause} {_last_stop(ecs, service)}")
        settled = deployment["rolloutState"] == "COMPLETED" and len(service["deployments"]) == 1
        return settled and bool(service["runningCount"] == service["desiredCount"])


def _primary(service: Mapping[str, Any]) -> dict[str, Any]:
    return next(item for item in service["deployments"] if item["status"] == "PRIMARY")


def _missing_images(ecs: Client, task_definition: str) -> str:
    """Return in the words of ECS that the images of a task definition could not be found."""
    definition = ecs.describe_task_definition(taskDefinition=task_definition)["taskDefinition"]
    images = ", ".join(sorted({container["image"] for container in definition["containerDefinitions"]}))
    return f"CannotPullContainerError: failed to resolve ref {images}: not found."


def _last_stop(ecs: Client, service: Mapping[str, Any]) -> str:
    """Return why a task of the service stopped last."""
    place = {"cluster": service["clusterArn"]}
    arns = list(
        pages(ecs, "list_tasks", "taskArns", **place, serviceName=service["serviceName"], desiredStatus="STOPPED")
    )
    if not arns:
        return "No task stopped."
    # DescribeTasks takes 100 tasks at most.
    tasks = ecs.describe_tasks(**place, tasks=arns[-100:])["tasks"]
    task = max(tasks, key=lambda item: str(item.get("stoppedAt", "")))
    codes = {str(item["exitCode"]) for item in task["containers"] if item.get("exitCode") is not None}
    exits = f" (exit code {', '.join(sorted(codes))})" if codes else ""
    return f"Last task stopped: {task.get('stoppedReason', 'no reason given')}{exits}"


class ScalableTarget:
    """AWS::ApplicationAutoScaling::ScalableTarget. Ref is resource|dimension|namespace."""

    identity = ("ResourceId", "ScalableDimension", "ServiceNamespace")

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Register the target and put its scheduled actions."""
        scaling = clients("application-autoscaling")
        scaling.register_scalable_target(**api_parameters(scaling, "RegisterScalableTarget", properties))
        target = {name: properties[name] for name in self.identity}
        for action in properties.get("ScheduledActions", []):
            scaling.put_scheduled_action(**api_parameters(scaling, "PutScheduledAction", {**target, **action}))
        physical_id = "|".join(target.values())
        return physical_id, {"Id": physical_id}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Register the target anew: the same one is changed, another one is the replacement."""
        if self._target(physical_id) == {name: new[name] for name in self.identity}:
            kept = {action["ScheduledActionName"] for action in new.get("ScheduledActions", [])}
            for action in old.get("ScheduledActions", []):
                if action["ScheduledActionName"] not in kept:
                    clients("application-autoscaling").delete_scheduled_action(
                        ScheduledActionName=action["ScheduledActionName"], **self._target(physical_id)
                    )
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Deregister the target, which removes its policies and scheduled actions."""
        call = clients("application-autoscaling").deregister_scalable_target
        _ignore("ObjectNotFoundException", call, **self._target(physical_id))

    def _target(self, physical_id: str) -> dict[str, str]:
        return dict(zip(self.identity, physical_id.split("|"), strict=True))


class ScalingPolicy:
    """AWS::ApplicationAutoScaling::ScalingPolicy. Ref is the ARN."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Put the policy on its target."""
        scaling = clients("application-autoscaling")
        parameters = api_parameters(scaling, "PutScalingPolicy", properties)
        arn = scaling.put_scaling_policy(**{**parameters, **self._target(properties)})["PolicyARN"]
        return arn, {"Arn": arn, "PolicyName": properties["PolicyName"]}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Put the policy: the same name on the same target is changed, anything else is the replacement."""
        del physical_id, old
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, _physical_id: str, properties: Properties) -> None:
        """Delete the policy."""
        call = clients("application-autoscaling").delete_scaling_policy
        _ignore("ObjectNotFoundException", call, PolicyName=properties["PolicyName"], **self._target(properties))

    @staticmethod
    def _target(properties: Properties) -> dict[str, str]:
        if properties.get("ScalingTargetId"):
            values = properties["ScalingTargetId"].split("|")
            return dict(zip(ScalableTarget.identity, values, strict=True))
        return {name: properties[name] for name in ScalableTarget.identity}


TYPES: dict[str, ResourceType] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": ScalableTarget(),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ScalingPolicy(),
    "AWS::EC2::EIP": ElasticIp(),
    "AWS::EC2::EgressOnlyInternetGateway": EgressOnlyInternetGateway(),
    "AWS::EC2::FlowLog": FlowLog(),
    "AWS::EC2::Instance": Instance(),
    "AWS::EC2::NatGateway": NatGateway(),
    "AWS::EC2::SecurityGroupEgress": SecurityGroupRule("egress"),
    "AWS::EC2::SecurityGroupIngress": SecurityGroupRule("ingress"),
    "AWS::EC2::VPCCidrBlock": VpcCidrBlock(),
    "AWS::ECS::CapacityProvider": CapacityProvider(),
    "AWS::ECS::ClusterCapacityProviderAssociations": ClusterCapacityProviderAssociations(),
    "AWS::ECS::Service": Service(),
    "AWS::ECS::TaskDefinition": TaskDefinition(),
    "AWS::WAFv2::LoggingConfiguration": FirewallLogging(),
    "AWS::WAFv2::WebACLAssociation": WebAclAssociation(),
}
# Those that the stack's own tags reach.
TAGGED = (
    "AWS::EC2::EIP",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::FlowLog",
    "AWS::EC2::Instance",
    "AWS::EC2::NatGateway",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
)
