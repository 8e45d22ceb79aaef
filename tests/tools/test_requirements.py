"""The pinned requirements: what is named in a requirements.in is pinned, and nothing gets in without its hash."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# A service of one's own may have no requirements of Python.
OF_THE_SERVICE = ["service/requirements"] if (ROOT / "service/requirements.in").exists() else []
NAMES = ["requirements", "requirements-dev", "requirements-scan", *OF_THE_SERVICE, "image/requirements"]


def requirements(text: str) -> list[Requirement]:
    """Return the requirements in a file, without their hashes."""
    lines = (re.split(r" \\$|^\s*#|^\s+--hash", line)[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


@pytest.mark.parametrize("name", NAMES)
def test_each_line_is_pinned_with_hashes_and_names_no_package_index(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) == len(requirements(text)) > 0
    for block in blocks:
        assert re.match(r"\S+==\S+", block)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_is_pinned(name: str) -> None:
    pinned = {canonicalize_name(r.name): str(r.specifier) for r in requirements((ROOT / f"{name}.txt").read_text())}
    for wanted in requirements((ROOT / f"{name}.in").read_text()):
        assert pinned[canonicalize_name(wanted.name)] == str(wanted.specifier), f"run make requirements: {wanted}"


@pytest.mark.parametrize("name", ["requirements", *OF_THE_SERVICE])
def test_tests_run_on_the_versions_that_are_deployed(name: str) -> None:
    tested = {str(r) for r in requirements((ROOT / "requirements-dev.txt").read_text())}
    deployed = {str(r) for r in requirements((ROOT / f"{name}.txt").read_text())}
    assert {r.split(";")[0].strip() for r in deployed} <= {r.split(";")[0].strip() for r in tested}


def test_the_build_backend_is_pinned_to_the_version_whose_hash_is_known() -> None:
    backend = re.search(r'requires = \["(setuptools==\S+)"\]', (ROOT / "pyproject.toml").read_text())
    assert backend
    assert f"{backend[1]} \\\n    --hash=" in (ROOT / "requirements.txt").read_text()


def test_actions_are_pinned_by_commit() -> None:
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        for line in re.findall(r"uses: (.*)", workflow.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), f"{workflow.name}: {line}"
