"""What a launch does to each resource of each stack: decisions only, on two configurations.

Create-only properties are those of AWS's resource schemas; what a resource refers to counts as well: a reference to
one that is replaced, or to the newest version of a launch template that changes, is a change of its own.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from spotfleet.behaviour.instance_refresh import TRIGGERS
from spotfleet.plan import values
from spotfleet.plan.conditional_properties import CONDITIONAL, Does
from spotfleet.plan.configurations import Configuration, StackVersion
from spotfleet.stacks.replacements import UNKNOWN
from spotfleet.stacks.template_content import Content, resources

GROUP, TEMPLATE = "AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::LaunchTemplate"
NEW = " (new)"
# What may be secret, or is too long to read.
HIDDEN = ("Environment", "Secrets", "UserData")
LONGEST = 60
DEEPEST = 4


@dataclass(frozen=True)
class Difference:
    """A property with its values on both sides; `open` where the new one is known at the launch only."""

    path: str
    before: str
    after: str
    open: bool = False


@dataclass(frozen=True)
class Change:
    """What becomes of a resource; `open` where it happens only if a value that is looked up has changed."""

    layer: str
    resource: str
    kind: str
    does: Does
    properties: tuple[Difference, ...] = ()
    open: bool = False


@dataclass(frozen=True)
class StackChange:
    """What becomes of a stack and of each of its resources."""

    layer: str
    does: Does
    resources: tuple[Change, ...]

    @property
    def changed(self) -> list[Change]:
        """The resources to which something happens."""
        return [one for one in self.resources if one.does is not Does.KEPT]


def between(before: Configuration, after: Configuration) -> list[StackChange]:
    """Return what becomes of each stack, in the order of a launch; those that no longer are come last."""
    outputs: tuple[values.Outputs, values.Outputs] = ({}, {})
    known = before.image_is_known and after.image_is_known
    found = []
    for layer in dict.fromkeys([*after.stacks, *before.stacks]):
        versions = before.stacks.get(layer), after.stacks.get(layer)
        given = values.both(*versions, outputs, known)
        parts = [_resources(version, own) for version, own in zip(versions, given, strict=True)]
        changes = list(_changes(layer, parts[0], parts[1]))
        replaced = {one.resource for one in changes if one.does is Does.REPLACED}
        if versions[0]:
            outputs[0].update(values.outputs_of(layer, versions[0], given[0]))
        if versions[1]:
            marked = _Marked(replaced, set(), set())
            outputs[1].update(values.outputs_of(layer, versions[1], given[1], marked))
        found.append(StackChange(layer, _of_stack(versions, changes), tuple(changes)))
    return found


def _resources(version: StackVersion | None, given: Mapping[str, str]) -> Content:
    return resources(version.template, given) if version else {}


def _of_stack(versions: tuple[StackVersion | None, StackVersion | None], changes: list[Change]) -> Does:
    if versions[0] is None:
        return Does.CREATED
    # A launch leaves a stack alone that has no file any more: it is deleted by hand.
    if versions[1] is None:
        return Does.DELETED
    return Does.UPDATED if any(one.does is not Does.KEPT for one in changes) else Does.KEPT


def _changes(layer: str, before: Content, after: Content) -> Iterator[Change]:
    compared = _compared(layer, before, after)
    for name in dict.fromkeys([*after, *before]):
        if name in compared:
            yield compared[name]
        elif name in after:
            yield Change(layer, name, str(after[name].get("Type")), Does.CREATED)
        else:
            retained = str(before[name].get("DeletionPolicy", "")).startswith("Retain")
            left = (Difference("DeletionPolicy", "in the stack", "left behind, and billed"),) if retained else ()
            yield Change(layer, name, str(before[name].get("Type")), Does.DELETED, left)


def _compared(layer: str, before: Content, after: Content) -> dict[str, Change]:
    """Return what becomes of the resources that are on both sides; each round passes what is new on to references."""
    marked = _Marked(set(), set(), set())
    while True:
        found = {name: _change(layer, name, before[name], marked(new)) for name, new in after.items() if name in before}
        replaced = {name for name, one in found.items() if one.does is Does.REPLACED}
        versions = {name for name, one in found.items() if one.kind == TEMPLATE and one.does is Does.UPDATED}
        is_open = {name for name, one in found.items() if one.open}
        further = _Marked(replaced, versions, is_open)
        if further == marked:
            return found
        marked = further


@dataclass(frozen=True)
class _Marked:
    """Marks in what a resource says each reference to one that is new, or to a version that is; or may be (`open`)."""

    replaced: set[str]
    versions: set[str]
    open: set[str]

    def __call__(self, node: Any) -> Any:  # noqa: ANN401  # any JSON
        if isinstance(node, list):
            return [self(item) for item in node]
        if not isinstance(node, dict):
            return node
        match node:
            case {"Ref": str() as name} if name in self.replaced:
                return {"Ref": f"{name}{self._mark(name)}"}
            case {"Fn::GetAtt": str() as text} if self._is_new(text):
                return {"Fn::GetAtt": f"{text}{self._mark(text.partition('.')[0])}"}
            case {"Fn::Sub": str() as text}:
                for name in self.replaced:
                    new = f"{name}{self._mark(name)}"
                    text = text.replace(f"${{{name}}}", f"${{{new}}}").replace(f"${{{name}.", f"${{{new}.")
                return {"Fn::Sub": text}
        return {key: self(value) for key, value in node.items()}

    def _mark(self, name: str) -> str:
        return f" {UNKNOWN}" if name in self.open else NEW

    def _is_new(self, text: str) -> bool:
        name, _, attribute = text.partition(".")
        return name in self.replaced or (name in self.versions and "Version" in attribute)


def _change(layer: str, name: str, before: Content, after: Content) -> Change:
    kind = str(after.get("Type"))
    if before.get("Type") != kind:
        types = Difference("Type", str(before.get("Type")), kind)
        return Change(layer, name, kind, Does.REPLACED, (types,))
    old, new = before.get("Properties") or {}, after.get("Properties") or {}
    differences = tuple(_differences(old, new))
    if not differences:
        return Change(layer, name, kind, Does.KEPT)
    if kind not in _create_only():
        return Change(layer, name, kind, Does.OPEN, differences)
    strongest, cause = _strongest(kind, differences, _has_policy(after))
    first = [one for one in differences if one.path == cause]
    ordered = (*first, *(one for one in differences if one.path != cause))
    # What is known to change decides; where nothing is, all of it is open.
    known = tuple(one for one in differences if not one.open)
    certain = bool(known) and _strongest(kind, known, _has_policy(after))[0] is strongest
    return Change(layer, name, kind, strongest, ordered, open=not certain)


def _strongest(kind: str, differences: tuple[Difference, ...], has_policy: bool) -> tuple[Does, str]:
    """Return the most that one of the differences does, and which one."""
    found = []
    for one in differences:
        does = _effect(kind, one.path)
        if does is Does.ROLLED and (one.path.partition(".")[0] not in TRIGGERS or not has_policy):
            # Without an update policy the machines that run stay as they are.
            does = Does.UPDATED
        found.append((does, one.path))
    order = [Does.UPDATED, Does.ROLLED, Does.INTERRUPTED, Does.REPLACED]
    return max(found, key=lambda item: order.index(item[0]))


def _effect(kind: str, path: str) -> Does:
    if any(path == own or path.startswith(f"{own}.") or own.startswith(f"{path}.") for own in _create_only()[kind]):
        return Does.REPLACED
    return CONDITIONAL.get(kind, {}).get(path.partition(".")[0], Does.UPDATED)


def _has_policy(resource: Content) -> bool:
    policy = resource.get("UpdatePolicy") or {}
    return bool(
        policy.keys() & {"AutoScalingInstanceRefresh", "AutoScalingRollingUpdate", "AutoScalingReplacingUpdate"}
    )


def _differences(old: Any, new: Any, path: str = "") -> Iterator[Difference]:  # noqa: ANN401  # any JSON
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and path.count(".") < DEEPEST and not _is_function(old, new):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return
    is_hidden = any(part in f"{path}{json.dumps([old, new], default=str)}" for part in HIDDEN) and (
        path.startswith("ContainerDefinitions") or "UserData" in path
    )
    # A known part that differs decides, whatever is open beside it.
    is_open = UNKNOWN in str(new)
    if is_hidden:
        yield Difference(path, "", "", is_open)
    else:
        yield Difference(path, *_both_shown(old, new), is_open)


def _is_function(*nodes: dict[str, Any]) -> bool:
    return any(key == "Ref" or key.startswith("Fn::") for node in nodes for key in node)


def _both_shown(old: Any, new: Any) -> tuple[str, str]:  # noqa: ANN401  # any JSON
    """Return two values for people: of two lists the items that are in one of them only."""
    if isinstance(old, list) and isinstance(new, list):
        was, now = [item for item in old if item not in new], [item for item in new if item not in old]
        return tuple(", ".join(map(_shown, items)) or "none" for items in (was, now))  # type: ignore[return-value]
    return _shown(old), _shown(new)


def _shown(value: Any) -> str:  # noqa: ANN401  # any JSON
    match value:
        case None:
            return "none"
        case {"Ref": str() as name} | {"Fn::GetAtt": str() as name}:
            return name
        case {"Key": str() as name, "Value": str() as text, **others} if not others:
            return f"{name} {text}"
    text = values.shown(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@cache
def _create_only() -> dict[str, list[str]]:
    text = files("spotfleet.facts").joinpath("create_only_properties.json").read_text()
    return {kind: [path.replace("/", ".") for path in paths] for kind, paths in json.loads(text).items()}
