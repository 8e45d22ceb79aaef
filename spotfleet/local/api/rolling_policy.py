"""How a group's machines are replaced, read from its stack's template."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from spotfleet.behaviour import instance_refresh, rolling_update
from spotfleet.behaviour.instance_refresh import Preferences
from spotfleet.behaviour.record import Record
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


def is_rolled_back(cloudformation: clients.Client, group: str) -> bool:
    """Return whether the stack of a group is on its way back to what it was."""
    return any("ROLLBACK" in stack["StackStatus"] for stack, _logical_id in _stacks_of(cloudformation, group))


def _of(
    cloudformation: clients.Client,
    group: str,
    in_template: Callable[[Record, str, Mapping[str, str]], Found | None],
) -> Found | None:
    for stack, logical_id in _stacks_of(cloudformation, group):
        body = cloudformation.get_template(StackName=stack["StackName"])["TemplateBody"]
        return in_template(read(body), logical_id, parameters(stack.get("Parameters", [])))
    return None


def _stacks_of(cloudformation: clients.Client, group: str) -> list[tuple[Record, str]]:
    """Return the stack of a group with the group's name in its template; none for a group of no stack."""
    return [
        (stack, item["LogicalResourceId"])
        for stack in pages(cloudformation, "describe_stacks", "Stacks")
        if not stack["StackStatus"].startswith("DELETE")
        for item in cloudformation.describe_stack_resources(StackName=stack["StackName"])["StackResources"]
        if item["ResourceType"] == GROUP_TYPE and item.get("PhysicalResourceId") == group
    ]
