"""An environment as CloudFormation has it, from whatever AWS the variables lead to; nothing is changed."""

from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from spotfleet.plan import configurations
from spotfleet.plan.configurations import Configuration, StackVersion
from spotfleet.stacks import deployed_environment, stack_state, template_content
from spotfleet.stacks.living_changes import Deployed
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED


class OutOfReachError(Exception):
    """AWS could not be asked; the text says why, in one line."""


def read(project: Path, after: Configuration, where: str) -> tuple[Configuration, Deployed]:
    """Return what is deployed of an environment, and what a launch would compare its settings with.

    `where` names the AWS that is asked. Stacks that are not there are left out. Raises OutOfReachError.
    """
    try:
        stacks = configurations.plan_of(project, after.environment)
        found = {str(stack.name).rpartition("/")[2]: _version(stack) for stack in stacks}
        services = list(after.settings.services) if after.settings else []
        deployed = deployed_environment.read(stacks[0], services)
    except (BotoCoreError, ClientError, SceptreException) as error:
        raise OutOfReachError(" ".join(str(error).split())) from error
    there = {layer: version for layer, version in found.items() if version}
    source = f"what is deployed on {where}" if there else f"nothing: none of it is deployed on {where}"
    # Tags and the source of the image are not to be read from a template.
    configuration = Configuration(after.environment, source, None, there, dict(after.tags), image_is_known=False)
    return configuration, deployed


def _version(stack: Stack) -> StackVersion | None:
    description = stack_state.describe(stack)
    if description["StackStatus"] in {ABSENT, *NEVER_CREATED}:
        return None
    answer: dict[str, Any] = stack.connection_manager.call(
        service="cloudformation", command="get_template", kwargs={"StackName": stack.external_name}
    )
    try:
        content = template_content.read(answer["TemplateBody"])
    except yaml.YAMLError as error:
        raise OutOfReachError(f"the template of {stack.external_name} cannot be read") from error
    return StackVersion(content, dict(stack_state.parameters(description)))
