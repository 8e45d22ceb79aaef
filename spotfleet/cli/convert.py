"""spotfleet convert: a way over from AWS Copilot, ECS task definitions and Compose."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from spotfleet.cli.verb import Verb
from spotfleet.convert import compose, copilot, entries, task_definition
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import ENVIRONMENT, Service
from spotfleet.facts import aws_names
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say
from spotfleet.settings.problems import find_problems
from spotfleet.settings.shown import harmless
from spotfleet.stacks.living_changes import FIRST_SERVICE

PATTERN = "dev"
MOST_CHARACTERS = 2**20
# Above it no laptop and few accounts have room.
MOST_MACHINES = 100
FORMATS = "an AWS Copilot manifest, an ECS task definition or a Compose file"
PARTS = (("Taken over", "taken"), ("Taken over with a change", "changed"), ("Not taken over", "not_taken"))


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-e", "--into", "name", metavar="ENVIRONMENT", help="Where to; else each that the files name, or dev.")
@click.option(
    "--web", "public", multiple=True, metavar="NAME", help="What of a Compose file the load balancer leads to."
)
@click.option("--dry-run", is_flag=True, help="Write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(files: tuple[Path, ...], name: str | None, public: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Turn Copilot, ECS and Compose files into services.

    Each service of an AWS Copilot manifest, an ECS task definition or a Compose file becomes an entry in
    config/ENVIRONMENT/config.yaml and a stack file beside it; an environment that there is not yet is made like dev,
    without dev's own service. What could not be taken over is listed, with the reason. Values of variables that look
    secret are written nowhere; the words of commands are taken as they are.
    """
    try:
        by_environment = _by_environment(files, name, public)
        if not dry_run:
            for environment, services in by_environment.items():
                _write(environment, services)
    except ConversionError as error:
        raise Failure(str(error)) from error
    if as_json:
        say(json.dumps({key: [_as_json(one) for one in found] for key, found in by_environment.items()}, indent=2))
    else:
        # What a file says does nothing to the terminal.
        say("\n".join(map(harmless, _report(by_environment))))


def _by_environment(files: tuple[Path, ...], name: str | None, public: tuple[str, ...]) -> dict[str, list[Service]]:
    """Return the services of all files for each environment that gets some."""
    found = [versions for file in files for versions in _versions(file, public)]
    named = list(dict.fromkeys(environment for versions in found for environment in versions if environment))
    environments = [name] if name else named or [PATTERN]
    for environment in environments:
        # It becomes a folder.
        if not aws_names.ENVIRONMENT.fullmatch(environment):
            raise ConversionError(f"An environment cannot be called {environment!r}: letters, digits, single hyphens.")
    return {one: [versions.get(one, versions[""]) for versions in found] for one in environments}


def _versions(file: Path, public: tuple[str, ...]) -> list[dict[str, Service]]:
    """Return each service of a file: for the environments that it names, and, under '', for all others."""
    content = _read(file)
    try:
        if compose.is_compose(content):
            return [{"": service} for service in compose.convert(content, file, public)]
        if task_definition.is_definition(content):
            return [{"": task_definition.convert(content)}]
        if copilot.is_manifest(content):
            return [copilot.convert(content, file)]
    except ConversionError as error:
        raise ConversionError(f"{file}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ConversionError(f"{file} is not as its format demands: {error}.") from error
    raise ConversionError(f"{file} is none of: {FORMATS}.")


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}."
        ) from error
    if len(text) > MOST_CHARACTERS:
        raise ConversionError(f"{file} is larger than a mebibyte.")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ConversionError(
            f"{file} is neither YAML nor JSON{f': see its line {mark.line + 1}' if mark else ''}."
        ) from None
    if not isinstance(content, dict):
        raise ConversionError(f"{file} is none of: {FORMATS}.")
    return content


def _write(environment: str, services: list[Service]) -> None:
    folder = paths.ROOT / "config" / environment
    written = [service for service in services if service.settings]
    if not written:
        raise ConversionError(f"Nothing of this can run in {environment}: see `--dry-run`.")
    entries.check_names(folder, [service.name for service in written])
    if not folder.exists():
        entries.make_environment(folder, paths.ROOT / "config" / PATTERN)
    entries.add(folder, environment, written)
    _make_room(environment, folder / "config.yaml", written[0])


def _make_room(environment: str, file: Path, service: Service) -> None:
    """Let the environment have as many machines as its services need while they are deployed."""
    has_first_service = FIRST_SERVICE in paths.layers(environment)
    while "max_machines" in find_problems(values := paths.settings(environment), has_first_service=has_first_service):
        if values["max_machines"] >= MOST_MACHINES:
            return
        more = values["max_machines"] + 1
        file.write_text(entries.with_setting(file.read_text(encoding="utf-8"), "max_machines", more), encoding="utf-8")
        service.of_environment["max_machines"] = more


def _report(by_environment: dict[str, list[Service]]) -> Iterator[str]:
    for environment, services in by_environment.items():
        yield f"config/{environment}"
        for service in services:
            yield f"  {service.name} ({service.kind})"
            for title, part in PARTS:
                lines = getattr(service, part)
                if lines:
                    yield f"    {title}:"
                    yield from (f"      {line.replace(ENVIRONMENT, environment)}" for line in dict.fromkeys(lines))
        if machines := [one.of_environment["max_machines"] for one in services if "max_machines" in one.of_environment]:
            yield f"  max_machines is {machines[0]}, to hold the tasks of all during a deployment"
        yield from _what_to_store(environment, services)
        yield f"  Next: spotfleet up {environment}"


def _what_to_store(environment: str, services: list[Service]) -> Iterator[str]:
    for service in services:
        for parameter in service.to_store:
            name = parameter.replace(ENVIRONMENT, environment)
            yield f"  Store first: aws ssm put-parameter --type SecureString --name {shlex.quote(name)} --value …"


def _as_json(service: Service) -> dict[str, Any]:
    return {
        **{"name": service.name, "kind": service.kind, "settings": service.settings},
        **{"of_environment": service.of_environment, "parameters_to_store": service.to_store},
        **{part: getattr(service, part) for _, part in PARTS},
    }
