"""An environment as its files have it: settings, and each stack's template with its parameters; nothing asks AWS."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan.plan import SceptrePlan
from sceptre.resolvers import Resolver
from sceptre.stack import Stack
from yaml import YAMLError

from spotfleet.configuration.given_settings import settings_of
from spotfleet.image import build_context
from spotfleet.settings.environment import Settings, service_settings
from spotfleet.settings.problems import find_problems
from spotfleet.settings.service import ServiceSettings
from spotfleet.stacks import template_content
from spotfleet.stacks.living_changes import FIRST_SERVICE
from spotfleet.stacks.machine_images import NEWEST, is_asked_for_newest
from spotfleet.stacks.template_content import Content

# Resolvers by the names that the wiring has for them.
OUTPUT = "stack_output"
IMAGE = "image_uri"
MACHINE_IMAGE = "machine_image"


class NoConfigurationError(Exception):
    """What was named is no configuration of the environment; the text is one line that says why."""


@dataclass(frozen=True)
class FromOutput:
    """A parameter that an output of another stack gives."""

    layer: str
    output: str


@dataclass(frozen=True)
class Looked:
    """A parameter that a launch looks up; `open` where it may find something else than was found last time."""

    what: str
    open: bool = False


Given = str | FromOutput | Looked


@dataclass(frozen=True)
class StackVersion:
    """A stack's template and what its parameters are given."""

    template: Content
    parameters: Mapping[str, Given]


@dataclass(frozen=True)
class Configuration:
    """An environment: its settings, its stacks by layer in the order of a launch, the tags of all, and whence it is.

    `image_is_known` tells whether the services' sources were at hand, so that a changed image is seen.
    """

    environment: str
    source: str
    settings: Settings | None
    stacks: Mapping[str, StackVersion] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    image_is_known: bool = True

    @property
    def services(self) -> dict[str, ServiceSettings]:
        """The settings of its services by the names of their stacks.

        The first service has settings in every environment, also in one that has no stack for it.
        """
        if self.settings is None:
            return {}
        named = {name or FIRST_SERVICE: own for name, own in service_settings(self.settings).items()}
        return {name: own for name, own in named.items() if name in self.stacks}


def nothing(environment: str) -> Configuration:
    """Return the environment before its first launch."""
    return Configuration(environment, "nothing", None)


def read(project: Path, environment: str, source: str, images: Path | None = None) -> Configuration:
    """Return the environment of a project's folder as a launch would send it.

    `images` is the project whose build contexts the services have, by default the same. Raises NoConfigurationError.
    """
    try:
        stacks = _in_order(project, environment)
        given = settings_of(stacks[0].config) if stacks else {}
        has_first_service = FIRST_SERVICE in map(_layer, stacks)
        if problems := find_problems(given, has_first_service=has_first_service):
            raise NoConfigurationError("; ".join(f"{key} {problem}" for key, problem in problems.items()))
        versions = {_layer(stack): _version(stack, images or project) for stack in stacks}
    except SceptreException as error:
        raise NoConfigurationError(" ".join(str(error).split())) from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError, TemplateError, YAMLError) as error:
        # What a file can make Jinja, YAML and Sceptre raise; its text may be secret.
        raise NoConfigurationError(f"it cannot be read: {type(error).__name__}") from error
    if not stacks:
        raise NoConfigurationError(f"it has no stack in config/{environment}")
    tags = {str(key): str(value) for key, value in (given.get("stack_tags") or {}).items()}
    return Configuration(environment, source, Settings.model_validate(given), versions, tags)


def plan_of(project: Path, environment: str) -> list[Stack]:
    """Return Sceptre's stacks of an environment."""
    found = SceptrePlan(SceptreContext(str(project), environment)).graph
    # The plan also has what the environment builds on elsewhere.
    return [stack for stack in found if stack.name.rpartition("/")[0] == environment]


def _in_order(project: Path, environment: str) -> list[Stack]:
    """Return the stacks in the order of a launch: each after those whose outputs it takes."""
    waiting = {_layer(stack): stack for stack in sorted(plan_of(project, environment), key=lambda one: str(one.name))}
    needs = {
        layer: {given.layer for given in _given(stack).values() if isinstance(given, FromOutput)}
        for layer, stack in waiting.items()
    }
    ordered: list[Stack] = []
    while waiting:
        ready = [layer for layer in waiting if not needs[layer] & waiting.keys()] or list(waiting)
        ordered += [waiting.pop(layer) for layer in ready]
    return ordered


def _layer(stack: Stack) -> str:
    return str(stack.name).rpartition("/")[2]


def _version(stack: Stack, images: Path) -> StackVersion:
    parameters = {name: _resolved(given, stack, images) for name, given in _given(stack).items()}
    return StackVersion(template_content.read(stack.template.body), parameters)


def _given(stack: Stack) -> dict[str, Any]:
    """Return the parameters of a stack; of a resolver, what its argument says."""
    found: dict[str, Any] = {}
    for name, value in ((stack.config or {}).get("parameters") or {}).items():
        if isinstance(value, Resolver):
            found[name] = _from_output(value) or value
        elif isinstance(value, list):
            found[name] = ",".join(map(str, value))
        else:
            found[name] = str(value)
    return found


def _from_output(resolver: Resolver) -> FromOutput | None:
    if not isinstance(resolver.argument, str) or "::" not in resolver.argument:
        return None
    stack, _, output = resolver.argument.partition("::")
    return FromOutput(stack.rpartition("/")[2].removesuffix(".yaml"), output)


def _resolved(given: Any, stack: Stack, images: Path) -> Given:  # noqa: ANN401  # text or a resolver
    if not isinstance(given, Resolver):
        found: Given = given
        return found
    argument = given.argument if isinstance(given.argument, dict) else {}
    if "newest" in argument and MACHINE_IMAGE in argument:
        return _machine_image(argument, stack)
    if "build_context" in argument:
        return _image(argument, images)
    # Such as the alarms that are quiet at the launch, which change nothing that runs.
    return Looked(type(given).__name__)


def _machine_image(argument: Mapping[str, str], stack: Stack) -> Given:
    wanted = argument[MACHINE_IMAGE]
    if wanted.startswith("ami-"):
        return wanted
    is_open = wanted == NEWEST or is_asked_for_newest(str(stack.name).rpartition("/")[0])
    return Looked(f"machine image for {argument['architecture']}", open=is_open)


def _image(argument: Mapping[str, Any], images: Path) -> Given:
    contents = build_context.fingerprint(images / str(argument["build_context"])).content
    # An edit of what the base image is pinned to counts as well.
    pins = images / "config" / "base-images.json"
    base = (argument["base_image"], pins.read_text() if pins.is_file() else "")
    return Looked(f"image {short_hash(contents, *base, argument['cpu_architecture'])}")


def short_hash(*parts: object) -> str:
    """Return a few characters that differ where the parts do."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:8]
