"""spotfleet: rehearse an environment on the AWS embedded in this repository."""

import os
import sys
from contextlib import redirect_stdout

from spotfleet.local.host import shell


def run() -> int:
    """Run the verb that the arguments name, and return its exit code."""
    if sys.argv[1:2] == ["env"]:
        return _run_for_shell()
    return _run()


def _run_for_shell() -> int:
    """Print what a shell is to run, whatever happens: when it fails, that leads to no AWS at all."""
    # Of the shell, whose variables are to go: a verb replaces its own.
    environ = dict(os.environ)
    # With this, what is printed would be a script that completes words.
    os.environ.pop("_SPOTFLEET_COMPLETE", None)
    code = 1
    try:
        # Help would be run as well.
        is_help = bool({"-h", "--help"} & set(sys.argv))
        with redirect_stdout(sys.stderr if is_help else sys.stdout):
            if _run() == 0 and not is_help:
                code = 0
    except SystemExit:
        code = 1
    finally:
        if code != 0:
            print("\n".join(shell.leading_nowhere(environ)), flush=True)
    return code


def _run() -> int:
    try:
        from spotfleet.cli import main  # noqa: PLC0415  # it needs packages that may be missing, as each verb does

        return main.main()
    except ImportError as error:
        print(f"{error}: run `make .venv/installed`, then .venv/bin/spotfleet", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(run())
