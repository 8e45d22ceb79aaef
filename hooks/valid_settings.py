"""The hook !valid_settings: no stack is touched while a setting of its environment is wrong."""

import re
from pathlib import Path
from typing import Any

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from hooks.settings import find_problems

# What the stack's own file says, and the paths that Sceptre adds.
NOT_SETTINGS = {
    *("template", "parameters", "sceptre_user_data", "hooks", "dependencies", "stack_timeout", "ignore", "obsolete"),
    *("project_path", "stack_group_path"),
}


class ValidSettings(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Checks every setting of the stack's environment."""

    def run(self) -> None:
        """Raise SceptreException that names each wrong setting: file, key, value, what would be right."""
        problems = find_problems(settings_of(self.stack.config))
        config_folder = Path(self.stack.config["project_path"], "config")
        environment = self.stack.config["stack_group_path"]
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


def _file_with(key: str, environment: str, config_folder: Path) -> str:
    """Name the file that holds the key; a missing key belongs into the environment's own."""
    shared = config_folder / "config.yaml"
    own = config_folder / environment / "config.yaml"
    line = re.compile(rf"^{re.escape(key.partition('.')[0])}\s*:", re.MULTILINE)
    in_shared_only = line.search(shared.read_text()) and not line.search(own.read_text())
    return "config/config.yaml" if in_shared_only else f"config/{environment}/config.yaml"
