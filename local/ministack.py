"""MiniStack, with what this project's templates need of AWS and it lacks: the only module that uses its private names.

The version is pinned and tests/test_local_ministack.py fails when a name that is used here moves.
MiniStack reads its settings from environment variables when it is imported: local.server sets them first.
"""

import functools
import json
import os
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Network
from types import ModuleType
from typing import Any

import docker.errors
from docker import DockerClient
from docker.models.containers import Container
from ministack import app
from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    set_request_account_id,
    set_request_region,
)
from ministack.services import alb, autoscaling, ec2, ecr, ecs, ssm
from ministack.services import cloudformation as stacks_of
from ministack.services.cloudformation import handlers, provisioners, stacks

from local import aws
from local.cloudformation_types import TAGGED, TYPES, Owner, Resource, ResourceType

Record = dict[str, Any]
# What MiniStack's functions return: an HTTP status, headers and a body.
Response = tuple[int, dict[str, str], bytes]

# The images that the public parameters of ECS-optimised Amazon Linux 2023 name, by the parameter's path.
MACHINE_IMAGES = {
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended": ("ami-0ec5a12023aaa8664", "x86_64"),
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended": ("ami-0ec5a12023aaa6464", "arm64"),
}
# Amazon Linux 2023 without ECS, for NAT instances.
PLAIN_MACHINE_IMAGE = ("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64", "ami-0a12023aaa6464000")
IMAGE_RELEASE = "2023.0.20261101"
# The account that publishes them.
IMAGE_OWNER = "591542846629"

# What ECS keeps of a service and MiniStack's CreateService drops.
KEPT_SERVICE_FIELDS = (
    "availabilityZoneRebalancing",
    "enableECSManagedTags",
    "healthCheckGracePeriodSeconds",
    "placementConstraints",
    "placementStrategy",
    "propagateTags",
)
# Seconds from SIGTERM to SIGKILL when a task definition does not say.
DEFAULT_STOP_TIMEOUT = 30
# Keeps that time with the container: the Docker SDK's run() cannot set Docker's own.
STOP_TIMEOUT_LABEL = "spotfleet.stop-timeout"
MEBIBYTE = 1024 * 1024


@functools.cache
def application() -> Callable[..., Any]:
    """Return MiniStack's ASGI application after adding to it what it lacks."""
    _add_resource_types()
    handlers._ACTION_HANDLERS["DescribeStacks"] = _with_notification_topics(handlers._describe_stacks)
    _add_machine_images()
    _serve_registry_here()
    _find_load_balancers_everywhere()
    _know_ipv6_and_nat_instances()
    _run_machines()
    _run_tasks_as_defined()
    asgi: Callable[..., Any] = app.app
    return asgi


def live_stacks() -> list[dict[str, str]]:
    """Return name and region of every stack that is not deleted, in all accounts and regions."""
    return [
        {"name": stack["StackName"], "region": region}
        for (_account, region, _name), stack in stacks_of._stacks.all_items()
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]


