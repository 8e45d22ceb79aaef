"""The hook !valid_settings: no stack is touched while a setting of its environment is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from hooks.settings import LAYERS, find_problems

# What the stack's own file says, and the paths that Sceptre adds.
NOT_SETTINGS = {
    *("template", "parameters", "sceptre_user_data", "hooks", "dependencies", "stack_timeout", "ignore", "obsolete"),
    *("project_path", "stack_group_path"),
}
SERVICE_TEMPLATE = "service.yaml.j2"


class ValidSettings(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Checks every setting of the stack's environment."""

    def run(self) -> None:
        """Raise SceptreException that names each wrong setting: file, key, value, what would be right."""
        settings = settings_of(self.stack.config)
        config_folder = Path(self.stack.config["project_path"], "config")
        environment = self.stack.config["stack_group_path"]
        problems = find_problems(settings) or dict(_problems_of_service_files(settings, config_folder / environment))
        if problems:
            raise SceptreException(
                "; ".join(
                    f"{_file_with(key, environment, config_folder)}: {key} {problem}"
                    for key, problem in problems.items()
                )
            )


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in the configuration of one of an environment's stacks."""
    return {key: value for key, value in config.items() if key not in NOT_SETTINGS}


def _problems_of_service_files(settings: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield where the files of further services and the settings under `services` do not go together."""
    named = set(settings.get("services", {}))
    files = {file.stem: file.read_text() for file in folder.glob("*.yaml") if file.stem not in LAYERS}
    services = {name: text for name, text in files.items() if SERVICE_TEMPLATE in text}
    for name in sorted(named - services.keys()):
        yield f"services.{name}", f"has no config/{folder.name}/{name}.yaml: copy service.yaml, with its own name in it"
    for name in sorted(services.keys() - named):
        yield (
            "services",
            f"has no {name}, which config/{folder.name}/{name}.yaml needs for a listener_priority of its own",
        )
    for name in sorted(services.keys() & named):
        if f'settings_of_service("{name}")' not in services[name]:
            call = f'{{% set own = settings_of_service("{name}") %}}'
            yield f"services.{name}", f"is not read: config/{folder.name}/{name}.yaml must begin with {call}"


def _file_with(key: str, environment: str, config_folder: Path) -> str:
    """Name the file that holds the key; a missing key belongs into the environment's own."""
    shared = config_folder / "config.yaml"
    own = config_folder / environment / "config.yaml"
    line = re.compile(rf"^{re.escape(key.partition('.')[0])}\s*:", re.MULTILINE)
    in_shared_only = line.search(shared.read_text()) and not line.search(own.read_text())
    return "config/config.yaml" if in_shared_only else f"config/{environment}/config.yaml"
