"""The hook !valid_settings: no stack is touched while a setting of its environment is wrong."""

import os
import re
from collections.abc import Iterator
from functools import cache
from logging import Logger
from pathlib import Path
from typing import Any

from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook
from sceptre.plan.plan import SceptrePlan

from spotfleet.configuration.given_settings import settings_of
from spotfleet.configuration.wiring import included
from spotfleet.facts import aws_names
from spotfleet.settings import environment_file, shown
from spotfleet.settings.machines import NEWEST_IMAGE_VARIABLE
from spotfleet.settings.problems import LAYERS, find_problems, remarks
from spotfleet.stacks.once import once_per_command

# The end of the wiring's name, and the name of the template that a file with wiring of its own has.
SERVICE_TEMPLATE = "service.yaml.j2"
FIRST_SERVICE_FILE = "service.yaml"
# With wiring of its own a file gives the name to the function itself.
SERVICE_NAME = re.compile(r"(?:\bset\s+service\s*=|settings_of_service\()\s*[\"']([^\"']+)")
# Bytes of a template without a bucket: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LARGEST_TEMPLATE = 51_200
# Settings of fewer characters make no template that large.
SETTINGS_OF_ANY_SIZE = 8_000


class ValidSettings(Hook):
    """Checks every setting of the stack's environment."""

    @once_per_command
    def run(self) -> None:
        """Raise SceptreException that names each wrong setting: file, key, value, what would be right."""
        settings = settings_of(self.stack.config)
        project = Path(self.stack.config["project_path"])
        config_folder = project / "config"
        environment = self.stack.config["stack_group_path"]
        _require_name(environment, settings)
        _require_environment_of_newest_image(config_folder)
        problems = (
            find_problems(settings, has_first_service=(config_folder / environment / FIRST_SERVICE_FILE).is_file())
            or dict(_problems_of_service_files(settings, config_folder, environment))
            or dict(_problems_of_environment_files(settings, project))
        )
        if not problems and len(str(settings)) > SETTINGS_OF_ANY_SIZE and not settings.get("template_bucket_name"):
            problems = dict(_problems_of_sizes(project, environment))
        if problems:
            raise SceptreException(
                "; ".join(
                    f"{_file_with(key, self.stack.name, config_folder)}: {key} {problem}"
                    for key, problem in problems.items()
                )
            )
        for remark in remarks(settings):
            _say_once(self.logger, remark)


@cache
def _say_once(logger: Logger, remark: str) -> None:
    logger.warning("%s", remark)


def _require_name(environment: str, settings: dict[str, Any]) -> None:
    """Raise SceptreException when stacks cannot be named after the environment's folder."""
    if not aws_names.ENVIRONMENT.fullmatch(environment):
        raise SceptreException(
            f"config/{environment}: the stacks of an environment have its name, so its folder must have one of letters "
            "and digits, with single hyphens between them"
        )
    services = settings.get("services")
    names = [*(LAYERS - {"config"}), *(services if isinstance(services, dict) else {})]
    longest = max(len(f"{settings.get('project_code')}-{environment}-{name}") for name in names)
    if longest > aws_names.LONGEST_STACK_NAME:
        raise SceptreException(
            f"config/{environment}: stack names of {longest} characters are too long for CloudFormation, which takes "
            f"{aws_names.LONGEST_STACK_NAME}: give the folder, project_code or the service a shorter name"
        )


def _require_environment_of_newest_image(config_folder: Path) -> None:
    """Raise SceptreException when the variable that asks for newer machine images names no environment."""
    named = os.environ.get(NEWEST_IMAGE_VARIABLE, "")
    if named and not (config_folder / named / "config.yaml").is_file():
        raise SceptreException(
            f"{NEWEST_IMAGE_VARIABLE} is {shown.text(named)}, and there is no config/{named}: give the name of the "
            "environment whose machines are to take the newest image"
        )


def _problems_of_sizes(project: Path, environment: str) -> Iterator[tuple[str, str]]:
    """Yield what makes a template too large to be sent as it is."""
    for stack in SceptrePlan(SceptreContext(str(project), environment)).graph:
        size = len(stack.template.body.encode())
        if size > LARGEST_TEMPLATE:
            yield (
                "template_bucket_name",
                f"is missing: with these settings the template of {stack.name} has {size} bytes, and CloudFormation "
                f"takes more than {LARGEST_TEMPLATE} from a bucket only",
            )


def _problems_of_environment_files(settings: dict[str, Any], project: Path) -> Iterator[tuple[str, str]]:
    """Yield which file of variables cannot be taken over, and why."""
    services = {f"services.{name}.": own for name, own in settings.get("services", {}).items()}
    for prefix, own in {"": settings, **services}.items():
        if name := own.get("environment_file"):
            try:
                environment_file.read(project, name)
            except ValueError as error:
                yield f"{prefix}environment_file", f"is {shown.text(name)}, and {error}"


def _problems_of_service_files(
    settings: dict[str, Any], config_folder: Path, environment: str
) -> Iterator[tuple[str, str]]:
    """Yield where the files of further services and the settings under `services` do not go together."""
    folder = config_folder / environment
    named = set(settings.get("services", {}))
    files = {file.stem: file.read_text() for file in folder.glob("*.yaml") if file.stem not in LAYERS}
    services = {name: text for name, text in files.items() if SERVICE_TEMPLATE in text}
    for name in sorted(named - services.keys()):
        yield f"services.{name}", f"has no config/{environment}/{name}.yaml: copy service.yaml, with this name in it"
    for name in sorted(services.keys() - named):
        yield (
            "services",
            f"has no {name}, which config/{environment}/{name}.yaml needs for a listener_priority of its own",
        )
    for name in sorted(services.keys() & named):
        if name not in SERVICE_NAME.findall(services[name]):
            first_line = f'{{% set service = "{name}" %}}'
            yield f"services.{name}", f"is not read: config/{environment}/{name}.yaml must begin with {first_line}"


def _file_with(key: str, stack_name: str, config_folder: Path) -> str:
    """Name the file that holds the key; a missing key belongs into the environment's own."""
    line = re.compile(rf"^{re.escape(key.partition('.')[0])}\s*:", re.MULTILINE)
    of_stack = Path(f"{stack_name}.yaml")
    own = of_stack.with_name("config.yaml")
    wiring = map(Path, included(config_folder / of_stack))
    # The nearest one to the stack decides.
    files = [of_stack, *wiring, own, *(parent / "config.yaml" for parent in own.parent.parents)]
    holding = (file for file in files if (config_folder / file).is_file() and line.search(_text(config_folder / file)))
    return f"config/{next(holding, own).as_posix()}"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
