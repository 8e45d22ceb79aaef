"""Makes the service's own files the same whoever checked them out, and compiles them.

Runs inside the build (see Dockerfile) with the base image's Python: `python3 prepare_service.py FOLDER`.
Git keeps no permissions but "executable"; the others are those of whoever's checkout is built, under a umask of 077
readable by nobody else. The service runs as another user, and an image is named after its source alone.
"""

import compileall
import os
import sys
from pathlib import Path

# Times of a build in an image would make every build another one.
NO_TIME = (0, 0)


def main(folder: Path) -> None:
    """Prepare everything in `folder`. Raises SystemExit when a module does not compile."""
    make_readable(folder)
    if not compileall.compile_dir(folder, quiet=1):
        raise SystemExit("Some modules of the service do not compile")
    forget_build_time(folder)


def make_readable(path: Path) -> None:
    """Let everybody read `path` and what is in it, and run what is executable; only its owner may write.

    Links are left alone: what they lead to is either in the folder too or none of ours.
    """
    if path.is_symlink():
        return
    runs = path.is_dir() or path.stat().st_mode & 0o111
    path.chmod(0o755 if runs else 0o644)
    if path.is_dir():
        for child in path.iterdir():
            make_readable(child)


def forget_build_time(folder: Path) -> None:
    """Take the time off what was made just now: bytecode, and the folders that it was put into.

    The sources keep theirs, which bytecode is compared with, and of which a handler may make an ETag.
    """
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and (path.is_dir() or path.suffix == ".pyc"):
            os.utime(path, NO_TIME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
