"""CloudFormation: our resource types, what a stack was given, templates in S3, rollbacks that lose nothing."""

import asyncio
import functools
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from ministack.core.responses import (
    now_iso,
)
from ministack.services import cloudformation as stacks_of
from ministack.services.cloudformation import changesets, handlers, helpers, provisioners, stacks

from spotfleet.local.api import rolling_policy
from spotfleet.local.emulator import cloudformation_updates
from spotfleet.local.emulator.passive_types import PASSIVE_TYPES
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record, Response, client
from spotfleet.local.emulator.resource_types.base import Owner, Resource, ResourceType
from spotfleet.local.emulator.resource_types.ecs import REPLACING_A_SERVICE
from spotfleet.local.emulator.resource_types.table import TAGGED, TYPES

NO_PRICES = "The embedded AWS knows no prices: ask AWS, or see docs/settings.md, which has what each setting costs."

# Where a stack keeps that somebody has deleted it while it was created.
DELETION_WANTED = "_deletion_wanted"
BEING_CREATED = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")
POLL_SECONDS = 0.05

# Types whose failed update a rollback takes back.
SENT_BACK = ("AWS::ECS::Service", rolling_policy.GROUP_TYPE)


def live_stacks() -> list[dict[str, str]]:
    """Return name and region of every stack that is not deleted, in all accounts and regions."""
    return [
        {"name": stack["StackName"], "region": region}
        for (_account, region, _name), stack in stacks_of._stacks.all_items()
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]


def add_resource_types() -> None:
    """Add the types that MiniStack lacks, and forget those that would run what a template gives them."""
    for name, resource_type in TYPES.items():
        provisioners._RESOURCE_HANDLERS[name] = _handlers(name, resource_type)
    provisioners._REPLACING_PROPERTIES["AWS::ECS::Service"] = REPLACING_A_SERVICE
    for name in TAGGED:
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")
    for name in provisioners._RESOURCE_HANDLERS.keys() - PASSIVE_TYPES - TYPES.keys():
        del provisioners._RESOURCE_HANDLERS[name]


@extends(stacks, "_runs_on_worker_thread")
def on_own_thread(original: Callable[[str], bool], resource_type: str) -> bool:
    """Let our types have a thread: they call the embedded AWS back, which on the event loop's would wait for itself.

    The end of a service waits until its tasks have left the load balancer.
    """
    return resource_type in {*TYPES, "AWS::ECS::Service", rolling_policy.GROUP_TYPE} or original(resource_type)


@extends(stacks, "_sends_back_failed_update")
def with_services_and_groups(original: Callable[[str], bool], resource_type: str) -> bool:
    """Send services and groups back: they have changed already when tasks or machines that do not start fail them."""
    return resource_type in SENT_BACK or original(resource_type)


@replaces(handlers._ACTION_HANDLERS, "EstimateTemplateCost")
def estimate_nothing(_parameters: Record) -> Response:
    """Say where the prices are."""
    answer: Response = handlers._error("ValidationError", NO_PRICES)
    return answer


def _handlers(name: str, resource_type: ResourceType) -> Record:
    """Return a resource type in the form of MiniStack's table."""

    def owner(stack_name: str, logical_id: str) -> Owner:
        begun = functools.partial(_tell_begun, stack_name, logical_id, name)
        return Owner(stack_name, logical_id, functools.partial(ends_early, stack_name), begun)

    def create(logical_id: str, properties: Record, stack_name: str) -> Resource:
        return resource_type.create(client, owner(stack_name, logical_id), properties)

    def update(physical_id: str, old: Record, new: Record, stack_name: str, logical_id: str) -> Resource:
        return resource_type.update(client, owner(stack_name, logical_id), physical_id, old, new)

    def delete(physical_id: str, properties: Record) -> None:
        resource_type.delete(client, physical_id, properties)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _tell_begun(stack_name: str, logical_id: str, name: str, physical_id: str) -> None:
    """Tell that a resource is there and not yet ready, as CloudFormation does with these words."""
    if stack := stacks_of._stacks.get(stack_name):
        words = "Resource creation Initiated"
        stacks._add_event(stack["StackId"], stack_name, logical_id, name, "CREATE_IN_PROGRESS", words, physical_id)


