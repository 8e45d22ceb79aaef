"""Writes converted services into an environment's folder: their stack files, and their entries in config.yaml."""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spotfleet.configuration.quoting import dumps
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import ENVIRONMENT, Service
from spotfleet.facts import aws_names

# Stacks of an environment that are no services.
LAYERS = ("vpc", "load-balancer", "cluster", "machines")
TAKEN_NAMES = {*LAYERS, "service", "config"}
STACK_FILE = '{{% set service = {name} %}}\n{{% include "wiring/service.yaml.j2" %}}\n'
# A value that Jinja would take for its own: config.yaml is a template.
OF_JINJA = re.compile(r"\{(?=[{%#])")
ALL_PATHS = re.compile(r'^path_pattern: *"?/\*"?', re.MULTILINE)
# Before the first service, whose pattern may be every path.
LAST_PRIORITY, FIRST_PRIORITY = 1000, 10
INDENT = "  "


def make_environment(folder: Path, pattern: Path) -> None:
    """Make an environment's folder without any service, as a copy of another one's."""
    folder.mkdir(parents=True)
    for layer in LAYERS:
        shutil.copy2(pattern / f"{layer}.yaml", folder / f"{layer}.yaml")
    text = (pattern / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(_without_services(text), encoding="utf-8")


def add(folder: Path, environment: str, services: Iterable[Service]) -> None:
    """Write stack files and entries of services into an environment's folder.

    Raises ConversionError, before anything is written, where a service of that name is there, or two files contradict
    each other in what the whole environment must have.
    """
    file = folder / "config.yaml"
    text = file.read_text(encoding="utf-8")
    services = list(services)
    check_names(folder, [service.name for service in services])
    if (folder / "service.yaml").exists() and ALL_PATHS.search(text):
        _tell_who_is_behind(services)
    for name, value in _of_environment(services).items():
        text = with_setting(text, name, value)
    text = _with_entries(text, list(_entries(services, environment, text)))
    for service in services:
        content = STACK_FILE.format(name=dumps(service.name))
        (folder / f"{service.name}.yaml").write_text(content, encoding="utf-8")
    file.write_text(text, encoding="utf-8")


def check_names(folder: Path, names: list[str]) -> None:
    """Raise ConversionError where a service cannot have its name, or another one has it."""
    for name in names:
        if name in TAKEN_NAMES or not aws_names.SERVICE.fullmatch(name):
            raise ConversionError(f"A service cannot be called {name} here: give it another name in its file.")
        if (folder / f"{name}.yaml").exists() or names.count(name) > 1:
            raise ConversionError(f"There are two services {name}: in {folder.name}, or in the files to convert.")


def _tell_who_is_behind(services: Iterable[Service]) -> None:
    for service in services:
        if service.settings.get("path_pattern") == "/*" and not service.settings.get("host_names"):
            service.change(
                "path_pattern", "the first service takes /* already: give one of them other paths or host_names"
            )


def _of_environment(services: Iterable[Service]) -> dict[str, Any]:
    found: dict[str, tuple[Any, str]] = {}
    for service in services:
        for setting, value in service.of_environment.items():
            before, by = found.setdefault(setting, (value, service.name))
            if before != value:
                raise ConversionError(
                    f"{setting} is {before} by {by} and {value} by {service.name}: it is one for a whole environment."
                )
    return {setting: value for setting, (value, _) in found.items()}


def with_setting(text: str, name: str, value: object) -> str:
    """Return the text of config.yaml with a setting of the whole environment."""
    line = f"{name}: {_scalar(value)}"
    changed, count = re.subn(rf"^{name}:.*$", line.replace("\\", r"\\"), text, flags=re.MULTILINE)
    return changed if count else f"{text.rstrip()}\n{line}\n"


def _entries(services: Iterable[Service], environment: str, text: str) -> Iterator[str]:
    used = {int(number) for number in re.findall(r"listener_priority: *(\d+)", text)}
    for service in services:
        settings = dict(service.settings)
        if service.kind == "web":
            settings["listener_priority"] = _priority(str(settings.get("path_pattern")), used)
        if "secrets" in settings:
            settings["secrets"] = {
                variable: name.replace(ENVIRONMENT, environment) if name in service.to_store else name
                for variable, name in settings["secrets"].items()
            }
        yield f"{INDENT}{_scalar(service.name)}:"
        yield from _lines(settings, 2 * INDENT)


def _priority(pattern: str, used: set[int]) -> int:
    """Return a free priority: who takes every path comes last."""
    number = LAST_PRIORITY if pattern == "/*" else FIRST_PRIORITY
    while number in used:
        number += 10
    used.add(number)
    return number


def _lines(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(name)}:"
            yield from _lines(value, indent + INDENT)
        else:
            yield f"{indent}{_scalar(name)}: {_scalar(value)}"


def _scalar(value: object) -> str:
    """Return a value on one line that neither YAML nor Jinja takes for anything else; plain where it can be."""
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", value) and value not in ("true", "false", "null"):
        return value if value not in ("yes", "no", "on", "off", "y", "n") else dumps(value)
    return OF_JINJA.sub(r"\\u007b", dumps(value))


def _with_entries(text: str, lines: list[str]) -> str:
    """Return the text of config.yaml with entries at the beginning of its `services`."""
    entries = "\n".join(lines)
    if re.search(r"^services:[ \t]*(#.*)?$", text, re.MULTILINE):
        return re.sub(r"^(services:.*)$", lambda found: f"{found[1]}\n{entries}", text, count=1, flags=re.MULTILINE)
    if re.search(r"^services:[ \t]*\{\}[ \t]*(#.*)?$", text, re.MULTILINE):
        return re.sub(r"^services:.*$", lambda _: f"services:\n{entries}", text, count=1, flags=re.MULTILINE)
    if re.search(r"^services:", text, re.MULTILINE):
        raise ConversionError("services in config.yaml is written on one line: write each entry on lines of its own.")
    return f"{text.rstrip()}\n\n# --- further services\nservices:\n{entries}\n"


def _without_services(text: str) -> str:
    """Return the text of config.yaml without what it has under `services`."""
    return re.sub(r"^services:.*\n((  .*|\s*#.*|\s*)\n)*", "", text, flags=re.MULTILINE)
