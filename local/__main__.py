"""python -m local: rehearse an environment on the AWS embedded in this repository."""

import os
import sys

from local import shell


def run() -> int:
    """Run the command that the arguments name, and return its exit code.

    A shell runs what `env` prints, whatever has happened here. When it fails, also for want of a package, it prints
    what leads to no AWS at all.
    """
    # Of the shell, whose variables are to go: a command replaces its own.
    environ = dict(os.environ)
    is_for_shell = sys.argv[1:2] == ["env"]
    code = 1
    try:
        from local import commands  # noqa: PLC0415  # it needs packages that may be missing

        code = commands.main()
    except ImportError as error:
        print(
            f"python -m local lacks a package ({error}): run `make .venv/installed`, then .venv/bin/python.",
            file=sys.stderr,
        )
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        if is_for_shell and code != 0:
            print("\n".join(shell.leading_nowhere(environ)), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(run())
