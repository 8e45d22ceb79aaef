"""What a rule is, and how it looks into the templates of an environment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.rendered import Json, Layers

# Yields what is wrong with an environment, each beginning with <layer>.<resource>.
Check = Callable[[Layers], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """A fact about AWS. Either `check` finds what goes against it, or `unchecked` says why no template can show it."""

    number: int
    fact: str
    check: Check | None = None
    unchecked: str = ""

    def findings(self, layers: Layers) -> list[str]:
        """Return what is wrong, with the rule's number and fact."""
        found = self.check(layers) if self.check else ()
        return [f"rule {self.number}: {text} (because: {self.fact})" for text in found]


def resources(layers: Layers, *types: str) -> Iterator[tuple[str, Json]]:
    """Yield the resources of these types with their names, such as machines.AutoScalingGroup."""
    for layer, template in layers.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] in types:
                yield f"{layer}.{logical_id}", resource


def properties(layers: Layers, *types: str) -> Iterator[tuple[str, Json]]:
    """Yield the properties of the resources of these types."""
    for name, resource in resources(layers, *types):
        yield name, resource.get("Properties", {})


def value(node: Any, path: str, default: Any = None) -> Any:  # noqa: ANN401  # any JSON
    """Return what is at a path such as Overrides.0.InstanceType."""
    for part in path.split("."):
        if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return default
    return node


def attributes(node: Json, name: str) -> dict[str, Any]:
    """Return a list of keys and values as a mapping."""
    return {item["Key"]: item["Value"] for item in node.get(name, [])}


def is_true(found: object) -> bool:
    """Return whether a property is true; a parameter gives it as text."""
    return str(found).lower() == "true"


def is_false(found: object) -> bool:
    """Return whether a property is there and false."""
    return str(found).lower() == "false"


def texts(node: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    """Yield every text inside."""
    if isinstance(node, str):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from texts(item)


def depends_on(resource: Json) -> set[str]:
    """Return the logical ids that a resource waits for by DependsOn."""
    found = resource.get("DependsOn", [])
    return {found} if isinstance(found, str) else set(found)
