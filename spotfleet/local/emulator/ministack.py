"""MiniStack, with what this project's templates need of AWS and it lacks.

Only this module and local.ministack_elbv2, which has its load balancers, use MiniStack's private names.

The version is pinned and tests/test_local_ministack.py fails when a name that is used here moves.
MiniStack reads its settings from environment variables when it is imported: local.server sets them first.
"""

import base64
import functools
import json
import math
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import IPv6Network
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import docker.errors
from botocore.exceptions import BotoCoreError, ClientError
from docker import DockerClient
from docker.models.containers import Container, ContainerCollection
from ministack import app
from ministack.core import container_reaper
from ministack.core.concurrency import resource_lock, spawn_background
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    now_iso,
    request_scope,
)
from ministack.services import (
    alb,
    autoscaling,
    cloudwatch,
    cloudwatch_logs,
    ec2,
    ecr,
    ecs,
    iam,
    route53,
    sns,
    ssm,
    sts,
    waf,
)
from ministack.services import cloudformation as stacks_of
from ministack.services.cloudformation import changesets, handlers, helpers, provisioners, stacks

from spotfleet.behaviour import instance_refresh, machine_life, placement
from spotfleet.facts import aws_names
from spotfleet.local.api import clients, metrics_store, rolling_policy
from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator import (
    containment,
    deployments,
    elbv2,
    group_updates,
    instance_refreshes,
    launch_hooks,
    operations,
    registrations,
)
from spotfleet.local.emulator.cloudformation_types import (
    REPLACING_A_SERVICE,
    TAGGED,
    TYPES,
    Owner,
    Resource,
    ResourceType,
)
from spotfleet.local.emulator.passive_types import PASSIVE_TYPES
from spotfleet.local.emulator.records import Record
from spotfleet.local.emulator.registrations import deregistered, registered
from spotfleet.local.host import clock, keys, running_containers

NO_PRICES = "The embedded AWS knows no prices: ask AWS, or see docs/settings.md, which has what each setting costs."
# Types whose failed update a rollback takes back.
SENT_BACK = ("AWS::ECS::Service", rolling_policy.GROUP_TYPE)

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
# By which MiniStack, as the ECS agent, says to which task a container belongs.
TASK_LABEL = "com.amazonaws.ecs.task-arn"
MEBIBYTE = 1024 * 1024
CPU_UNITS = 1024
MICROSECONDS = 1000
# What DescribeScalingActivities of a group goes back to.
KEPT_ACTIVITIES = 100
# Real seconds in which the lines that the tasks print are collected, to go to their log streams together.
LOG_SECONDS = 0.5
# Lines that a log stream keeps: hours of load must not fill the memory.
KEPT_LINES = 10_000
# A waiting task looks for a machine this often, besides whenever one registers, and then for the Docker engine.
PLACEMENT_SECONDS = 0.5

# How a web ACL logs, by its ARN.
_firewall_logging = AccountRegionScopedDict()
# Container instances by ARN.
_container_instances = AccountRegionScopedDict()
# Held while a task gets its machine, so that two tasks never take the same room.
_placing = threading.Condition()
# What the tasks have printed, by account, region, log group and log stream.
_lines: dict[tuple[str, str, str, str], list[Record]] = {}
_collecting = threading.Lock()


@functools.cache
def application(key: str) -> Callable[..., Any]:
    """Return MiniStack's ASGI application after adding to it what it lacks, and taking away what nobody may reach.

    `key` is the key of this start, which the credentials and logins that it gives out are made of.
    """
    _keep_to_services_in_use()
    _start_contained_containers_only()
    _add_resource_types()
    _keep_resource_types_passive()
    _know_more_of_stacks()
    _stay_in_one_account(key)
    _add_machine_images()
    _serve_registry_here(key)
    _name_target_groups_as_metrics_do()
    _know_ipv6_and_nat_instances()
    _replace(waf, "handle_request", _with_logging)
    _run_machines()
    _run_tasks_as_defined()
    _keep_logs()
    _keep_targets()
    elbv2.add()
    _keep_container_instances()
    # It looks at all dimensions of a metric together, and at no missing data: local.scaling judges the alarms.
    _replace(cloudwatch, "_evaluate_all_alarms", lambda _original: lambda: None)
    asgi: Callable[..., Any] = app.app
    return asgi


def live_stacks() -> list[dict[str, str]]:
    """Return name and region of every stack that is not deleted, in all accounts and regions."""
    return [
        {"name": stack["StackName"], "region": region}
        for (_account, region, _name), stack in stacks_of._stacks.all_items()
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]


