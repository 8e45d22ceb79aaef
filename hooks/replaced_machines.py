"""The hook !replaced_machines: a launch that replaces running machines says so before it does.

CloudFormation replaces the machines of a group whose launch template, instance types or subnets change, one after the
other (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html), and an
instance whose image or user data does.
"""

import re
from collections.abc import Iterator

import yaml
from botocore.exceptions import ClientError
from sceptre.hooks import Hook

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.once import once_per_command
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED

VARIABLE = re.compile(r"\$\{(\w+)\}")
# The text of a template without its comments: the tag of each value, as !Ref, and what is in it.
Content = tuple[str, "str | tuple[Content, ...]"]


class ReplacedMachines(Hook):
    """Compares what describes machines with the deployed stack: `resources`, or a property as Resource.Property.

    `says` is what comes of a change, `seconds_each` how long each machine takes where there may be several.
    """

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
        was = stack_state.parameters(description)
        wanted = {name: str(value) for name, value in self.stack.parameters.items() if isinstance(value, str)}
        changes = [
            change
            for place in self.argument["resources"]
            for change in changes_of(place, str(answer["TemplateBody"]), self.stack.template.body, was, wanted)
        ]
        if changes:
            self.logger.warning(
                "%s: %s%s: %s", self.stack.name, self.argument["says"], self._duration(), ", ".join(changes)
            )

    def _duration(self) -> str:
        seconds = self.argument.get("seconds_each")
        return f", one after the other, some {seconds / 60:.0f} minutes and its draining for each" if seconds else ""


def changes_of(
    place: str, deployed_body: str, body: str, deployed: dict[str, str], parameters: dict[str, str]
) -> list[str]:
    """Return what differs between two versions of a place: parameters with both values, or its own text."""
    before, after = _content(deployed_body, place), _content(body, place)
    if before is None or after is None:
        return []
    names = set(_references(after))
    changes = [
        f"{name} {deployed[name]} -> {parameters[name]}"
        for name in sorted(names & deployed.keys() & parameters.keys())
        if deployed[name] != parameters[name]
    ]
    return changes + [f"{place} itself"] * (before != after)


def _content(body: str, place: str) -> Content | None:
    """Return what a template has in a place, or None where there is no such place or no YAML."""
    try:
        node = yaml.compose(body, yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    resource, _, name = place.partition(".")
    for key in ("Resources", resource, *(("Properties", name) if name else ())):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for one, value in pairs if one.value == key), None)
    return None if node is None else _without_comments(node)


def _without_comments(node: yaml.Node) -> Content:
    if isinstance(node, yaml.MappingNode):
        return node.tag, tuple(_without_comments(one) for pair in node.value for one in pair)
    if isinstance(node, yaml.SequenceNode):
        return node.tag, tuple(_without_comments(one) for one in node.value)
    return node.tag, str(node.value)


def _references(content: Content) -> Iterator[str]:
    tag, inside = content
    if not isinstance(inside, str):
        for one in inside:
            yield from _references(one)
    elif tag == "!Ref":
        yield inside
    else:
        yield from VARIABLE.findall(inside)