def ends_early(stack_name: str) -> str:
    """Return why the operation on a stack must not wait any longer, or nothing while it may."""
    stack = stacks_of._stacks.get(stack_name) or {}
    status, patience = stack.get("StackStatus"), int(stack.get("TimeoutInMinutes") or 0)
    if status == "UPDATE_IN_PROGRESS" and stack.get("_cancel_requested"):
        return "Resource update cancelled."
    if status == "CREATE_IN_PROGRESS" and stack.get(DELETION_WANTED):
        return "Resource creation cancelled."
    if (
        status == "CREATE_IN_PROGRESS"
        and patience
        and time.time() > stack.get("_created_at", time.time()) + 60 * patience
    ):
        return f"Stack creation time exceeded the specified timeout of {patience} minutes."
    return ""


@extends(stacks, "_delete_stack_async", held_by=[(handlers, "_delete_stack_async")])
async def after_its_creation(
    original: Callable[..., Awaitable[None]], stack_name: str, *rest: object, **more: object
) -> None:
    """End the creation of a stack that is deleted meanwhile, then delete it: MiniStack leaves what is being made."""
    stack = stacks_of._stacks.get(stack_name) or {}
    if stack.get("StackStatus") in BEING_CREATED:
        if stack.get(DELETION_WANTED):
            # Somebody has deleted it before, and that waits already.
            return
        stack[DELETION_WANTED] = True
        while stack["StackStatus"] in BEING_CREATED:
            await asyncio.sleep(POLL_SECONDS)
    await original(stack_name, *rest, **more)


@extends(handlers._ACTION_HANDLERS, "DescribeStacks")
def describing_all(original: Callable[[Record], Response], parameters: Record) -> Response:
    """Add what MiniStack leaves out: topics, role, timeout, and the name behind a parameter's value.

    `sceptre diff` compares them. https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html
    """
    status, headers, body = original(parameters)
    text = body.decode()
    for stack in list(stacks_of._stacks.values()):
        element = f"<StackId>{handlers._esc(stack['StackId'])}</StackId>"
        before, found, after = text.partition(element)
        own, end, rest = after.partition("</Outputs>")
        if found:
            text = before + found + _given_elements(stack) + _with_parameter_names(stack, own) + end + rest
    return status, headers, text.encode()


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


@extends(handlers._ACTION_HANDLERS, "CreateStack")
@extends(handlers._ACTION_HANDLERS, "UpdateStack")
@extends(handlers._ACTION_HANDLERS, "CreateChangeSet")
@extends(handlers._ACTION_HANDLERS, "ExecuteChangeSet")
def keeping_what_is_given(original: Callable[[Record], Response], parameters: Record) -> Response:
    """Keep topics, role and timeout of a request; MiniStack drops them.

    A stack keeps its role for every later operation:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """
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
        cloudformation_updates.let_outputs_change(stack, change_set)
    else:
        stack |= given | (change_set or {}).get("_given", {})
        stack.setdefault("_created_at", time.time())
    return answer


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


@extends(helpers, "_resolve_document")
def reading_bucket_urls(
    original: Callable[..., tuple[str | None, Response | None]],
    parameters: Record,
    body_key: str,
    url_key: str,
    label: str,
) -> tuple[str | None, Response | None]:
    """Find a template in the bucket that the host of its URL names, as Sceptre writes it; MiniStack reads paths."""
    url = urlsplit(handlers._p(parameters, url_key))
    if match := BUCKET_HOST.match(url.hostname or ""):
        path = f"/{match['bucket']}{url.path}"
        parameters = parameters | {url_key: [urlunsplit(("https", "s3.amazonaws.com", path, "", ""))]}
    return original(parameters, body_key, url_key, label)


@extends(stacks, "_roll_back_operation", held_by=[(handlers, "_roll_back_operation")])
async def keeping_what_is_left(
    original: Callable[..., Awaitable[None]],
    stack_name: str,
    stack_id: str,
    stack: Record,
    operation: Record,
    *rest: str,
    **named: str,
) -> None:
    """Go back by the policies of the template before (F5), and keep what the rollback of a creation could not delete.

    The stack's deletion has to delete that.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
    """
    if before := operation.get("previous_stack"):
        stack |= {name: before[name] for name in ("_template_body", "Parameters") if name in before}
    await original(stack_name, stack_id, stack, operation, *rest, **named)
    if stack["StackStatus"] == "ROLLBACK_FAILED":
        for logical_id, left in stack.get("_rollback_failed", {}).items():
            more = {"LogicalResourceId": logical_id, "ResourceStatus": "DELETE_FAILED", "Attributes": {}}
            stack["_resources"][logical_id] = left | more | {"Timestamp": now_iso()}
