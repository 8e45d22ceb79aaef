"""Installing the image's packages: what pip says of a line without a hash is explained, other failures are not."""

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "image" / "install.sh"
# Stands for the base image's Python: its venv has a pip that says the words that are given, and fails.
PYTHON = """\
#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$*"\\ncat "%s" >&2\\nexit "%s"\\n' "$WORDS" "$CODE" > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
MISSING = "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements here.\n"
UNPINNED = "ERROR: In --require-hashes mode, all requirements must have their versions pinned with ==.\n"
OTHER_FILE = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
UNREACHABLE = "ERROR: Could not find a version that satisfies the requirement aiohttp==3.14.5\n"


def install(folder: Path, words: str, code: int) -> subprocess.CompletedProcess[str]:
    shutil.copy(INSTALL, folder)
    (folder / "bin").mkdir()
    (folder / "bin/python3").write_text(PYTHON)
    (folder / "bin/python3").chmod(0o755)
    (folder / "words").write_text(words)
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "WORDS": str(folder / "words"), "CODE": str(code)}
    command: list[str | Path] = ["sh", folder / "install.sh", "service/requirements.txt", "packages"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [MISSING, UNPINNED, OTHER_FILE])
def test_a_requirement_without_its_hash_is_explained(tmp_path: Path, words: str) -> None:
    installed = install(tmp_path, words, 1)
    assert installed.returncode == 1
    assert installed.stderr.startswith(words)
    assert installed.stderr.endswith(
        "service/requirements.txt lacks packages or hashes: name the package in service/requirements.in, "
        "run 'make requirements', and build again.\n"
    )


def test_another_failure_is_not(tmp_path: Path) -> None:
    assert (install(tmp_path, UNREACHABLE, 1)).stderr == UNREACHABLE


def test_pip_takes_nothing_without_a_hash_and_nothing_that_it_would_have_to_build(tmp_path: Path) -> None:
    installed = install(tmp_path, "", 0)
    assert installed.returncode == 0
    assert (
        "--only-binary :all: --require-hashes --target packages --requirement service/requirements.txt"
        in installed.stdout
    )
