"""What the parameters of each stack are on both sides of a launch, as far as it can be known before.

What another stack gives is the text `<layer>.<output> #<hash>`, whose hash differs when the output says something
else, or names a resource that is replaced.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from spotfleet.plan.configurations import FromOutput, Given, Looked, StackVersion, short_hash
from spotfleet.stacks.replacements import UNKNOWN
from spotfleet.stacks.template_content import Content, resources

HASH = re.compile(r" #[0-9a-f]{8}$")
# The text of each output, by layer and name.
Outputs = dict[tuple[str, str], str]


def both(
    before: StackVersion | None,
    after: StackVersion | None,
    outputs: tuple[Outputs, Outputs],
    image_is_known: bool,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values of a stack's parameters before and after a launch.

    A deployed stack has the values themselves where the files say whence they come: such a one counts as unchanged as
    long as the files give it the same way.
    """
    given = (before.parameters if before else {}), (after.parameters if after else {})
    was: dict[str, str] = {}
    now: dict[str, str] = {}
    for name in given[0].keys() | given[1].keys():
        old, new = given[0].get(name), given[1].get(name)
        if isinstance(old, str) and not isinstance(new, str | None):
            old = new
        if old is not None:
            was[name] = _text(old, outputs[0])
        if new is not None:
            now[name] = _text(new, outputs[1])
        if isinstance(new, Looked) and (new.open or (new.what.startswith("image ") and not image_is_known)):
            now[name] = UNKNOWN
    return was, now


def outputs_of(
    layer: str, version: StackVersion, values: Mapping[str, Any], marked: Callable[[Any], Any] = lambda node: node
) -> Outputs:
    """Return the texts of a stack's outputs; `marked` marks references to resources that are replaced."""
    wrapped: Content = {**version.template, "Resources": version.template.get("Outputs") or {}}
    found = resources(wrapped, values)
    return {
        (layer, name): f"{layer}.{name} #{short_hash(marked(output.get('Value')))}" for name, output in found.items()
    }


def shown(text: str) -> str:
    """Return a value for people: what another stack gives by its name."""
    return HASH.sub("", text)


def _text(given: Given, outputs: Outputs) -> str:
    match given:
        case FromOutput(layer, output):
            return outputs.get((layer, output), f"{layer}.{output}")
        case Looked(what):
            return what
    return str(given)
