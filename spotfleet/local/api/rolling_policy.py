"""How a group's machines are replaced, read from its stack's template."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from spotfleet.behaviour import instance_refresh, resource_signals, rolling_update
from spotfleet.behaviour.instance_refresh import Preferences
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.resource_signals import CreationPolicy
from spotfleet.behaviour.rolling_update import Policy
from spotfleet.behaviour.template_text import parameters, read
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages

GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"

Found = TypeVar("Found")


def policy_of(cloudformation: clients.Client, group: str) -> Policy | None:
    """Return the rolling update policy that the template of a group's stack gives it, or None."""
    return _of(cloudformation, group, rolling_update.policy_in)


def preferences_of(cloudformation: clients.Client, group: str) -> Preferences | None:
    """Return the preferences of the instance refresh that the template of a group's stack wants, or None."""
    return _of(cloudformation, group, instance_refresh.preferences_in)


def creation_policy_of(cloudformation: clients.Client, stack_name: str, logical_id: str) -> CreationPolicy | None:
    """Return the creation policy that a stack's template gives a group that it creates now, or None."""
    (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    return resource_signals.creation_policy_in(*_template_of(cloudformation, stack, logical_id))


def is_rolled_back(cloudformation: clients.Client, group: str) -> bool:
    """Return whether the stack of a group is on its way back to what it was."""
    return any("ROLLBACK" in stack["StackStatus"] for stack, _logical_id in _stacks_of(cloudformation, group))


def _of(
    cloudformation: clients.Client,
    group: str,
    in_template: Callable[[Record, str, Mapping[str, str]], Found | None],
) -> Found | None:
    for stack, logical_id in _stacks_of(cloudformation, group):
        return in_template(*_template_of(cloudformation, stack, logical_id))
    return None


def _template_of(
    cloudformation: clients.Client, stack: Record, logical_id: str
) -> tuple[Record, str, Mapping[str, str]]:
    """Return what a policy is read from: the stack's template, the group's name in it, and the parameters' values."""
    body = cloudformation.get_template(StackName=stack["StackName"])["TemplateBody"]
    return read(body), logical_id, parameters(stack.get("Parameters", []))


def _stacks_of(cloudformation: clients.Client, group: str) -> list[tuple[Record, str]]:
    """Return the stack of a group with the group's name in its template; none for a group of no stack."""
    return [
        (stack, item["LogicalResourceId"])
        for stack in pages(cloudformation, "describe_stacks", "Stacks")
        if not stack["StackStatus"].startswith("DELETE")
        for item in cloudformation.describe_stack_resources(StackName=stack["StackName"])["StackResources"]
        if item["ResourceType"] == GROUP_TYPE and item.get("PhysicalResourceId") == group
    ]
