"""What README and docs/ say holds: links lead somewhere, lists are complete, examples work."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from spotfleet.settings.problems import find_problems
from tests.support import sample_project
from tests.support.projects import ROOT

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_what_exists(page: Path) -> None:
    for path, heading in LINK.findall(page.read_text()):
        target = (page.parent / path) if path else page
        assert target.exists(), path
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def rooms(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and (path / "__init__.py").exists()}


@pytest.mark.parametrize(("page", "folder"), [("architecture", "spotfleet"), ("local-aws", "spotfleet/local")])
def test_the_drawing_of_a_house_has_every_room(page: str, folder: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert [name for name in sorted(rooms(ROOT / folder)) if f"{name}/" not in text] == []


def test_every_hook_is_in_the_drawing_of_a_launch() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    tags = {path.stem for path in (ROOT / "hooks").glob("*.py")} - {"__init__"}
    assert {tag for tag in tags if f"!{tag}" not in text} == {"ignored_dependencies"}, "which acts in a diff alone"


def test_the_settings_of_each_kind_of_program_are_valid() -> None:
    page = (ROOT / "docs/bring-your-own-container.md").read_text()
    table = page[page.index("## 4. Settings for") : page.index("## 5. Workers")]
    rows = [line for line in table.splitlines() if line.startswith("| ") and ": " in line]
    larger = {"instance_types": ["t3.medium", "t3a.medium"], "max_machines": 9}
    for row in rows:
        given: dict[str, Any] = {}
        for text in re.findall(r"`(\w+: [^`]+)`", row):
            given |= yaml.safe_load(text)
        assert given
        assert find_problems(sample_project.settings("dev") | larger | given) == {}, row
    assert len(rows) >= 10
