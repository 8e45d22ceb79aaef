"""What the benchmark needs beside Python: load generator, virtual environments, cores."""

import os
import subprocess
import sys
from pathlib import Path

from bench.servers import PROJECT
from spotfleet.local.host import packages
from spotfleet.local.host.console import Failure, say


def need_load_generator() -> None:
    """Make sure that wrk is there; raises Failure with the command to run where we may not install it."""
    packages.ensure("wrk", "wrk (it makes the load)")


def two_cores() -> tuple[int, int]:
    """Return a core for the servers and one for the load. Raises Failure where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        raise Failure("The benchmark needs two cores: one for the servers, one for the load.")
    return cores[0], cores[1]


def virtual_environment(folder: Path, requirements: Path) -> str:
    """Return the Python of a virtual environment in `folder` that has what `requirements` lists, made if need be."""
    python = folder / "bin" / "python"
    installed = folder / "installed"
    if not installed.is_file() or installed.read_text() != requirements.read_text():
        say(f"Installing {requirements.relative_to(PROJECT)} into {folder.relative_to(PROJECT)} ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        result = subprocess.run(
            [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", requirements], check=False
        )
        if result.returncode != 0:
            raise Failure(f"pip could not install {requirements.relative_to(PROJECT)}; its own words are above.")
        installed.write_text(requirements.read_text())
    return str(python)
