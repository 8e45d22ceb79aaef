"""Hooks that stand at several points of one command, and are to act at the first of them only.

`sceptre launch` runs the hooks before_launch and then, because it creates or updates the stack, before_create or
before_update as well, and likewise after it. A stack file names the same hooks at all of these points, for the commands
create and update. Each command reads the configuration anew, so that a stack object stands for one command.

A hook that looks at what each step has done, such as !failure_reason, is none of them: a launch deletes what a failed
creation has left, then creates the stack anew, and both can fail.
"""

import functools
import json
from collections.abc import Callable
from typing import TypeVar

from sceptre.hooks import Hook

AnyHook = TypeVar("AnyHook", bound=Hook)
ATTRIBUTE = "spotfleet_hooks_run"


def once_per_command(run: Callable[[AnyHook], None]) -> Callable[[AnyHook], None]:
    """Make a hook's `run` do nothing where the same hook, with the same argument, has passed for the stack object."""

    @functools.wraps(run)
    def run_once(hook: AnyHook) -> None:
        passed: set[tuple[str, str]] = vars(hook.stack).setdefault(ATTRIBUTE, set())
        this = (type(hook).__name__, json.dumps(hook.argument, default=str, sort_keys=True))
        if this not in passed:
            run(hook)
            passed.add(this)

    return run_once
