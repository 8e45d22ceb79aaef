"""What a template's text says, with the stack's parameters put in: as much as is asked of one here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from spotfleet.behaviour.record import Record

REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)\}")


def read(body: str | Record) -> Record:
    """Return a template's content, whether it came as text or, from JSON, as what is in it."""
    content: Record = yaml.load(body, Loader=_Loader) if isinstance(body, str) else body  # noqa: S506  # a SafeLoader
    return content or {}


def parameters(given: Iterable[Record]) -> dict[str, str]:
    """Return the values of a stack's parameters; one that names a public parameter has what that held."""
    return {item["ParameterKey"]: item.get("ResolvedValue") or item["ParameterValue"] for item in given}


def value_in(value: Any, parameters: Mapping[str, str]) -> str:  # noqa: ANN401  # what a template can hold
    """Return a value as text: a Ref to a parameter, an Fn::Sub, or what it says."""
    if isinstance(value, Mapping):
        if "Ref" in value:
            return parameters.get(value["Ref"], "0")
        if "Fn::Sub" in value:
            return REFERENCE.sub(lambda match: parameters.get(match[1], ""), str(value["Fn::Sub"]))
    return str(value)


def texts(value: Any, parameters: Mapping[str, str]) -> tuple[str, ...]:  # noqa: ANN401  # what a template can hold
    """Return the values of a list, or of a parameter that is one; empty ones are none."""
    items = value if isinstance(value, list) else value_in(value, parameters).split(",")
    return tuple(text for item in items if (text := value_in(item, parameters).strip()))


class _Loader(yaml.SafeLoader):
    """Reads !Ref and !Sub as Ref and Fn::Sub, takes !If for its first branch, and leaves out the other functions."""


def _scalar(name: str) -> Any:  # noqa: ANN401  # PyYAML does not publish the type of a constructor
    """Return a constructor that reads a tag with a text after it as the function of that name."""
    return lambda _loader, node: {name: node.value if isinstance(node, yaml.ScalarNode) else ""}


def _first_branch(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Any:  # noqa: ANN401  # what a template can hold
    """Return what an !If gives where its condition holds: a list that may be empty is asked about its content."""
    _condition, then, _otherwise = loader.construct_sequence(node, deep=True)
    return then


_Loader.add_constructor("!Ref", _scalar("Ref"))
_Loader.add_constructor("!Sub", _scalar("Fn::Sub"))
_Loader.add_constructor("!If", _first_branch)
_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
