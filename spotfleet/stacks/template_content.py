"""What a template says of its resources once its parameters have their values: enough to compare two versions of it."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

Content = dict[str, Any]
VARIABLE = re.compile(r"\$\{(\w+)\}")
# Functions whose short form has a name of its own; of the others it is !Name for Fn::Name.
OWN_NAMES = {"Ref", "Condition"}
NO_VALUE = {"Ref": "AWS::NoValue"}


def read(body: str | Mapping[str, Any]) -> Content:
    """Return a template, from YAML or as GetTemplate gives JSON, with the short forms of functions as long ones.

    Raises yaml.YAMLError where the text is none.
    """
    content = yaml.load(body, _Loader) if isinstance(body, str) else body  # noqa: S506  # made from a SafeLoader
    return dict(content or {})


def resources(template: Content, values: Mapping[str, Any]) -> Content:
    """Return the resources with parameters replaced by their values or defaults, and conditions decided."""
    declared = template.get("Parameters") or {}
    known = {name: item["Default"] for name, item in declared.items() if "Default" in item}
    known |= {name: value for name, value in values.items() if name in declared}
    conditions: dict[str, bool] = {}
    for name, node in (template.get("Conditions") or {}).items():
        decided = _filled(node, known, conditions)
        # Another function than Fn::Equals stays as it is, and with it what depends on the condition.
        if isinstance(decided, bool):
            conditions[name] = decided
    found: Content = _filled(template.get("Resources") or {}, known, conditions)
    return {name: item for name, item in found.items() if conditions.get(item.get("Condition"), True)}


def _filled(node: Any, values: Mapping[str, Any], conditions: Mapping[str, bool]) -> Any:  # noqa: ANN401, PLR0911  # any JSON
    if isinstance(node, list):
        items = [_filled(item, values, conditions) for item in node]
        return [item for item in items if item != NO_VALUE]
    if not isinstance(node, dict):
        # Of true and "true" the one is as good as the other.
        return str(node).lower() if isinstance(node, bool) else str(node)
    match node:
        case {"Ref": name} if name in values:
            return _filled(values[name], {}, conditions)
        case {"Fn::Sub": str() as text}:
            return {"Fn::Sub": VARIABLE.sub(lambda found: _text_of(found, values), text)}
        case {"Fn::GetAtt": [*names]}:
            return {"Fn::GetAtt": ".".join(map(str, names))}
        case {"Fn::If": [condition, then, otherwise]} if condition in conditions:
            return _filled(then if conditions[condition] else otherwise, values, conditions)
        case {"Fn::Equals": [left, right]}:
            return bool(_filled(left, values, conditions) == _filled(right, values, conditions))
    filled = {key: _filled(value, values, conditions) for key, value in node.items()}
    return {key: value for key, value in filled.items() if value != NO_VALUE}


def _text_of(match: re.Match[str], values: Mapping[str, Any]) -> str:
    value = values.get(match[1])
    return match[0] if value is None else str(value)


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Reads the short forms of CloudFormation's functions, fast where PyYAML can."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Content:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the only kind that is left
    return {name if name in OWN_NAMES else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)
