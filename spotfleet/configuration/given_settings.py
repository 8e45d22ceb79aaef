"""Which part of a stack's configuration, as Sceptre reads it, is the settings of its environment."""

from typing import Any

# What the stack's own file says, and the paths that Sceptre adds.
NOT_SETTINGS = {
    *("template", "parameters", "sceptre_user_data", "hooks", "dependencies", "stack_timeout", "ignore", "obsolete"),
    *("project_path", "stack_group_path"),
}


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in the configuration of one of an environment's stacks."""
    return {key: value for key, value in config.items() if key not in NOT_SETTINGS}
