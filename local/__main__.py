"""python -m local: rehearse an environment on the AWS embedded in this repository."""

import sys

from local import shell


def run() -> int:
    """Run the command that the arguments name, and return its exit code.

    A shell runs what `env` prints, whatever has happened here. When it fails, also for want of a package, it prints
    what leads to no AWS at all.
    """
    is_for_shell = sys.argv[1:2] == ["env"]
    code: object = 1
    try:
        from local import commands  # noqa: PLC0415  # it needs packages that may be missing

        code = commands.main()
    except SystemExit as error:
        code = error.code
        raise
    finally:
        if is_for_shell and code != 0:
            print("\n".join(shell.leading_nowhere()), flush=True)
    return int(code)


if __name__ == "__main__":
    sys.exit(run())
