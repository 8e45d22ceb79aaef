"""The templates of an environment as AWS comes to see them: rendered, and with the configured values filled in."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode.decode import decode_str
from sceptre.resolvers.stack_output import StackOutput
from sceptre.stack import Stack

from hooks.machine_image import MachineImage

Json = dict[str, Any]
# By layer its template, and under "Sceptre" what the stack's configuration says beside it.
Layers = dict[str, Json]

SUBSTITUTED = re.compile(r"\$\{(\w+)\}")


@cache
def decoded(body: str) -> Json:
    """Return what the text of a template says; it is the same object for all who ask, so that no test may change it."""
    template, errors = decode_str(body)
    assert not errors
    result: Json = template
    return result


def layers(stacks: Iterable[Stack]) -> Layers:
    """Render the templates of an environment's stacks and fill the configured values in.

    What another stack gives stays open: it becomes {"Output": "<layer>.<name>"}.
    """
    return {stack.name.rpartition("/")[2]: _filled(stack) for stack in stacks}


def _filled(stack: Stack) -> Json:
    template = decoded(stack.template.body)
    values = {name: _value(value) for name, value in stack._parameters.items()}
    conditions = {name: bool(fill_in(node, values, {})) for name, node in template.get("Conditions", {}).items()}
    filled: Json = fill_in({key: template[key] for key in ("Resources", "Outputs")}, values, conditions)
    filled["Resources"] = {
        name: item for name, item in filled["Resources"].items() if conditions.get(item.get("Condition"), True)
    }
    filled["Parameters"] = template["Parameters"]
    filled["Sceptre"] = {
        "settings": stack.stack_group_config,
        "region": stack.region,
        "stack_timeout": stack.stack_timeout,
        "hooks": {event: [type(hook).__name__ for hook in hooks] for event, hooks in stack.hooks.items()},
    }
    return filled


def _value(value: Any) -> Any:  # noqa: ANN401  # text or a resolver
    if isinstance(value, StackOutput):
        path, _, output = value._argument.partition("::")
        return {"Output": f"{Path(path).stem}.{output}"}
    if isinstance(value, MachineImage):
        return {"Newest": value._argument["newest"]}
    return value if isinstance(value, str) else {"Resolver": type(value).__name__}


def fill_in(node: Any, values: Json, conditions: dict[str, bool]) -> Any:  # noqa: ANN401, PLR0911  # any JSON
    """Return the JSON with parameters replaced and conditions decided."""
    if isinstance(node, list):
        items = [fill_in(item, values, conditions) for item in node]
        return [item for item in items if item != {"Ref": "AWS::NoValue"}]
    if not isinstance(node, dict):
        return node
    match node:
        case {"Ref": name} if name in values:
            return values[name]
        case {"Fn::Sub": str() | [_, _] as argument}:
            text, variables = substitution(argument)
            known = values | fill_in(variables, values, conditions)
            return {"Fn::Sub": SUBSTITUTED.sub(lambda found: _substituted(found, known), text)}
        case {"Fn::If": [condition, then, otherwise]} if condition in conditions:
            return fill_in(then if conditions[condition] else otherwise, values, conditions)
        case {"Fn::Equals": [left, right]}:
            return bool(fill_in(left, values, conditions) == fill_in(right, values, conditions))
    filled = {key: fill_in(value, values, conditions) for key, value in node.items()}
    return {key: value for key, value in filled.items() if value != {"Ref": "AWS::NoValue"}}


def substitution(argument: str | list[Any]) -> tuple[str, Json]:
    """Return the text and the variables of an Fn::Sub, whichever of its two forms it has."""
    return (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])


def _substituted(match: re.Match[str], values: Json) -> str:
    value = values.get(match[1])
    return value if isinstance(value, str) else match[0]
