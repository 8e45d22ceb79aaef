"""python -m spotfleet: rehearse an environment on the AWS embedded in this repository."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

from spotfleet.local.host import shell


def run() -> int:
    """Run the command that the arguments name, and return its exit code."""
    if sys.argv[1:2] == ["env"]:
        return _run_for_shell()
    commands = _commands()
    return commands() if commands else 1


def _run_for_shell() -> int:
    """Print what a shell is to run, whatever happens: when it fails, that leads to no AWS at all."""
    # Of the shell, whose variables are to go: a command replaces its own.
    environ = dict(os.environ)
    code = 1
    try:
        # Help would be run as well.
        is_help = bool({"-h", "--help"} & set(sys.argv))
        with redirect_stdout(sys.stderr if is_help else sys.stdout):
            commands = _commands()
            code = commands() if commands else 1
    except SystemExit:
        code = 1
    finally:
        if code != 0:
            print("\n".join(shell.leading_nowhere(environ)), flush=True)
    return code


def _commands() -> Callable[[], int] | None:
    try:
        from spotfleet.cli import commands  # noqa: PLC0415  # it needs packages that may be missing
    except ImportError as error:
        print(f"{error}: run `make .venv/installed`, then .venv/bin/python -m spotfleet", file=sys.stderr)
        return None
    return commands.main


if __name__ == "__main__":
    sys.exit(run())
