"""What somebody does who has just cloned the repository, at AWS's real times."""

import os
import re
import subprocess
import time
from pathlib import Path

from spotfleet.local.host.console import output
from tests.support.ports import free_port
from tests.support.projects import (
    ROOT,
    leftovers,
    local_variables,
)

# Something is printed every 4 s or so; a busy machine takes longer.
LONGEST_SILENCE = 40


def test_a_newcomer_follows_the_readme(tmp_path: Path) -> None:
    """Every command of the README's first section, at AWS's real times, in a bare clone with all set-up to do."""
    clone, temporary = tmp_path / "spotfleet", tmp_path / "tmp"
    temporary.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    section = (clone / "README.md").read_text().split("\n## ")[1]
    commands = re.findall(r"^\$ (.+)$", section, re.MULTILINE)
    assert "make up" in commands
    assert commands[-1] == "make down"
    variables = os.environ | local_variables(free_port()) | {"TMPDIR": str(temporary)}
    printed: dict[str, str] = {}
    took: dict[str, float] = {}
    # Not of the README: what `make up` does once on a fresh machine, and a launch without a change.
    for command in ["make .venv/installed", *commands[:-1], "make up", commands[-1]]:
        started = time.monotonic()
        code, words, silence = run_and_listen(command, clone, variables)
        assert code == 0, f"{command}\n{words}"
        assert silence < LONGEST_SILENCE, f"{command} printed nothing for {silence:.0f} s"
        printed.setdefault(command, words)
        took[command + " again" * (command in took)] = time.monotonic() - started
    print({command: f"{seconds:.1f} s" for command, seconds in took.items()})
    assert "<h1>HELLO WORLD</h1>" in printed["make up"]
    # How long each takes depends on what else the machine does; that a launch without a change does next to nothing
    # does not.
    assert took["make up again"] < took["make up"] / 3, took
    assert leftovers(clone, variables) == []
    assert list(temporary.iterdir()) == []
    assert output(["git", "-C", str(clone), "status", "--short"]) == ""


def run_and_listen(command: str, folder: Path, variables: dict[str, str]) -> tuple[int, str, float]:
    """Run a shell command and return its exit code, what it printed, and its longest silence in seconds."""
    lines, silence, spoke = [], 0.0, time.monotonic()
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            silence = max(silence, time.monotonic() - spoke)
            spoke = time.monotonic()
    return process.returncode, "".join(lines), silence
