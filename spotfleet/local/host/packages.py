"""Programs of Debian's packages: found, or installed where we may do that."""

import os
import shutil

from spotfleet.local.host import console
from spotfleet.local.host.console import Failure, say

# Where Debian puts what administrators run; an ordinary user's PATH has none of these.
ADMINISTRATORS_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def find(command: str) -> str | None:
    """Return the path of a command, wherever the system keeps it, or None where there is none."""
    return shutil.which(command) or shutil.which(command, path=ADMINISTRATORS_FOLDERS)


def variables() -> dict[str, str]:
    """Return this process's variables for a program that runs those of administrators, whoever's PATH we have."""
    return os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:{ADMINISTRATORS_FOLDERS}"}


def ensure(command: str, name: str) -> None:
    """Make sure that there is a command: install its package, of the same name, where we are root on Debian or Ubuntu.

    `name` is what users are told. Raises Failure with the command to run where we cannot.
    """
    if find(command):
        return
    if not may_install():
        raise Failure(f"{name} is not installed: install it with {how_to_install(command)}.")
    install(command, name)


def how_to_install(package: str) -> str:
    """Return the command, or the words, by which a user gets a package."""
    return f"sudo apt-get install {package}" if find("apt-get") else f"your package manager ({package})"


def may_install() -> bool:
    """Return whether we are root on Debian or Ubuntu."""
    return os.geteuid() == 0 and find("apt-get") is not None


def install(package: str, name: str) -> None:
    """Install a Debian package with what it recommends left out; we must be root.

    Raises Failure when apt-get fails.
    """
    say(f"Installing {name} (apt-get install {package}) ...")
    quiet = variables() | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", package]):
        if console.run(["apt-get", *command], f"installing {name}", quiet) != 0:
            raise Failure(f"apt-get could not install {package}; its own words are above. Install it, then run again.")