def _replace(module: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` returns for the original in the original's place; AttributeError when there is none."""
    setattr(module, name, make(getattr(module, name)))


# --- CloudFormation


def _add_resource_types() -> None:
    for name, resource_type in TYPES.items():
        provisioners._RESOURCE_HANDLERS[name] = _handlers(resource_type)
    vpc = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"]
    vpc |= {action: _with_cidr_block(vpc[action]) for action in ("create", "update")}
    for name in TAGGED:
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")

    def on_own_thread(original: Callable[[str], bool]) -> Callable[[str], bool]:
        # Our types call the embedded AWS back, which on the event loop's thread would wait for itself.
        return lambda resource_type: resource_type in TYPES or original(resource_type)

    _replace(stacks, "_runs_on_worker_thread", on_own_thread)


def _handlers(resource_type: ResourceType) -> Record:
    """Return a resource type in the form of MiniStack's table."""

    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        return resource_type.create(_client, Owner(stack_name, logical_id), properties)

    def update(physical_id: str, old: Record, new: Record, stack_name: str, logical_id: str) -> Resource:
        return resource_type.update(_client, Owner(stack_name, logical_id), physical_id, old, new)

    def delete(physical_id: str, properties: Record) -> None:
        resource_type.delete(_client, physical_id, properties)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _with_notification_topics(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Add the list, empty here, that AWS always answers with: `sceptre diff` reads it."""

    def describe(parameters: Record) -> Response:
        status, headers, body = original(parameters)
        return status, headers, body.replace(b"<StackStatus>", b"<NotificationARNs/><StackStatus>")

    return describe


def _with_cidr_block(original: Callable[..., Resource]) -> Callable[..., Resource]:
    """Add what Fn::GetAtt of a VPC lacks."""

    def handler(*arguments: object) -> Resource:
        vpc_id, attributes = original(*arguments)
        # The IPv6 network is the one that AWS::EC2::VPCCidrBlock brings, later than these attributes are kept.
        return vpc_id, attributes | {
            "CidrBlock": ec2._vpcs[vpc_id]["CidrBlock"],
            "Ipv6CidrBlocks": [_ipv6_block(vpc_id)],
        }

    return handler


def _client(service: str) -> aws.Client:
    return aws.client(service, get_region(), get_account_id())


# --- Networks: IPv6, and machines that forward traffic


def _know_ipv6_and_nat_instances() -> None:
    _replace(ec2, "_vpc_fields_xml", _with_ipv6_network)
    _replace(ec2, "_subnet_fields_xml", _with_ipv6_subnet)
    subnet = provisioners._RESOURCE_HANDLERS["AWS::EC2::Subnet"]
    subnet |= {action: _keeping_ipv6(subnet[action], index) for action, index in (("create", 1), ("update", 2))}
    ec2._ACTION_MAP["AssociateVpcCidrBlock"] = _associate_vpc_cidr_block
    ec2._ACTION_MAP["DisassociateVpcCidrBlock"] = _disassociate_vpc_cidr_block
    ec2._ACTION_MAP["ModifyInstanceAttribute"] = _modify_instance_attribute


def _ipv6_block(vpc_id: str) -> str:
    """Return the /56 that a VPC gets when it asks for one: always the same, in the range kept for documentation."""
    digits = vpc_id.removeprefix("vpc-").lower()
    return f"2001:db8:{digits[:4]}:{digits[4:6]}00::/56"


def _associate_vpc_cidr_block(parameters: Record) -> Response:
    vpc_id = ec2._p(parameters, "VpcId")
    if vpc_id not in ec2._vpcs:
        missing: Response = ec2._error("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist", 400)
        return missing
    ec2._vpcs[vpc_id]["Ipv6CidrBlock"] = _ipv6_block(vpc_id)
    association = _ipv6_association(vpc_id, "ipv6CidrBlockAssociation")
    answer: Response = ec2._xml(200, "AssociateVpcCidrBlockResponse", f"<vpcId>{vpc_id}</vpcId>{association}")
    return answer


def _disassociate_vpc_cidr_block(parameters: Record) -> Response:
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


def _with_ipv6_network(original: Callable[..., str]) -> Callable[..., str]:
    def xml(vpc: Record, tag: str = "item") -> str:
        text = original(vpc, tag)
        if "Ipv6CidrBlock" not in vpc:
            return text
        blocks = _ipv6_association(vpc["VpcId"], "item")
        return (
            text.removesuffix(f"</{tag}>")
            + f"<ipv6CidrBlockAssociationSet>{blocks}</ipv6CidrBlockAssociationSet></{tag}>"
        )

    return xml


def _with_ipv6_subnet(original: Callable[..., str]) -> Callable[..., str]:
    def xml(subnet: Record, tag: str = "item") -> str:
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

    return xml


def _keeping_ipv6(original: Callable[..., Resource], properties_index: int) -> Callable[..., Resource]:
    """Keep what a template says about a subnet's IPv6 addresses; MiniStack knows IPv4 only."""

    def handler(*arguments: Any) -> Resource:  # noqa: ANN401  # create and update differ
        properties = arguments[properties_index]
        block = properties.get("Ipv6CidrBlock")
        network = ec2._vpcs.get(properties["VpcId"], {}).get("Ipv6CidrBlock")
        if block and (not network or not IPv6Network(block).subnet_of(IPv6Network(network))):
            raise ValueError(f"The CIDR '{block}' is invalid: the VPC has no IPv6 network that holds it")
        subnet_id, attributes = original(*arguments)
        assign = str(properties.get("AssignIpv6AddressOnCreation", "false")).lower() == "true"
        ec2._subnets[subnet_id] |= {"Ipv6CidrBlock": block, "AssignIpv6AddressOnCreation": assign}
        return subnet_id, attributes

    return handler


def _modify_instance_attribute(parameters: Record) -> Response:
    """Change the check that a machine's traffic is its own; nothing else of a machine is changed in this project."""
    machine = ec2._instances.get(ec2._p(parameters, "InstanceId"))
    value = ec2._p(parameters, "SourceDestCheck.Value")
    if machine is None or not value:
        refusal: Response = ec2._error("InvalidParameterCombination", "Give InstanceId and SourceDestCheck", 400)
        return refusal
    machine["SourceDestCheck"] = value.lower() == "true"
    answer: Response = ec2._xml(200, "ModifyInstanceAttributeResponse", "<return>true</return>")
    return answer


# --- Machine images


def _add_machine_images() -> None:
    path, plain = PLAIN_MACHINE_IMAGE
    ssm._PUBLIC_AMI_PARAMETERS[path] = plain
    name = f"al2023-ami-{IMAGE_RELEASE}-kernel-6.1-arm64"
    ec2._STUB_AMIS.append((plain, name, "Amazon Linux 2023", "", "/dev/xvda", IMAGE_OWNER, "amazon"))
    for path, (image_id, architecture) in MACHINE_IMAGES.items():
        name = f"al2023-ami-ecs-hvm-{IMAGE_RELEASE}-kernel-6.1-{architecture}"
        description = {"image_id": image_id, "image_name": name, "os": "Amazon Linux 2023", "schema_version": 1}
        ssm._PUBLIC_AMI_PARAMETERS[path] = json.dumps(description)
        ssm._PUBLIC_AMI_PARAMETERS[f"{path}/image_id"] = image_id
        ec2._STUB_AMIS.append(
            (image_id, name, "ECS-optimised Amazon Linux 2023", "", "/dev/xvda", IMAGE_OWNER, "amazon")
        )


# --- Registry


def _serve_registry_here() -> None:
    """Name repositories localhost:<port>/<name>: Docker reaches that without a name server and without TLS."""
    address = f"localhost:{os.environ['GATEWAY_PORT']}"

    def with_proxy_endpoint(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
        def get_authorization_token(data: Record) -> Response:
            status, headers, body = original(data)
            answer = json.loads(body)
            for entry in answer["authorizationData"]:
                entry["proxyEndpoint"] = f"http://{address}"
            return status, headers, json.dumps(answer).encode()

        return get_authorization_token

    _replace(ecr, "_describe_images", _telling_missing_images)
    _replace(ecr, "_repo_uri", lambda _original: lambda name: f"{address}/{name}")
    _replace(ecr, "_get_authorization_token", with_proxy_endpoint)


def _telling_missing_images(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Answer as ECR does when an image that was asked for by name is not there; MiniStack leaves it out."""

    def describe_images(data: Record) -> Response:
        status, headers, body = original(data)
        missing = [image for image in data.get("imageIds", []) if not ecr._find_image(data["repositoryName"], image)]
        if status >= HTTPStatus.BAD_REQUEST or not missing:
            return status, headers, body
        wanted = ", ".join(f"{key}:'{value}'" for key, value in sorted(missing[0].items()))
        text = f"The image with imageId {{{wanted}}} does not exist within the repository with name "
        text += f"'{data['repositoryName']}' in the registry with id '{get_account_id()}'"
        error: Response = error_response_json("ImageNotFoundException", text, HTTPStatus.BAD_REQUEST)
        return error

    return describe_images


# --- Load balancers


def _find_load_balancers_everywhere() -> None:
    """Answer a load balancer's traffic in its own region: a plain request carries no region as AWS requests do."""

    def in_own_region(original: Callable[[str], Record | None]) -> Callable[[str], Record | None]:
        def find(name: str) -> Record | None:
            for (account, region, _arn), balancer in alb._lbs.all_items():
                if balancer["LoadBalancerName"] == name:
                    set_request_account_id(account)
                    set_request_region(region)
            return original(name)

        return find

    # Only MiniStack's traffic handler uses this function.
    _replace(alb, "_find_lb_by_name", in_own_region)


# --- Machines: the instances of an Auto Scaling group


def _run_machines() -> None:
    _replace(provisioners, "_asg_fields", _with_mixed_instances)
    _replace(provisioners, "_asg_create", _with_first_instances)
    _replace(provisioners, "_asg_update", _with_kept_capacity)
    _replace(provisioners, "_asg_delete", _with_last_instances)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::AutoScaling::AutoScalingGroup"]
    for action in ("create", "update", "delete"):
        handlers[action] = getattr(provisioners, f"_asg_{action}")
    _replace(autoscaling, "_reconcile_instances", lambda _original: _reach_desired_capacity)
    _replace(autoscaling, "_instance_member_xml", _with_instance_type)
    autoscaling._ACTION_MAP["DescribeAutoScalingGroups"] = _with_policy(autoscaling._describe_asgs)
    _replace(ec2, "_instance_xml", _with_lifecycle)


def _with_mixed_instances(original: Callable[[Record], Record]) -> Callable[[Record], Record]:
    def fields(properties: Record) -> Record:
        group = original(properties)
        group["MixedInstancesPolicy"] = properties.get("MixedInstancesPolicy") or {}
        group["CapacityRebalance"] = str(properties.get("CapacityRebalance", "false")).lower() == "true"
        zones = [ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets]
        if zones:
            group["AvailabilityZones"] = list(dict.fromkeys(zones))
        return group

    return fields


def _with_first_instances(original: Callable[..., Resource]) -> Callable[..., Resource]:
    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        name, attributes = original(logical_id, properties, stack_name)
        _reach_desired_capacity(autoscaling._asgs[name])
        return name, attributes

    return create


def _with_kept_capacity(original: Callable[..., Resource]) -> Callable[..., Resource]:
    """Without DesiredCapacity in the template an update keeps what the group has, within its new bounds."""

    def update(physical_id: str, old: Record, new: Record, *owner: str) -> Resource:
        before = autoscaling._asgs[physical_id]["DesiredCapacity"] if physical_id in autoscaling._asgs else 0
        name, attributes = original(physical_id, old, new, *owner)
        group = autoscaling._asgs[name]
        if "DesiredCapacity" not in new and name == physical_id:
            group["DesiredCapacity"] = min(max(before, group["MinSize"]), group["MaxSize"])
        _reach_desired_capacity(group)
        return name, attributes

    return update


def _with_last_instances(original: Callable[[str, Record], None]) -> Callable[[str, Record], None]:
    def delete(physical_id: str, properties: Record) -> None:
        if group := autoscaling._asgs.get(physical_id):
            group["DesiredCapacity"] = 0
            _reach_desired_capacity(group)
        original(physical_id, properties)

    return delete


def _reach_desired_capacity(group: Record) -> None:
    """Launch or terminate instances until the group has as many as it wants."""
    instances = group["Instances"]
    while len(instances) > group["DesiredCapacity"]:
        ec2._terminate_instances({"InstanceId.1": [instances.pop()["InstanceId"]]})
    while len(instances) < group["DesiredCapacity"]:
        instances.append(_launch(group))


def _launch(group: Record) -> Record:
    """Launch the group's next instance: in the zone with the fewest, on demand while the distribution wants that."""
    specification, overrides = _launch_specification(group)
    data = _launch_template_data(specification)
    spot = _next_is_spot(group)
    types = [item["InstanceType"] for item in overrides if "InstanceType" in item]
    types = types or [data.get("InstanceType", "t3.micro")]
    instance_type = types[len(group["Instances"]) % len(types)] if spot else types[0]
    subnet, zone = _emptiest_subnet(group)
    machine = ec2._launch_instances_internal(
        image_id=data.get("ImageId", ""),
        instance_type=instance_type,
        subnet_id=subnet,
        count=1,
        user_data=data.get("UserData", ""),
        sg_ids=data.get("SecurityGroupIds"),
    )[0]
    machine["Placement"]["AvailabilityZone"] = zone
    arm_images = [image for image, architecture in MACHINE_IMAGES.values() if architecture == "arm64"]
    machine["Architecture"] = "arm64" if machine["ImageId"] in arm_images else "x86_64"
    if spot:
        machine["InstanceLifecycle"] = "spot"
    tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in group["Tags"] if tag.get("PropagateAtLaunch")]
    name_tag = {"Key": "aws:autoscaling:groupName", "Value": group["AutoScalingGroupName"]}
    ec2._tags[machine["InstanceId"]] = [*tags, name_tag]
    return {
        "InstanceId": machine["InstanceId"],
        "InstanceType": instance_type,
        "LifecycleState": "InService",
        "HealthStatus": "Healthy",
        "AvailabilityZone": zone,
        "ProtectedFromScaleIn": str(group["NewInstancesProtectedFromScaleIn"]).lower() == "true",
        "LaunchTemplate": provisioners._asg_launch_template(specification),
        "LaunchConfigurationName": group["LaunchConfigurationName"],
    }


def _launch_specification(group: Record) -> tuple[Record, list[Record]]:
    """Return the launch template that a group names, and what its mixed instances policy overrides."""
    launch = group["MixedInstancesPolicy"].get("LaunchTemplate") if group.get("MixedInstancesPolicy") else None
    if launch:
        return launch["LaunchTemplateSpecification"], launch.get("Overrides", [])
    return group.get("LaunchTemplate") or {}, []


def _launch_template_data(specification: Record) -> Record:
    if not specification:
        return {}
    template = ec2._launch_templates.get(provisioners._asg_launch_template(specification)["LaunchTemplateId"])
    if not template:
        return {}
    named = {"$Latest": template["LatestVersionNumber"], "$Default": template["DefaultVersionNumber"]}
    version = str(specification.get("Version", "$Default"))
    number = int(named.get(version, version))
    data: Record = next(
        (item["LaunchTemplateData"] for item in template["Versions"] if item["VersionNumber"] == number), {}
    )
    return data


def _next_is_spot(group: Record) -> bool:
    """Tell whether the group's next instance is a Spot instance.

    On-demand instances fill the base first and then their share, rounded up, of what is above it:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html
    """
    distribution = (group.get("MixedInstancesPolicy") or {}).get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity", 0))
    percentage = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    total = len(group["Instances"]) + 1
    wanted = min(base, total) + -(-max(total - base, 0) * percentage // 100)
    machines = [ec2._instances.get(item["InstanceId"], {}) for item in group["Instances"]]
    on_demand = sum(machine.get("InstanceLifecycle") != "spot" for machine in machines)
    return bool(on_demand >= wanted)


def _subnets(group: Record) -> list[str]:
    return [subnet.strip() for subnet in group["VPCZoneIdentifier"].split(",") if subnet.strip()]


def _emptiest_subnet(group: Record) -> tuple[str, str]:
    """Return the subnet, and its zone, that holds the fewest of the group's instances."""
    zones = {subnet: ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets}
    zones = zones or {ec2._DEFAULT_SUBNET_ID: group["AvailabilityZones"][0]}
    used = [instance["AvailabilityZone"] for instance in group["Instances"]]
    return min(zones.items(), key=lambda item: used.count(item[1]))


def _with_instance_type(original: Callable[..., str]) -> Callable[..., str]:
    def xml(instance: Record, *names: str, **named: str) -> str:
        text = original(instance, *names, **named)
        return (
            text.removesuffix("</member>") + f"<InstanceType>{instance.get('InstanceType', '')}</InstanceType></member>"
        )

    return xml


def _with_policy(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def describe(parameters: Record) -> Response:
        status, headers, body = original(parameters)
        text = body.decode()
        for name, group in autoscaling._asgs.items():
            more = f"<CapacityRebalance>{str(group.get('CapacityRebalance', False)).lower()}</CapacityRebalance>"
            if group.get("MixedInstancesPolicy"):
                policy = autoscaling._member_xml(group["MixedInstancesPolicy"])
                more += f"<MixedInstancesPolicy>{policy}</MixedInstancesPolicy>"
            element = f"<AutoScalingGroupName>{name}</AutoScalingGroupName>"
            text = text.replace(element, element + more)
        return status, headers, text.encode()

    return describe


def _with_lifecycle(original: Callable[[Record], str]) -> Callable[[Record], str]:
    def xml(machine: Record) -> str:
        text = original(machine)
        if lifecycle := machine.get("InstanceLifecycle"):
            text = text.removesuffix("</item>") + f"<instanceLifecycle>{lifecycle}</instanceLifecycle></item>"
        return text

    return xml


# --- Tasks


def _run_tasks_as_defined() -> None:
    _replace(ecs, "_build_run_kwargs", _with_definition)
    _replace(ecs, "_remove_docker_container", lambda _original: _stop_and_remove)
    _replace(ecs, "_attach_started_container", _with_network_bindings)
    _replace(ecs, "_make_deployment", _in_progress_at_first)
    for operation in ("CreateService", "UpdateService"):
        ecs._ACTION_MAP[operation] = _keeping_fields(ecs._ACTION_MAP[operation])


def _with_definition(original: Callable[..., Record]) -> Callable[..., Record]:
    def run_arguments(container: Record, task: Record, env: Record, ports: Record, *rest: object) -> Record:
        on_loopback = {port: ("127.0.0.1", host_port or None) for port, host_port in ports.items()}
        settings = original(container, task, env, on_loopback, *rest) | _container_settings(container, task)
        settings["labels"][STOP_TIMEOUT_LABEL] = str(container.get("stopTimeout") or DEFAULT_STOP_TIMEOUT)
        return settings

    return run_arguments


def _container_settings(container: Record, task: Record) -> Record:
    """Return the arguments for Docker of what a container definition says and MiniStack drops."""
    linux = container.get("linuxParameters") or {}
    memory = container.get("memory") or task.get("memory")
    cpu = container.get("cpu") or task.get("cpu")
    settings = {
        "cap_drop": (linux.get("capabilities") or {}).get("drop"),
        "cpu_shares": int(cpu) if cpu else None,
        "entrypoint": container.get("entryPoint"),
        "init": linux.get("initProcessEnabled"),
        "mem_limit": int(memory) * MEBIBYTE if memory else None,
        "mem_reservation": int(container.get("memoryReservation", 0)) * MEBIBYTE,
        "read_only": container.get("readonlyRootFilesystem"),
        "tmpfs": _scratch_folders(container, task, linux),
        "user": container.get("user"),
        "working_dir": container.get("workingDirectory"),
    }
    return {name: value for name, value in settings.items() if value}


def _scratch_folders(container: Record, task: Record, linux: Record) -> Record:
    """Return the tmpfs mounts, among them the task's volumes that no folder of the machine stands behind."""
    on_machine = {item["name"] for item in task.get("volumes", []) if (item.get("host") or {}).get("sourcePath")}
    mounts = {
        item["containerPath"]: "ro" if item.get("readOnly") else "rw"
        for item in container.get("mountPoints", [])
        if item["sourceVolume"] not in on_machine
    }
    for item in linux.get("tmpfs", []):
        mounts[item["containerPath"]] = ",".join([f"size={item['size']}m", *item.get("mountOptions", [])])
    return mounts


def _stop_and_remove(client: DockerClient | None, container: Container | str | None) -> None:
    """Stop a container with the time that its task definition gives it, and remove it."""
    if client is None or container is None:
        return
    try:
        if isinstance(container, str):
            container = client.containers.get(container)
        container.stop(timeout=int(container.labels.get(STOP_TIMEOUT_LABEL, DEFAULT_STOP_TIMEOUT)))
        container.remove(v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        ecs.logger.warning("ECS: could not remove a container: %s", error)


def _with_network_bindings(original: Callable[..., bool]) -> Callable[..., bool]:
    def attach(task: Record, container: Container, index: int, *rest: object) -> bool:
        if not original(task, container, index, *rest):
            return False
        container.reload()
        published = container.attrs["NetworkSettings"]["Ports"] or {}
        task["containers"][index]["networkBindings"] = [
            {
                "bindIP": binding["HostIp"],
                "containerPort": int(port.partition("/")[0]),
                "hostPort": int(binding["HostPort"]),
                "protocol": port.partition("/")[2],
            }
            for port, bindings in published.items()
            for binding in bindings or []
        ]
        return True

    return attach


def _in_progress_at_first(original: Callable[..., Record]) -> Callable[..., Record]:
    """A new service's deployment is under way as well: otherwise its circuit breaker never counts."""

    def make(*arguments: object, **named: object) -> Record:
        return original(*arguments, **named) | {"rolloutState": "IN_PROGRESS", "rolloutStateReason": ""}

    return make


def _keeping_fields(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def operation(data: Record) -> Response:
        status, headers, body = original(data)
        answer = json.loads(body)
        if service := answer.get("service"):
            kept = {name: data[name] for name in KEPT_SERVICE_FIELDS if name in data}
            cluster = service["clusterArn"].rpartition("/")[2]
            ecs._services[f"{cluster}/{service['serviceName']}"].update(kept)
            service.update(kept)
        return status, headers, json.dumps(answer).encode()

    return operation
