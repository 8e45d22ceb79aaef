"""Reads what is deployed of an environment and what a launch would make of it, and finds what would be replaced."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml
from botocore.exceptions import ClientError
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from spotfleet.stacks import stack_state, template_content
from spotfleet.stacks.replacements import UNKNOWN, Replacement, Version, replacements
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED

# A template, as text or as what is in it, and the values of its parameters.
Sent = tuple[str | dict[str, Any], dict[str, Any]]


def find(stack: Stack) -> list[Replacement]:
    """Return what a launch would replace in the whole environment that a stack is of.

    A stack that is not there, or whose template nobody may read, is left out.
    """
    found: list[Replacement] = []
    for one in _stacks(stack):
        deployed = _deployed(stack, one.external_name)
        wanted = (one.template.body, _wanted_values(one, deployed[1])) if deployed else None
        # Most launches change one stack, and reading a template takes a while.
        if deployed and wanted and deployed != wanted:
            with suppress(yaml.YAMLError):
                before, after = (Version(template_content.read(body), values) for body, values in (deployed, wanted))
                found += replacements(one.name.rpartition("/")[2], before, after)
    return found


def _stacks(stack: Stack) -> Iterable[Stack]:
    environment = stack.name.rpartition("/")[0]
    context = SceptreContext(stack.stack_group_config["project_path"], environment)
    # The plan also has what the environment builds on elsewhere.
    return sorted(
        (one for one in SceptrePlan(context).graph if one.name.rpartition("/")[0] == environment),
        key=lambda one: str(one.name),
    )


def _deployed(stack: Stack, name: str) -> Sent | None:
    description = stack_state.describe(stack, name)
    if description["StackStatus"] in {ABSENT, *NEVER_CREATED}:
        return None
    try:
        answer = stack.connection_manager.call(
            service="cloudformation", command="get_template", kwargs={"StackName": name}
        )
    except ClientError:
        return None
    given = description.get("Parameters", [])
    return answer["TemplateBody"], {one["ParameterKey"]: one.get("ParameterValue", "") for one in given}


def _wanted_values(stack: Stack, deployed: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a stack's parameters; what a resolver gives is taken for what it has been."""
    values: dict[str, Any] = {}
    for name, value in ((stack.config or {}).get("parameters") or {}).items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            values[name] = ",".join(value)
        elif isinstance(value, str | int | float | bool):
            values[name] = value
        else:
            values[name] = deployed.get(name, UNKNOWN)
    return values