def _replace(module: ModuleType | type, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` returns for the original in the original's place; AttributeError when there is none."""
    setattr(module, name, make(getattr(module, name)))


# --- CloudFormation


def _add_resource_types() -> None:
    for name, resource_type in TYPES.items():
        provisioners._RESOURCE_HANDLERS[name] = _handlers(resource_type)
    vpc = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"]
    vpc |= {action: _with_cidr_block(vpc[action]) for action in ("create", "update")}
    provisioners._REPLACING_PROPERTIES["AWS::ECS::Service"] = REPLACING_A_SERVICE
    record_set = provisioners._RESOURCE_HANDLERS["AWS::Route53::RecordSet"]
    record_set["create"] = _with_hosted_zone(record_set["create"])
    role = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    role |= {"create": _with_boundary(role["create"], 1), "update": _with_boundary(role["update"], 2)}
    for name in TAGGED:
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")

    def on_own_thread(original: Callable[[str], bool]) -> Callable[[str], bool]:
        # Our types call the embedded AWS back, which on the event loop's thread would wait for itself.
        # The end of a service waits until its tasks have left the load balancer.
        own = {*TYPES, "AWS::ECS::Service", rolling_policy.GROUP_TYPE}
        return lambda resource_type: resource_type in own or original(resource_type)

    def with_services_and_groups(original: Callable[[str], bool]) -> Callable[[str], bool]:
        # Both have changed already when their update fails for what comes of it: tasks or machines that do not start.
        return lambda resource_type: resource_type in SENT_BACK or original(resource_type)

    _replace(stacks, "_runs_on_worker_thread", on_own_thread)
    _replace(stacks, "_sends_back_failed_update", with_services_and_groups)


def _keep_to_services_in_use() -> None:
    """Forget the services that nothing here asks: the gate stands before them, and nothing shall be behind it."""
    for name in app.SERVICE_HANDLERS.keys() - operations.CHANGING.keys():
        del app.SERVICE_HANDLERS[name]
    # To whatever address a topic's subscription has.
    _replace(sns, "_http_post_sync", lambda _original: lambda *_arguments: HTTPStatus.FORBIDDEN)


def _start_contained_containers_only() -> None:
    """Look at every container that is made here, for a task or anything else."""

    def contained(original: Callable[..., Container]) -> Callable[..., Container]:
        def create(collection: ContainerCollection, *arguments: object, **settings: object) -> Container:
            containment.require_contained(settings)
            return original(collection, *arguments, **settings)

        return create

    _replace(ContainerCollection, "create", contained)


def _keep_resource_types_passive() -> None:
    """Forget the types that would run what a template gives them, on this machine or in a container of their own."""
    for name in provisioners._RESOURCE_HANDLERS.keys() - PASSIVE_TYPES - TYPES.keys():
        del provisioners._RESOURCE_HANDLERS[name]


def _handlers(resource_type: ResourceType) -> Record:
    """Return a resource type in the form of MiniStack's table."""

    def owner(stack_name: str, logical_id: str) -> Owner:
        return Owner(stack_name, logical_id, functools.partial(_ends_early, stack_name))

    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        return resource_type.create(_client, owner(stack_name, logical_id), properties)

    def update(physical_id: str, old: Record, new: Record, stack_name: str, logical_id: str) -> Resource:
        return resource_type.update(_client, owner(stack_name, logical_id), physical_id, old, new)

    def delete(physical_id: str, properties: Record) -> None:
        resource_type.delete(_client, physical_id, properties)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _ends_early(stack_name: str) -> str:
    """Return why the operation on a stack must not wait any longer, or nothing while it may."""
    stack = stacks_of._stacks.get(stack_name) or {}
    status, patience = stack.get("StackStatus"), int(stack.get("TimeoutInMinutes") or 0)
    if status == "UPDATE_IN_PROGRESS" and stack.get("_cancel_requested"):
        return "Resource update cancelled."
    if (
        status == "CREATE_IN_PROGRESS"
        and patience
        and time.time() > stack.get("_created_at", time.time()) + 60 * patience
    ):
        return f"Stack creation time exceeded the specified timeout of {patience} minutes."
    return ""


def _know_more_of_stacks() -> None:
    """Keep what a stack was given, describe it as AWS does, read templates from S3, and lose nothing in a rollback."""
    actions = handlers._ACTION_HANDLERS
    actions["DescribeStacks"] = _describing_all(actions["DescribeStacks"])
    for action in ("CreateStack", "UpdateStack", "CreateChangeSet", "ExecuteChangeSet"):
        actions[action] = _keeping_what_is_given(actions[action])
    actions["EstimateTemplateCost"] = lambda _parameters: handlers._error("ValidationError", NO_PRICES)
    _replace(helpers, "_resolve_document", _reading_bucket_urls)
    _replace(stacks, "_roll_back_operation", _keeping_what_is_left)
    # It has the function under a name of its own.
    handlers._roll_back_operation = stacks._roll_back_operation


def _describing_all(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Add what MiniStack leaves out: topics, role, timeout, and the name behind a parameter's value.

    `sceptre diff` compares them. https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html
    """

    def describe(parameters: Record) -> Response:
        status, headers, body = original(parameters)
        text = body.decode()
        for stack in list(stacks_of._stacks.values()):
            element = f"<StackId>{handlers._esc(stack['StackId'])}</StackId>"
            before, found, after = text.partition(element)
            own, end, rest = after.partition("</Outputs>")
            if found:
                text = before + found + _given_elements(stack) + _with_parameter_names(stack, own) + end + rest
        return status, headers, text.encode()

    return describe


def _given_elements(stack: Record) -> str:
    topics = "".join(f"<member>{handlers._esc(topic)}</member>" for topic in stack.get("NotificationARNs", []))
    single = {name: stack[name] for name in ("RoleARN", "TimeoutInMinutes") if stack.get(name)}
    elements = "".join(f"<{name}>{handlers._esc(str(value))}</{name}>" for name, value in single.items())
    return f"<NotificationARNs>{topics}</NotificationARNs>{elements}"


def _with_parameter_names(stack: Record, text: str) -> str:
    """Give a parameter that names an SSM parameter that name as its value, and what it stands for beside it."""
    for key, kept in stack.get("_resolved_params", {}).items():
        if name := kept.get("SsmName"):
            value = f"<ParameterKey>{handlers._esc(key)}</ParameterKey><ParameterValue>"
            resolved = f"{handlers._esc(kept['Value'])}</ParameterValue>"
            named = (
                f"{handlers._esc(name)}</ParameterValue><ResolvedValue>{handlers._esc(kept['Value'])}</ResolvedValue>"
            )
            text = text.replace(value + resolved, value + named)
    return text


def _keeping_what_is_given(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Keep topics, role and timeout of a request; MiniStack drops them.

    A stack keeps its role for every later operation:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """

    def operation(parameters: Record) -> Response:
        answer = original(parameters)
        refused = answer[0] >= HTTPStatus.BAD_REQUEST and b"No updates are to be performed." not in answer[2]
        name = handlers._p(parameters, "StackName")
        stack = handlers._resolve_stack(name)
        if refused or not stack:
            return answer
        _, change_set = changesets._find_change_set(handlers._p(parameters, "ChangeSetName"), stack["StackName"])
        given = _given(parameters)
        if handlers._p(parameters, "Action") == "CreateChangeSet":
            change_set["_given"] = given
        else:
            stack |= given | (change_set or {}).get("_given", {})
            stack.setdefault("_created_at", time.time())
        return answer

    return operation


def _given(parameters: Record) -> Record:
    found: Record = {}
    # An empty list arrives as "NotificationARNs=".
    if "NotificationARNs" in parameters or handlers._p(parameters, "NotificationARNs.member.1"):
        found["NotificationARNs"] = handlers._extract_string_members(parameters, "NotificationARNs")
    for name in ("RoleARN", "TimeoutInMinutes"):
        if value := handlers._p(parameters, name):
            found[name] = value
    return found


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
BUCKET_HOST = re.compile(r"^(?P<bucket>.+)\.s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?$")


def _reading_bucket_urls(original: Callable[..., tuple[str | None, Response | None]]) -> Callable[..., Any]:
    """Find a template in the bucket that the host of its URL names, as Sceptre writes it; MiniStack reads paths."""

    def resolve(parameters: Record, body_key: str, url_key: str, label: str) -> tuple[str | None, Response | None]:
        url = urlsplit(handlers._p(parameters, url_key))
        if match := BUCKET_HOST.match(url.hostname or ""):
            path = f"/{match['bucket']}{url.path}"
            parameters = parameters | {url_key: [urlunsplit(("https", "s3.amazonaws.com", path, "", ""))]}
        return original(parameters, body_key, url_key, label)

    return resolve


def _keeping_what_is_left(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Keep the resources that the rollback of a creation could not delete: the stack's deletion has to delete them."""

    async def roll_back(
        stack_name: str, stack_id: str, stack: Record, operation: Record, *rest: str, **named: str
    ) -> None:
        await original(stack_name, stack_id, stack, operation, *rest, **named)
        if stack["StackStatus"] == "ROLLBACK_FAILED":
            for logical_id, left in stack.get("_rollback_failed", {}).items():
                more = {"LogicalResourceId": logical_id, "ResourceStatus": "DELETE_FAILED", "Attributes": {}}
                stack["_resources"][logical_id] = left | more | {"Timestamp": now_iso()}

    return roll_back


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


def _with_hosted_zone(original: Callable[..., Resource]) -> Callable[..., Resource]:
    """Make the zone that a record names: the user has it on AWS, and here nobody could make one with the same id."""

    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        zone_id = properties["HostedZoneId"]
        name = route53._normalise_name(properties["Name"]).partition(".")[2]
        with route53._lock:
            if zone_id not in route53._zones:
                zone = {"id": zone_id, "name": name, "caller_reference": zone_id}
                route53._zones[zone_id] = zone | {"comment": "", "private": False, "vpcs": []}
                route53._records[zone_id] = route53._default_records(name)
        return original(logical_id, properties, stack_name)

    return create


def _with_boundary(original: Callable[..., Resource], properties_index: int) -> Callable[..., Resource]:
    """Keep a role's permissions boundary, which MiniStack keeps for roles from its API only."""

    def handler(*arguments: Any) -> Resource:  # noqa: ANN401  # create and update differ
        name, attributes = original(*arguments)
        iam._roles[name]["PermissionsBoundary"] = arguments[properties_index].get("PermissionsBoundary")
        return name, attributes

    return handler


def _client(service: str) -> clients.Client:
    return clients.client(service, get_region(), get_account_id())


# --- Roles


def _stay_in_one_account(key: str) -> None:
    """Let an assumed role work in the caller's own account: the embedded AWS has no other that anybody looks at.

    The machines, the load balancer and the registry are those of one account. In another one a stack would be out of
    sight of every later command.
    """

    def with_own_credentials(original: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def handle(method: str, path: str, headers: Record, body: bytes, query: Record) -> Response:
            status, more, answer = await original(method, path, headers, body, query)
            if status < HTTPStatus.BAD_REQUEST and b"<AssumeRoleResult>" in answer:
                own = {
                    "AccessKeyId": sts.extract_access_key_id(headers, query) or "",
                    "SecretAccessKey": key,
                }
                for name, value in own.items():
                    answer = re.sub(f"<{name}>[^<]*</{name}>".encode(), f"<{name}>{value}</{name}>".encode(), answer)
            return status, more, answer

        return handle

    _replace(sts, "handle_request", with_own_credentials)


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


# --- Firewall


def _with_logging(original: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Add the operations on a web ACL's log. Nothing is written to it, as no firewall inspects requests here."""
    operations = {
        "PutLoggingConfiguration": _put_logging_configuration,
        "GetLoggingConfiguration": _get_logging_configuration,
        "DeleteLoggingConfiguration": _delete_logging_configuration,
    }

    async def handle(method: str, path: str, headers: Record, body: bytes, query: Record) -> Response:
        operation = operations.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if operation is None:
            return await original(method, path, headers, body, query)
        return operation(json.loads(body))

    return handle


def _put_logging_configuration(data: Record) -> Response:
    configuration = data["LoggingConfiguration"]
    web_acl = configuration["ResourceArn"]
    if all(acl["ARN"] != web_acl for acl in waf._web_acls.values()):
        return _no_such_item()
    for destination in configuration["LogDestinationConfigs"]:
        name = destination.rpartition(":log-group:")[2]
        # https://docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html
        if not name.startswith("aws-waf-logs-") or name not in cloudwatch_logs._log_groups:
            text = f"Error reason: The ARN isn't valid., field: LOG_DESTINATION, parameter: {destination}"
            refusal: Response = error_response_json("WAFInvalidParameterException", text, 400)
            return refusal
    _firewall_logging[web_acl] = configuration
    answer: Response = json_response({"LoggingConfiguration": configuration})
    return answer


def _get_logging_configuration(data: Record) -> Response:
    if (configuration := _firewall_logging.get(data["ResourceArn"])) is None:
        return _no_such_item()
    answer: Response = json_response({"LoggingConfiguration": configuration})
    return answer


def _delete_logging_configuration(data: Record) -> Response:
    if _firewall_logging.pop(data["ResourceArn"], None) is None:
        return _no_such_item()
    answer: Response = json_response({})
    return answer


def _no_such_item() -> Response:
    text = "AWS WAF couldn't perform the operation because your resource doesn't exist."
    answer: Response = error_response_json("WAFNonexistentItemException", text, 400)
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
    _replace(ec2, "_stub_image_view", _telling_architecture)


def _telling_architecture(original: Callable[..., Record]) -> Callable[..., Record]:
    """Tell the architecture that an image's name ends in; MiniStack has x86_64 for all."""

    def stub_image_view(image_id: str, name: str, *more: str) -> Record:
        view = original(image_id, name, *more)
        return view | {"Architecture": "arm64"} if name.endswith("-arm64") else view

    return stub_image_view


# --- Registry


def _serve_registry_here(key: str) -> None:
    """Name repositories 127.0.0.1:<port>/<name>: Docker reaches that without a name server and without TLS.

    Not localhost: on a machine where that is ::1 as well, another user can listen there for logins and images.
    """
    address = f"127.0.0.1:{os.environ['GATEWAY_PORT']}"
    user, password = "AWS", keys.of_registry(key)

    def with_proxy_endpoint(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
        def get_authorization_token(data: Record) -> Response:
            status, headers, body = original(data)
            answer = json.loads(body)
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            for entry in answer["authorizationData"]:
                entry |= {"proxyEndpoint": f"http://{address}", "authorizationToken": login}
            return status, headers, json.dumps(answer).encode()

        return get_authorization_token

    def with_login(original: Callable[[Record], Record | None]) -> Callable[[Record], Record | None]:
        def credentials(container: Record) -> Record | None:
            if not container.get("image", "").startswith(f"{address}/"):
                return original(container)
            return {"username": user, "password": password}

        return credentials

    _replace(ecs, "_resolve_repository_credentials", with_login)
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


def _name_target_groups_as_metrics_do() -> None:
    """Let Fn::GetAtt TargetGroupFullName be the dimension of the group's metrics: MiniStack cuts its beginning off.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """
    _replace(alb, "_target_group_full_name_from_arn", lambda _original: lambda arn: arn.rpartition(":")[2])


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
    autoscaling._ACTION_MAP |= {
        "CompleteLifecycleAction": _complete_lifecycle_action,
        "DescribeAutoScalingGroups": _with_policy(autoscaling._describe_asgs),
        "DescribeScalingActivities": _describe_group_activities,
        "SetDesiredCapacity": _set_desired_capacity(autoscaling._set_desired_capacity),
        "TerminateInstanceInAutoScalingGroup": _terminate_in_group,
        **instance_refreshes.operations(),
    }
    ec2._ACTION_MAP |= {
        "DescribeInstanceAttribute": _with_user_data(ec2._describe_instance_attribute),
        "TerminateInstances": _with_dying_tasks(ec2._terminate_instances),
    }
    _replace(ec2, "_instance_xml", _with_lifecycle)


def _with_mixed_instances(original: Callable[[Record], Record]) -> Callable[[Record], Record]:
    def fields(properties: Record) -> Record:
        group = original(properties)
        group["MixedInstancesPolicy"] = properties.get("MixedInstancesPolicy") or {}
        group["CapacityRebalance"] = str(properties.get("CapacityRebalance", "false")).lower() == "true"
        group["DefaultInstanceWarmup"] = int(properties.get("DefaultInstanceWarmup") or 0)
        zones = [ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets]
        if zones:
            group["AvailabilityZones"] = list(dict.fromkeys(zones))
        return group

    return fields


def _with_first_instances(original: Callable[..., Resource]) -> Callable[..., Resource]:
    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        name, attributes = original(logical_id, properties, stack_name)
        launch_hooks.keep(name, {}, properties)
        _reach_desired_capacity(autoscaling._asgs[name])
        group_updates.settle(_client("autoscaling"), name, functools.partial(_ends_early, stack_name))
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
        launch_hooks.keep(name, old, new)
        _reach_desired_capacity(group)
        group_updates.replace_machines(
            _client("autoscaling"),
            _client("cloudformation"),
            name,
            _joined_machines,
            triggered=instance_refresh.is_triggered(old, new),
            ends_early=functools.partial(_ends_early, owner[0]),
        )
        return name, attributes

    return update


def _with_last_instances(original: Callable[[str, Record], None]) -> Callable[[str, Record], None]:
    def delete(physical_id: str, properties: Record) -> None:
        if group := autoscaling._asgs.get(physical_id):
            for instance in list(group["Instances"]):
                _remove_instance(group, instance)
        original(physical_id, properties)

    return delete


def _reach_desired_capacity(group: Record) -> None:
    """Launch or take out instances until the group has as many as it wants."""
    while (surplus := len(_staying(group)) - group["DesiredCapacity"]) > 0:
        number = f"from {group['DesiredCapacity'] + surplus} to {group['DesiredCapacity']}"
        cause = f"an instance was taken out of service in response to a difference in capacity, shrinking {number}."
        _take_out(group, _first_to_leave(group), cause)
    while len(_staying(group)) < group["DesiredCapacity"]:
        before = len(_staying(group))
        instance = _launch(group)
        if instance is None:
            text = (
                "AutoScaling: %s launches nothing and stays below its desired capacity: no known instance type has %s"
            )
            autoscaling.logger.warning(text, group["AutoScalingGroupName"], _launch_specification(group)[1])
            return
        group["Instances"].append(instance)
        cause = "an instance was started in response to a difference between desired and actual capacity, "
        _note(group, _launching(instance), f"{cause}from {before} to {before + 1}.")
        if instance["LifecycleState"] == launch_hooks.PENDING:
            _progress(group, instance, "MidLifecycleAction")


def _staying(group: Record) -> list[Record]:
    """Return the instances that make a group's size: neither those that leave nor those that have a successor."""
    return [
        item
        for item in group["Instances"]
        if not item["LifecycleState"].startswith("Terminating") and not instance_refreshes.is_succeeded(item)
    ]


def _first_to_leave(group: Record) -> Record:
    """Return the instance to lose: Spot before on-demand, without tasks before with, newest first.

    AWS's default policy does not look at the tasks: managed draining moves them.
    """
    surplus_on_demand = _on_demand_count(group) > _on_demand_wanted(group, group["DesiredCapacity"])

    def order(instance: Record) -> tuple[bool, bool]:
        return _is_spot(instance) == surplus_on_demand, bool(_tasks_on_instance(instance["InstanceId"]))

    # Of equals the last: the newest.
    return min(reversed(_staying(group)), key=order)


def _take_out(group: Record, instance: Record, cause: str) -> None:
    """Take an instance out of its group: with tasks on it, it waits until ECS has drained it."""
    if instance["LifecycleState"].startswith("Terminating"):
        return
    _note(group, _terminating(instance), cause)
    machine = ec2._instances.get(instance["InstanceId"], {})
    alive = machine.get("State", {}).get("Name") == "running"
    if alive and _is_drained_by_ecs(group) and _tasks_on_instance(instance["InstanceId"]):
        instance["LifecycleState"] = "Terminating:Wait"
    else:
        _remove_instance(group, instance)


def _remove_instance(group: Record, instance: Record) -> None:
    group["Instances"].remove(instance)
    for activity in group.get("_activities", []):
        if activity["Description"] == _terminating(instance):
            activity["EndTime"] = now_iso()
    ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": [instance["InstanceId"]]})


def _is_drained_by_ecs(group: Record) -> bool:
    provider = _provider_of(group["AutoScalingGroupARN"])
    settings = provider["autoScalingGroupProvider"] if provider else {}
    return bool(provider) and settings.get("managedDraining", "ENABLED") == "ENABLED"


def _terminating(instance: Record) -> str:
    """Return how the activity is described that takes an instance out of its group."""
    return f"Terminating EC2 instance: {instance['InstanceId']}"


def _launching(instance: Record) -> str:
    """Return how the activity is described that launches an instance."""
    return f"Launching a new EC2 instance: {instance['InstanceId']}"


def _progress(group: Record, instance: Record, status: str, message: str = "") -> None:
    """Say how far the launch of an instance is; it has an end when nothing more comes of it."""
    found = [item for item in group["_activities"] if item["Description"] == _launching(instance)]
    activity: Record = found[0] if found else {}
    activity.pop("EndTime", None)
    activity |= {"StatusCode": status, **({"StatusMessage": message} if message else {})}
    if status in {"Successful", "Cancelled"}:
        activity["EndTime"] = now_iso()


def _note(group: Record, description: str, cause: str) -> None:
    """Keep what happened to a group for DescribeScalingActivities."""
    now = now_iso()
    activity = {
        "ActivityId": str(uuid4()),
        "AutoScalingGroupName": group["AutoScalingGroupName"],
        "Description": description,
        "Cause": f"At {now} {cause}",
        "StartTime": now,
        "EndTime": now,
        "StatusCode": "Successful",
        "Progress": "100",
    }
    group["_activities"] = [activity, *group.get("_activities", [])][:KEPT_ACTIVITIES]


def _describe_group_activities(parameters: Record) -> Response:
    name = autoscaling._p(parameters, "AutoScalingGroupName")
    found = [
        f"<member>{autoscaling._member_xml(activity)}</member>"
        for group in autoscaling._asgs.values()
        if name in ("", group["AutoScalingGroupName"])
        for activity in group.get("_activities", [])
    ]
    answer = f"<Activities>{''.join(found)}</Activities>"
    return _autoscaling_answer("DescribeScalingActivities", answer)


def _autoscaling_answer(operation: str, inner: str) -> Response:
    answer: Response = autoscaling._xml(
        HTTPStatus.OK, f"{operation}Response", f"<{operation}Result>{inner}</{operation}Result>"
    )
    return answer


def _autoscaling_error(text: str) -> Response:
    error: Response = autoscaling._error("ValidationError", text)
    return error


def _group_of(instance_id: str) -> tuple[Record, Record] | None:
    for group in autoscaling._asgs.values():
        for instance in group["Instances"]:
            if instance["InstanceId"] == instance_id:
                return group, instance
    return None


def _set_desired_capacity(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def operation(parameters: Record) -> Response:
        group = autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName"))
        desired = autoscaling._p(parameters, "DesiredCapacity")
        for name, word in (("MinSize", "below min"), ("MaxSize", "above max")):
            if group and desired and (int(desired) > group[name] if name == "MaxSize" else int(desired) < group[name]):
                text = f"New SetDesiredCapacity value {desired} is {word} value {group[name]} for the AutoScalingGroup."
                return _autoscaling_error(text)
        return original(parameters)

    return operation


def _terminate_in_group(parameters: Record) -> Response:
    """TerminateInstanceInAutoScalingGroup, which MiniStack lacks."""
    found = _group_of(autoscaling._p(parameters, "InstanceId"))
    if not found:
        return _autoscaling_error("Instance Id not found - No managed instance found")
    group, instance = found
    if autoscaling._p(parameters, "ShouldDecrementDesiredCapacity") == "true":
        if group["DesiredCapacity"] <= group["MinSize"]:
            text = "Currently, desiredSize equals minSize. Terminating instance without replacement will violate "
            return _autoscaling_error(f"{text}group's min size constraint.")
        group["DesiredCapacity"] -= 1
    _take_out(group, instance, f"an instance was taken out of service in response to {_reason(instance)}.")
    _reach_desired_capacity(group)
    activity = autoscaling._member_xml(group["_activities"][0])
    return _autoscaling_answer("TerminateInstanceInAutoScalingGroup", f"<Activity>{activity}</Activity>")


def _reason(instance: Record) -> str:
    """Return why an instance leaves its group."""
    if ec2._instances.get(instance["InstanceId"], {}).get("State", {}).get("Name") != "running":
        return "an EC2 health check: it has been terminated"
    if instance_refreshes.is_succeeded(instance):
        return "an instance refresh"
    noticed = any(tag["Key"] == machine_life.NOTICE_TAG for tag in ec2._tags.get(instance["InstanceId"], []))
    return "an EC2 Spot interruption notice" if noticed else "a user request"


def _complete_lifecycle_action(parameters: Record) -> Response:
    """End the wait of an instance that has joined or is drained: MiniStack's own does nothing."""
    instance_id, hook = autoscaling._p(parameters, "InstanceId"), autoscaling._p(parameters, "LifecycleHookName")
    found = _group_of(instance_id)
    if found and launch_hooks.is_of(found[0]["AutoScalingGroupName"], hook):
        group, instance = found
        if instance["LifecycleState"] != launch_hooks.PENDING:
            return _autoscaling_error(f"No active Lifecycle Action found with instance ID {instance_id}")
        _end_launch(group, instance, autoscaling._p(parameters, "LifecycleActionResult") == "CONTINUE")
    elif found and found[1]["LifecycleState"] == "Terminating:Wait":
        _remove_instance(*found)
    return _autoscaling_answer("CompleteLifecycleAction", "")


def _end_launch(group: Record, instance: Record, in_service: bool) -> None:
    """Put a new instance into service, or replace it: its launch has failed."""
    if in_service:
        instance["LifecycleState"] = "InService"
        _progress(group, instance, "Successful")
        return
    message = "Instance failed to complete user's Lifecycle Action: Lifecycle Action was abandoned"
    _progress(group, instance, "Cancelled", message)
    _take_out(group, instance, "an instance was taken out of service in response to a launch that was abandoned.")
    _reach_desired_capacity(group)


def _with_user_data(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Tell an instance's user data, which MiniStack always calls empty."""

    def describe(parameters: Record) -> Response:
        status, headers, body = original(parameters)
        machine = ec2._instances.get(str(ec2._p(parameters, "InstanceId")), {})
        value = f"<userData><value>{machine.get('UserData', '')}</value></userData>"
        return status, headers, body.replace(b"<userData/>", value.encode())

    return describe


def _launch(group: Record) -> Record | None:
    """Launch the group's next instance: in the zone with the fewest, on demand while the distribution wants that.

    None where no known instance type has what the group requires.
    """
    specification, overrides = _launch_specification(group)
    data = _launch_template_data(specification)
    spot = _next_is_spot(group)
    types = machine_life.launched_types(overrides, [data.get("InstanceType", "t3.micro")])
    if not types:
        return None
    instance_type = types[len(_staying(group)) % len(types)] if spot else types[0]
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
        "LifecycleState": launch_hooks.first_state(group["AutoScalingGroupName"]),
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
    return _on_demand_count(group) >= _on_demand_wanted(group, len(_staying(group)) + 1)


def _on_demand_wanted(group: Record, total: int) -> int:
    distribution = (group.get("MixedInstancesPolicy") or {}).get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity", 0))
    percentage = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    return min(base, total) + -(-max(total - base, 0) * percentage // 100)


def _on_demand_count(group: Record) -> int:
    return sum(not _is_spot(instance) for instance in _staying(group))


def _is_spot(instance: Record) -> bool:
    return bool(ec2._instances.get(instance["InstanceId"], {}).get("InstanceLifecycle") == "spot")


def _subnets(group: Record) -> list[str]:
    return [subnet.strip() for subnet in group["VPCZoneIdentifier"].split(",") if subnet.strip()]


def _emptiest_subnet(group: Record) -> tuple[str, str]:
    """Return the subnet, and its zone, that holds the fewest of the group's instances."""
    zones = {subnet: ec2._subnets[subnet]["AvailabilityZone"] for subnet in _subnets(group) if subnet in ec2._subnets}
    zones = zones or {ec2._DEFAULT_SUBNET_ID: group["AvailabilityZones"][0]}
    used = [instance["AvailabilityZone"] for instance in _staying(group)]
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
            more += f"<DefaultInstanceWarmup>{group.get('DefaultInstanceWarmup', 0)}</DefaultInstanceWarmup>"
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


# --- Container instances: the machines as ECS knows them, and the tasks that it places on them


def _keep_container_instances() -> None:
    ecs._ACTION_MAP |= {
        "CreateCapacityProvider": _refusing_reserved_names(ecs._ACTION_MAP["CreateCapacityProvider"]),
        "DeregisterContainerInstance": _deregister_container_instance,
        "DescribeContainerInstances": _describe_container_instances,
        "ListContainerInstances": _list_container_instances,
        "RegisterContainerInstance": _register_container_instance,
        "StopTask": _with_replacement(ecs._ACTION_MAP["StopTask"]),
        "SubmitTaskStateChange": _replacing_unhealthy(ecs._ACTION_MAP["SubmitTaskStateChange"]),
        "UpdateContainerInstancesState": _update_container_instances_state,
    }
    _replace(ecs, "_start_task_worker", _with_placement)
    _replace(ecs, "_run_task", _within_maximum)
    _replace(ecs, "_cluster_view", _with_machine_count)


def _register_container_instance(data: Record) -> Response:
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    if cluster not in ecs._clusters:
        return _ecs_error("ClusterNotFoundException", "Cluster not found.")
    instance_id = json.loads(data["instanceIdentityDocument"])["instanceId"]
    for record in _container_instances.values():
        if record["ec2InstanceId"] == instance_id and record["status"] != "INACTIVE":
            return _ecs_answer({"containerInstance": _described(record)})
    arn = f"arn:aws:ecs:{get_region()}:{get_account_id()}:container-instance/{cluster}/{uuid4().hex}"
    _container_instances[arn] = {
        "containerInstanceArn": arn,
        "ec2InstanceId": instance_id,
        "capacityProviderName": None,
        "status": "ACTIVE",
        "agentConnected": True,
        "registeredAt": time.time(),
        "registeredResources": data.get("totalResources", []),
        "attributes": data.get("attributes", []),
        "versionInfo": data.get("versionInfo", {}),
        "version": 1,
        "_cluster": cluster,
    }
    _wake_waiting_tasks()
    return _ecs_answer({"containerInstance": _described(_container_instances[arn])})


def _joined_machines() -> set[str]:
    """Return the EC2 instances whose ECS agent is in a cluster."""
    return {record["ec2InstanceId"] for record in _container_instances.values() if record["status"] != "INACTIVE"}


def _capacity_provider(record: Record) -> str | None:
    """Return the capacity provider of a machine: its group may get one when the machine has joined already."""
    if record["capacityProviderName"] is None:
        found = _group_of(record["ec2InstanceId"])
        provider = _provider_of(found[0]["AutoScalingGroupARN"]) if found else None
        record["capacityProviderName"] = provider["name"] if provider else None
    name: str | None = record["capacityProviderName"]
    return name


def _deregister_container_instance(data: Record) -> Response:
    record = _container_instance(data.get("containerInstance", ""))
    if record is None:
        return _ecs_error("InvalidParameterException", "Referenced container instance not found.")
    if _tasks_on(record["containerInstanceArn"]) and not data.get("force"):
        return _ecs_error("InvalidParameterException", "Found running tasks on the instance.")
    record |= {"status": "INACTIVE", "agentConnected": False}
    _start_replacements(_tasks_on(record["containerInstanceArn"]))
    return _ecs_answer({"containerInstance": _described(record)})


def _list_container_instances(data: Record) -> Response:
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    wanted = [data["status"]] if "status" in data else ["ACTIVE", "DRAINING"]
    arns = [
        arn
        for arn, record in _container_instances.items()
        if record["_cluster"] == cluster and record["status"] in wanted
    ]
    return _ecs_answer({"containerInstanceArns": arns})


def _describe_container_instances(data: Record) -> Response:
    found = {reference: _container_instance(reference) for reference in data.get("containerInstances", [])}
    return _ecs_answer(
        {
            "containerInstances": [_described(record) for record in found.values() if record],
            "failures": [{"arn": name, "reason": "MISSING"} for name, record in found.items() if not record],
        }
    )


def _update_container_instances_state(data: Record) -> Response:
    records = [item for reference in data["containerInstances"] if (item := _container_instance(reference))]
    for record in records:
        record["status"] = data["status"]
        if data["status"] == "DRAINING":
            _start_replacements(_tasks_on(record["containerInstanceArn"]))
    _wake_waiting_tasks()
    return _ecs_answer({"containerInstances": [_described(record) for record in records], "failures": []})


def _refusing_reserved_names(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def create(data: Record) -> Response:
        if aws_names.is_reserved_for_capacity_providers(data.get("name", "")):
            prefixes = ", ".join(aws_names.RESERVED_FOR_CAPACITY_PROVIDERS)
            text = f"The specified capacity provider name is invalid: it must not begin with {prefixes}."
            return _ecs_error("InvalidParameterException", text)
        return original(data)

    return create


def _ecs_answer(body: Record) -> Response:
    answer: Response = json_response(ecs._sanitize(body))
    return answer


def _ecs_error(code: str, text: str) -> Response:
    error: Response = error_response_json(code, text, HTTPStatus.BAD_REQUEST)
    return error


def _container_instance(reference: str) -> Record | None:
    """Return the record of an ARN or of its last part."""
    for arn, record in _container_instances.items():
        if reference in (arn, arn.rpartition("/")[2]):
            found: Record = record
            return found
    return None


def _described(record: Record) -> Record:
    tasks = _tasks_on(record["containerInstanceArn"])
    machine = _machine(record)
    remaining = {"CPU": machine.cpu, "MEMORY": machine.memory}
    return record | {
        "capacityProviderName": _capacity_provider(record),
        "remainingResources": [
            item | {"integerValue": remaining[item["name"]]} if item["name"] in remaining else item
            for item in record["registeredResources"]
        ],
        "runningTasksCount": sum(task["lastStatus"] == "RUNNING" for task in tasks),
        "pendingTasksCount": sum(task["lastStatus"] != "RUNNING" for task in tasks),
    }


def _with_machine_count(original: Callable[..., Record]) -> Callable[..., Record]:
    def view(cluster: Record, *rest: object) -> Record:
        records = [item for item in _container_instances.values() if item["_cluster"] == cluster["clusterName"]]
        count = sum(record["status"] != "INACTIVE" for record in records)
        return original(cluster, *rest) | {"registeredContainerInstancesCount": count}

    return view


def _provider_of(group_arn: str) -> Record | None:
    """Return the capacity provider of an Auto Scaling group."""
    for provider in ecs._capacity_providers.values():
        if provider["autoScalingGroupProvider"].get("autoScalingGroupArn") == group_arn:
            found: Record = provider
            return found
    return None


def _tasks_on(container_instance: str) -> list[Record]:
    return [
        task
        for task in list(ecs._tasks.values())
        if task.get("containerInstanceArn") == container_instance and task["lastStatus"] != "STOPPED"
    ]


def _tasks_on_instance(instance_id: str) -> list[Record]:
    return [
        task
        for record in list(_container_instances.values())
        if record["ec2InstanceId"] == instance_id and record["status"] != "INACTIVE"
        for task in _tasks_on(record["containerInstanceArn"])
    ]


def _machine(record: Record) -> placement.Machine:
    """Return a container instance with the room that its tasks leave."""
    sizes = {item["name"]: item.get("integerValue", 0) for item in record["registeredResources"]}
    attributes = {item["name"]: item.get("value", "") for item in record["attributes"]}
    machine = placement.Machine(
        id=record["containerInstanceArn"],
        zone=attributes.get("ecs.availability-zone", ""),
        type=attributes.get("ecs.instance-type", ""),
        cpu=sizes.get("CPU", 0),
        memory=sizes.get("MEMORY", 0),
    )
    for task in _tasks_on(record["containerInstanceArn"]):
        machine = machine.with_task(_need(task))
    return machine


def _need(task: Record) -> placement.Need:
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    return placement.need_of(definition, task.get("startedBy") or task.get("group", ""))


def _with_placement(original: Callable[..., None]) -> Callable[..., None]:
    """Start a task's containers once a machine has room for it: until then the task is PROVISIONING."""

    def work(task: Record, definition: Record, overrides: list[Record], engine: DockerClient) -> None:
        if task.get("launchType") != "FARGATE":
            # MiniStack makes one up.
            task["containerInstanceArn"] = None
            if not _wait_for_machine(task):
                return
        _wait_for_engine(task, engine)
        original(task, definition, overrides, engine)

    return work


def _wait_for_machine(task: Record) -> bool:
    """Wait until the task has a machine; False when it was stopped before."""
    with _placing:
        while ecs._task_is_active(task["taskArn"], task):
            if machine := _choose_machine(task):
                task |= {"containerInstanceArn": machine.id, "availabilityZone": machine.zone}
                return True
            _placing.wait(PLACEMENT_SECONDS)
    return False


def _wait_for_engine(task: Record, engine: DockerClient) -> None:
    """Wait while no Docker engine answers: a task would fail at once, and so would the next one."""
    while _engine_watch().running(engine) is None and ecs._task_is_active(task["taskArn"], task):
        time.sleep(PLACEMENT_SECONDS)


def _choose_machine(task: Record) -> placement.Machine | None:
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    machines = [
        _machine(record)
        for record in list(_container_instances.values())
        if record["_cluster"] == cluster
        and record["status"] == "ACTIVE"
        and task.get("capacityProviderName") in (None, _capacity_provider(record))
    ]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}", {})
    distinct = any(item.get("type") == "distinctInstance" for item in service.get("placementConstraints", []))
    strategies = service.get("placementStrategy") or placement.DEFAULT_STRATEGY
    return placement.choose(_need(task), machines, strategies, distinct=distinct)


def _wake_waiting_tasks() -> None:
    with _placing:
        _placing.notify_all()


def _within_maximum(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Start no more tasks of a service than its maximum percent allows; MiniStack leaves draining ones out."""

    def run(data: Record) -> Response:
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        service = ecs._services.get(f"{cluster}/{data.get('startedBy')}") if data.get("_deploymentId") else None
        if service:
            percent = int((service.get("deploymentConfiguration") or {}).get("maximumPercent", 200))
            free = max(1, service["desiredCount"] * percent // 100) - len(_live_tasks(service))
            if free <= 0:
                return _ecs_answer({"tasks": [], "failures": []})
            data = data | {"count": min(data.get("count", 1), free)}
        return original(data)

    return run


def _live_tasks(service: Record) -> list[Record]:
    return [
        task
        for task in list(ecs._tasks.values())
        if task["clusterArn"] == service["clusterArn"]
        and task.get("startedBy") == service["serviceName"]
        and task["desiredStatus"] != "STOPPED"
    ]


def _start_replacements(tasks: list[Record]) -> None:
    """Let ECS start replacements for tasks, of a machine that drains or unhealthy ones, before they are stopped.

    A task whose group is no longer its service's does not count for the service any more.
    """
    for task in tasks:
        if task.get("group", "").startswith("service:"):
            task["group"] = f"draining:{task['startedBy']}"
    _reconcile_services_of(tasks)


def _replacing_unhealthy(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Start a replacement for a task that is reported as UNHEALTHY: AWS has no API to tell its scheduler so.

    Such a task failed its deployment.
    """

    def submit(data: Record) -> Response:
        task = ecs._resolve_task(data.get("task", ""), ecs._resolve_cluster_name(data.get("cluster", "default")))
        if task and data.get("status") == "UNHEALTHY":
            task["_failed_because"] = data.get("reason", "Task failed health checks")
            ecs._record_service_task_failure(task)
            task["healthStatus"] = "UNHEALTHY"
            _start_replacements([task])
        return original(data)

    return submit


def _reconcile_services_of(tasks: list[Record]) -> None:
    for cluster, name in {(ecs._cluster_name_from_arn(task["clusterArn"]), task.get("startedBy")) for task in tasks}:
        if f"{cluster}/{name}" in ecs._services:
            ecs._reconcile_service_tasks(cluster, f"{cluster}/{name}")


def _with_replacement(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """After StopTask its service starts another task; MiniStack waits for the service's next change."""

    def stop(data: Record) -> Response:
        answer = original(data)
        task = ecs._resolve_task(data.get("task", ""), ecs._resolve_cluster_name(data.get("cluster", "default")))
        if task:
            _reconcile_services_of([task])
        return answer

    return stop


def _with_dying_tasks(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """What runs on a machine ends with it, without notice."""

    def terminate(parameters: Record) -> Response:
        answer = original(parameters)
        for instance_id in ec2._parse_member_list(parameters, "InstanceId"):
            tasks = _tasks_on_instance(instance_id)
            for record in _container_instances.values():
                if record["ec2InstanceId"] == instance_id:
                    record |= {"status": "INACTIVE", "agentConnected": False}
            if tasks:
                spawn_background(_kill, tasks, f"Host EC2 (instance {instance_id}) terminated.")
        return answer

    return terminate


def _kill(tasks: list[Record], reason: str) -> None:
    engine = ecs._get_docker()
    for task in tasks:
        containers = list(task.get("_docker_ids") or [])
        ecs._mark_task_stopped(task["taskArn"], task, reason, "TerminationNotice")
        for container in containers if engine else []:
            with suppress(*running_containers.ERRORS):
                engine.containers.get(container).kill()
        ecs._cleanup_task_resources(task, engine)
    _reconcile_services_of(tasks)


# --- Logs of tasks


def _keep_logs() -> None:
    """Put lines into log streams together: one by one they cost as much as the requests that they tell of."""
    _replace(ecs, "_emit_awslogs_event", lambda _original: _collect_line)
    spawn_background(_put_lines_for_ever, thread_name="logs-of-tasks")


def _collect_line(config: Record, message: str) -> None:
    stream = (get_account_id(), get_region(), config["group"], config["stream"])
    with _collecting:
        _lines.setdefault(stream, []).append({"timestamp": int(time.time() * 1000), "message": message})


def _put_lines_for_ever() -> None:
    while True:
        time.sleep(LOG_SECONDS)
        _put_lines()


def _put_lines() -> None:
    with _collecting:
        collected = dict(_lines)
        _lines.clear()
    for (account, region, group, stream), events in collected.items():
        # The log group may be deleted at this moment.
        with request_scope(account, region), suppress(KeyError):
            place = {"logGroupName": group, "logStreamName": stream}
            cloudwatch_logs._put_log_events({**place, "logEvents": events})
            _forget_oldest_lines(group, stream)
            _count_lines(group, events)


def _count_lines(group: str, events: list[Record]) -> None:
    """Publish what a log group has taken in.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    """
    values = {
        "IncomingBytes": [float(sum(len(event["message"].encode()) for event in events))],
        "IncomingLogEvents": [float(len(events))],
    }
    # The server may be about to end.
    with suppress(BotoCoreError, ClientError):
        dimensions = {"LogGroupName": group}
        metrics_store.publish(_client("cloudwatch"), "AWS/Logs", values, dimensions, metrics_store.minute(time.time()))


def _forget_oldest_lines(group: str, stream: str) -> None:
    with cloudwatch_logs._log_events_lock:
        events = cloudwatch_logs._log_groups[group]["streams"][stream]["events"]
        forgotten = events[:-KEPT_LINES]
        del events[: len(forgotten)]
    for event in forgotten:
        cloudwatch_logs._log_records.pop(event["eventId"], None)


# --- Tasks


def _run_tasks_as_defined() -> None:
    _replace(ecs, "_build_run_kwargs", _with_definition)
    _replace(ecs, "_remove_docker_container", lambda _original: _stop_and_remove)
    _replace(ecs, "_maybe_mark_stopped", _seeing_removals)
    _replace(ecs, "_attach_started_container", _with_network_bindings)
    _replace(ecs, "_make_deployment", _in_progress_at_first)
    _replace(ecs, "_refresh_service_state", _forgetting_failed_deployments)
    _replace(ecs, "_reconcile_service_tasks", _stopping_superseded)
    for operation in ("CreateService", "UpdateService"):
        ecs._ACTION_MAP[operation] = _keeping_fields(ecs._ACTION_MAP[operation])
    _replace(ecs, "_register_task_definition", _refusing_this_machine)
    ecs._ACTION_MAP["RegisterTaskDefinition"] = ecs._register_task_definition
    definition = provisioners._RESOURCE_HANDLERS["AWS::ECS::TaskDefinition"]
    definition |= {
        action: _failing_for_this_machine(definition[action], i) for action, i in (("create", 1), ("update", 2))
    }


def _refusing_this_machine(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Refuse by the API what would give a task this machine."""

    def register(data: Record) -> Response:
        if problems := list(containment.problems_of_definition(data)):
            error: Response = error_response_json("ClientException", _not_given(problems), HTTPStatus.BAD_REQUEST)
            return error
        return original(data)

    return register


def _failing_for_this_machine(original: Callable[..., Resource], properties_index: int) -> Callable[..., Resource]:
    """Refuse the same in a template."""

    def handler(*arguments: Any) -> Resource:  # noqa: ANN401  # create and update differ
        if problems := list(containment.problems_of_definition(arguments[properties_index])):
            raise ValueError(_not_given(problems))
        return original(*arguments)

    return handler


def _not_given(problems: list[str]) -> str:
    return f"Refused on the embedded AWS, where a task would get this machine: {'; '.join(problems)}"


def _with_definition(original: Callable[..., Record]) -> Callable[..., Record]:
    def run_arguments(container: Record, task: Record, env: Record, ports: Record, *rest: object) -> Record:
        on_loopback = {port: ("127.0.0.1", host_port or None) for port, host_port in ports.items()}
        settings = original(container, task, env, on_loopback, *rest) | _container_settings(container, task)
        settings |= _cpu_limit(task, settings["labels"][TASK_LABEL])
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
        "security_opt": container.get("dockerSecurityOptions"),
        "tmpfs": _scratch_folders(container, task, linux),
        "user": container.get("user"),
        "working_dir": container.get("workingDirectory"),
    }
    return {name: value for name, value in settings.items() if value}


def _cpu_limit(definition: Record, task_arn: str) -> Record:
    """Return the arguments for Docker of a task's CPU size: a hard limit, where a container's is only a share.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
    """
    if not definition.get("cpu"):
        return {}
    machine = ec2._instances.get(_machine_of(ecs._tasks.get(task_arn, {})), {})
    period = machine_life.cpu_period(machine_life.agent_settings(machine.get("UserData", ""))) * MICROSECONDS
    return {"cpu_period": period, "cpu_quota": period * int(definition["cpu"]) // CPU_UNITS}


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
        timeout = int(container.labels.get(STOP_TIMEOUT_LABEL, DEFAULT_STOP_TIMEOUT))
        # Docker takes whole seconds.
        container.stop(timeout=math.ceil(clock.seconds(timeout)))
        container.remove(v=True, force=True)
    except docker.errors.NotFound:
        return
    except running_containers.ERRORS as error:
        # The task ends all the same: a service that is deleted waits for it.
        ecs.logger.warning("ECS: could not remove a container: %s", error)


@functools.cache
def _engine_watch() -> running_containers.EngineWatch:
    return running_containers.EngineWatch(f"{container_reaper.INSTANCE_LABEL}={container_reaper.instance_id()}")


def _seeing_removals(original: Callable[..., None]) -> Callable[..., None]:
    """Let a task end whose container is gone, which MiniStack takes for an engine that does not answer.

    MiniStack asks the engine for every container of its own many times a second: here only for those not known to run.
    """

    def look(task: Record, engine: DockerClient | None = None) -> None:
        containers = list(task.get("_docker_ids") or [])
        engine = engine or ecs._get_docker()
        if task.get("lastStatus") != "RUNNING" or not containers or engine is None:
            return
        running = _engine_watch().running(engine)
        if running is None or running.issuperset(containers):
            return
        original(task, engine)
        essential = task.get("_container_essentials") or [True] * len(containers)
        watched = [name for name, needed in zip(containers, essential, strict=False) if needed]
        if task["lastStatus"] == "RUNNING" and any(running_containers.is_gone(engine, name) for name in watched):
            ecs._mark_task_stopped(task["taskArn"], task, "Essential container exited", "EssentialContainerExited")
            ecs._cleanup_task_resources(task, engine)

    return look


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


def _forgetting_failed_deployments(original: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Let a failed deployment go when another has taken its place: MiniStack keeps it, and no wait would ever end."""

    def refresh(cluster: str, group: str) -> None:
        original(cluster, group)
        service = ecs._services.get(f"{cluster}/{(group or '').removeprefix('service:')}")
        if not service:
            return
        with_tasks = {str(task.get("_deployment_id")) for task in _live_tasks(service)}
        before = service["deployments"]
        after = deployments.listed(before, with_tasks)
        if after == before:
            return
        service["deployments"] = after
        for gone in [item for item in before if item not in after]:
            text = f"(service {service['serviceName']}) {deployments.failure(gone)}"
            service["events"].insert(0, {"id": str(uuid4()), "createdAt": ecs._iso(), "message": text})

    return refresh


def _stopping_superseded(original: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Stop the tasks of a superseded deployment that never got healthy: they would hold the next one's room."""

    def reconcile(cluster: str, key: str) -> None:
        service = ecs._services.get(key)
        if service and service["status"] == "ACTIVE":
            primary = ecs._primary_deployment(service)
            for task in _live_tasks(service):
                if ecs._deployment_for_task(service, task) is not primary and not task.get("_startup_stable"):
                    reason = task.get("_failed_because", "Deployment superseded")
                    ecs._stop_task({"task": task["taskArn"], "cluster": cluster, "reason": reason})
        original(cluster, key)

    return reconcile


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


# --- Targets: the tasks of services behind load balancers


# The end of a service and a leaving task look this often whether the balancer has let go, in real seconds.
TARGET_POLL = 0.1
LEAVING = ("DEACTIVATING", "STOPPING")


def _keep_targets() -> None:
    _replace(ecs, "_sync_service_targets", lambda _original: _register_tasks)
    _replace(ecs, "_stop_task", _after_deregistration)
    _replace(ecs, "_delete_service", _waiting_for_last_tasks)
    _replace(ecs, "_schedule_service_deployment_completion", _once_healthy)
    ecs._ACTION_MAP["StopTask"] = ecs._stop_task
    ecs._ACTION_MAP["DeleteService"] = ecs._delete_service
    alb._ACTION_MAP["RegisterTargets"] = _changing_targets(_added_to)
    alb._ACTION_MAP["DeregisterTargets"] = _changing_targets(_deregistered_from)
    alb._ACTION_MAP["DescribeTargetHealth"] = _describe_target_health


def _registrations(group: str) -> list[Record]:
    return registrations.kept(alb._targets.get(group, []), time.time())


def _deregistration_delay(group: str) -> float:
    """Return how long requests in flight get when a target leaves a group, in real seconds."""
    attributes = {item["Key"]: item["Value"] for item in alb._tg_attrs.get(group, [])}
    return clock.seconds(float(attributes.get("deregistration_delay.timeout_seconds", 300)))


def _register_tasks(_cluster_name: str, service: Record) -> None:
    """Register the running tasks of a service, and let those leave that it had registered and that run no more."""
    for balancer in service.get("loadBalancers") or []:
        group = balancer.get("targetGroupArn")
        if group not in alb._tgs:
            continue
        with resource_lock("elbv2-targets", group):
            wanted = _tasks_as_targets(service, balancer) if service.get("status") == "ACTIVE" else []
            published = service.setdefault("_published_targets", {})
            gone = {target_health.Target(*item) for item in published.get(group, [])} - set(wanted)
            leaves_at = time.time() + _deregistration_delay(group)
            present = registrations.deregistered(_registrations(group), gone, leaves_at)
            alb._targets[group] = registrations.registered(present, wanted)
            published[group] = [list(target) for target in wanted]


def _tasks_as_targets(service: Record, balancer: Record) -> list[target_health.Target]:
    running = [
        task
        for task in list(ecs._tasks.values())
        if task.get("startedBy") == service["serviceName"]
        and task.get("clusterArn") == service["clusterArn"]
        and task.get("lastStatus") == task.get("desiredStatus") == "RUNNING"
    ]
    return [target for task in running if (target := _target(task, balancer))]


def _target(task: Record, balancer: Record) -> target_health.Target | None:
    """Return a task's machine, and the machine's port that leads to the balanced container."""
    for container in task["containers"]:
        for binding in container.get("networkBindings", []):
            if container["name"] == balancer.get("containerName") and binding["containerPort"] == balancer.get(
                "containerPort"
            ):
                return target_health.Target(_machine_of(task), binding["hostPort"])
    return None


def _machine_of(task: Record) -> str:
    """Return the id of the EC2 instance that a task is on, or nothing while it waits for one."""
    record = _container_instances.get(task.get("containerInstanceArn"))
    return str(record["ec2InstanceId"]) if record else ""


def _groups_of(task: Record) -> list[tuple[str, target_health.Target]]:
    """Return the target groups that a service's task belongs to, and the target that it is in them."""
    cluster = task["clusterArn"].rpartition("/")[2]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}")
    balancers = (service or {}).get("loadBalancers") or []
    found = [(balancer["targetGroupArn"], _target(task, balancer)) for balancer in balancers]
    return [(group, target) for group, target in found if target]


def _after_deregistration(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Let a task that gets requests leave its load balancer before it is stopped, as ECS does.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
    """

    def stop_task(data: Record) -> Response:
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
        if not task or task["lastStatus"] not in ("RUNNING", *LEAVING) or not (groups := _groups_of(task)):
            return original(data)
        with resource_lock("ecs-task", task["taskArn"]):
            first = task["lastStatus"] == "RUNNING"
            if first:
                reason = data.get("reason", "Task stopped by user")
                task |= {"desiredStatus": "STOPPED", "lastStatus": "DEACTIVATING", "stoppingAt": ecs._iso()}
                task |= {"stoppedReason": reason, "stopCode": "UserInitiated"}
        if first:
            _count_again(task)
            spawn_background(_leave, task, groups, thread_name=f"leave-{task['taskArn'][-8:]}")
        answer: Response = json_response({"task": ecs._sanitize(task)})
        return answer

    return stop_task


def _leave(task: Record, groups: list[tuple[str, target_health.Target]]) -> None:
    """Wait for the deregistration delay, then stop a task's containers."""
    ends = time.time() + max(_deregistration_delay(group) for group, _target in groups)
    while time.time() < ends and not (_service_ends(task) and all(target_health.is_idle(*item) for item in groups)):
        time.sleep(TARGET_POLL)
    task["lastStatus"] = "STOPPING"
    ecs._cleanup_task_resources(task, ecs._get_docker())
    stopped = {"lastStatus": "STOPPED", "executionStoppedAt": ecs._iso(), "stoppedAt": ecs._iso()}
    for container in task["containers"]:
        container["lastStatus"] = "STOPPED"
    task |= stopped
    _count_again(task)


def _service_ends(task: Record) -> bool:
    """Tell whether a task's service is deleted: then nobody waits for more than the requests in flight."""
    cluster = task["clusterArn"].rpartition("/")[2]
    service = ecs._services.get(f"{cluster}/{task.get('startedBy')}")
    return not service or service["status"] != "ACTIVE"


def _count_again(task: Record) -> None:
    cluster = task["clusterArn"].rpartition("/")[2]
    ecs._recount_cluster(cluster)
    ecs._refresh_service_state(cluster, f"service:{task.get('startedBy')}")


def _waiting_for_last_tasks(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def delete_service(data: Record) -> Response:
        answer = original(data)
        service = json.loads(answer[2]).get("service")
        # Those that are being replaced do not count for the service, so that MiniStack has left them.
        for task in _live_tasks(service) if service else []:
            ecs._stop_task(data | {"task": task["taskArn"], "reason": "Service deleted"})
        while service and any(
            task.get("startedBy") == service["serviceName"]
            and task.get("clusterArn") == service["clusterArn"]
            and task["lastStatus"] in LEAVING
            for task in list(ecs._tasks.values())
        ):
            time.sleep(TARGET_POLL)
        return answer

    return delete_service


def _once_healthy(original: Callable[..., None]) -> Callable[..., None]:
    """A new task counts for its deployment when its load balancer finds it healthy, not as soon as it runs."""

    def schedule(
        cluster_name: str, service_key: str, account: str, region: str, healthy_task: Record | None = None
    ) -> None:
        if healthy_task is None:
            original(cluster_name, service_key, account, region)
            return

        def wait() -> None:
            with request_scope(account, region):
                while ecs._task_is_active(healthy_task["taskArn"], healthy_task):
                    states = [target_health.health(*item).state for item in _groups_of(healthy_task)]
                    if all(state in ("healthy", "unused") for state in states):
                        original(cluster_name, service_key, account, region, healthy_task=healthy_task)
                        return
                    time.sleep(TARGET_POLL)

        spawn_background(wait, thread_name=f"healthy-{healthy_task['taskArn'][-8:]}")

    return schedule


def _deregistered_from(group: str, registrations: list[Record], gone: list[target_health.Target]) -> list[Record]:
    return deregistered(registrations, gone, time.time() + _deregistration_delay(group))


def _added_to(_group: str, registrations: list[Record], new: list[target_health.Target]) -> list[Record]:
    return registered(registrations, new)


def _changing_targets(
    change: Callable[[str, list[Record], list[target_health.Target]], list[Record]],
) -> Callable[..., Response]:
    """Return RegisterTargets or DeregisterTargets; MiniStack's own know one port of a machine only."""

    def operation(parameters: Record) -> Response:
        group = alb._p(parameters, "TargetGroupArn")
        if group not in alb._tgs:
            missing: Response = alb._error("TargetGroupNotFound", f"Target group '{group}' not found.")
            return missing
        with resource_lock("elbv2-targets", group):
            alb._targets[group] = change(group, _registrations(group), _named_targets(group, parameters))
        done: Response = alb._empty(alb._p(parameters, "Action"))
        return done

    return operation


def _named_targets(group: str, parameters: Record) -> list[target_health.Target]:
    port = alb._tgs[group].get("Port", 80)
    return [
        target_health.Target(item["Id"], int(item.get("Port", port))) for item in alb._parse_targets_param(parameters)
    ]


def _describe_target_health(parameters: Record) -> Response:
    """Answer what the balancer measured; MiniStack calls every target healthy."""
    group = alb._p(parameters, "TargetGroupArn")
    if group not in alb._tgs:
        missing: Response = alb._error("TargetGroupNotFound", f"Target group '{group}' not found.")
        return missing
    named = _named_targets(group, parameters)
    leaving = {registrations.key(item): registrations.LEAVES_AT in item for item in _registrations(group)}
    members = ""
    for target, leaves in leaving.items():
        if named and target not in named:
            continue
        health = target_health.DRAINING if leaves else target_health.health(group, target)
        if health.state == "draining" and not leaves:
            health = target_health.INITIAL  # it was leaving when last seen and has been registered again
        more = f"<Reason>{health.reason}</Reason>" if health.reason else ""
        more += f"<Description>{alb._esc(health.description)}</Description>" if health.description else ""
        members += f"<member><Target><Id>{alb._esc(target.id)}</Id><Port>{target.port}</Port></Target>"
        members += f"<TargetHealth><State>{health.state}</State>{more}</TargetHealth></member>"
    body = f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
    answer: Response = alb._xml(200, "DescribeTargetHealth", body)
    return answer
