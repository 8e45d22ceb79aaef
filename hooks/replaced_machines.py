"""The hook !replaced_machines: a launch that replaces running machines says so before it does.

CloudFormation replaces a fleet whose launch template changes, and an instance whose image or user data does.
"""

import re

from botocore.exceptions import ClientError
from sceptre.hooks import Hook

from hooks import account, stack_state
from hooks.once import once_per_command
from hooks.stack_state import ABSENT, NEVER_CREATED

# In the templates of this project every resource begins with two spaces and its name.
RESOURCE = r"^  {name}:\n(?:(?:    .*)?\n|  #.*\n)*"
REFERENCE = re.compile(r"!Ref (\w+)|\$\{(\w+)\}")


class ReplacedMachines(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Compares the resources that describe machines, `resources`, with those of the deployed stack."""

    @once_per_command
    def run(self) -> None:
        """Say in one line which change replaces the machines; nothing where none does or nobody may look."""
        account.require_right(self.stack, self.logger)
        description = stack_state.describe(self.stack)
        if description["StackStatus"] in {ABSENT, *NEVER_CREATED}:
            return
        try:
            answer = self.stack.connection_manager.call(
                service="cloudformation",
                command="get_template",
                kwargs={"StackName": self.stack.external_name},
            )
        except ClientError:
            return
        deployed = {one["ParameterKey"]: one for one in description.get("Parameters", [])}
        was = {name: str(one.get("ResolvedValue") or one.get("ParameterValue", "")) for name, one in deployed.items()}
        wanted = {name: str(value) for name, value in self.stack.parameters.items() if isinstance(value, str)}
        for resource in self.argument["resources"]:
            changes = list(changes_of(resource, str(answer["TemplateBody"]), self.stack.template.body, was, wanted))
            if changes:
                self.logger.warning("%s: %s: %s", self.stack.name, self.argument["says"], ", ".join(changes))


def changes_of(
    resource: str, deployed_body: str, body: str, deployed: dict[str, str], parameters: dict[str, str]
) -> list[str]:
    """Return what differs between two versions of a resource: parameters with both values, or its own text."""
    section = re.compile(RESOURCE.format(name=resource), re.MULTILINE)
    before, after = section.search(deployed_body), section.search(body)
    if before is None or after is None:
        return []
    names = {name for found in REFERENCE.finditer(after[0]) for name in found.groups() if name}
    changes = [
        f"{name} {deployed[name]} -> {parameters[name]}"
        for name in sorted(names & deployed.keys() & parameters.keys())
        if deployed[name] != parameters[name]
    ]
    return changes + [f"{resource} itself"] * (before[0].rstrip() != after[0].rstrip())
