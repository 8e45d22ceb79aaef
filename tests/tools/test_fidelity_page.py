"""docs/fidelity.md, and what its rules may not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tools.fidelity_page import GROUPS, PAGE, RULES, Group, groups, page, problems

RULE = {"id": "E1", "title": "Bounds", "aws": "At most 200 %.", "sources": ["https://a.example"], "confidence": "high"}


def rule(**changes: object) -> dict[str, Any]:
    return RULE | {"here": "same", "tests": ["tests/test_a.py::test_one"]} | changes


def problems_of(tree: Path, *rules: dict[str, Any]) -> list[str]:
    (tree / "tests").mkdir(exist_ok=True)
    text = "def test_one(): ...\n\nasync def test_two(): ...\n\ndef helper(): ...\n"
    (tree / "tests" / "test_a.py").write_text(text)
    return list(problems([Group.model_validate({"title": "ECS", "rules": list(rules)})], tree))


def test_page_is_what_the_rules_make_of_it() -> None:
    assert list(problems(groups())) == []
    assert PAGE.read_text() == page(groups()), "run: python -m tools.fidelity_page"


def test_every_rule_of_every_group_is_there_once() -> None:
    assert {file.stem for file in RULES.glob("*.yaml")} == set(GROUPS)
    for name, group in zip(GROUPS, groups(), strict=True):
        assert [one.id for one in group.rules] == [f"{name.upper()}{number + 1}" for number in range(len(group.rules))]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"tests": ["tests/test_a.py::test_two"]}, []),
        ({"here": "kinder", "difference": "a second faster", "tests": []}, []),
        ({"tests": []}, ["E1 is the same as on AWS, and no test holds it"]),
        ({"tests": ["tests/test_a.py::test_3"]}, ["E1 names tests/test_a.py::test_3, which does not exist"]),
        ({"tests": ["tests/test_a.py::helper"]}, ["E1 names tests/test_a.py::helper, which does not exist"]),
        ({"tests": ["tests/test_b.py::test_one"]}, ["E1 names tests/test_b.py::test_one, which does not exist"]),
        ({"here": "kinder"}, ["E1 is kinder, and no difference says how and why"]),
        ({"here": "absent"}, ["E1 is absent, and no difference says how and why"]),
        ({"tests": ["tests/test_a.py::test_one"] * 2}, ["E1 names a test twice"]),
    ],
)
def test_what_a_rule_may_not_say(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    assert problems_of(tmp_path, rule(**changes)) == expected


def test_a_rule_is_there_once(tmp_path: Path) -> None:
    assert problems_of(tmp_path, rule(), rule(id="E2"), rule()) == ["E1 is there 2 times"]


@pytest.mark.parametrize("changes", [{"here": "nearly"}, {"sources": []}, {"id": "1"}, {"aws": ""}, {"reason": "x"}])
def test_a_rule_that_is_written_wrongly_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Group.model_validate({"title": "ECS", "rules": [rule(**changes)]})


def test_the_page_counts_and_links() -> None:
    text = """
    title: ECS's scheduler
    rules:
      - {id: E1, title: One, aws: "50 | 100", sources: ["https://a.example"], confidence: high, here: same,
         tests: ["tests/test_a.py::test_one"]}
      - {id: E2, title: Two, aws: Slow, sources: [experience], confidence: low, here: kinder, difference: fast}
    """
    written = page([Group.model_validate(yaml.safe_load(text))])
    assert "| [ECS's scheduler](#ecss-scheduler) | 2 | 1 | 1 | 0 | 0 |" in written
    assert "| **together** | 2 | 1 | 1 | 0 | 0 |" in written
    source = "[1](https://a.example)"
    assert (
        f"| **E1** One | 50 &#124; 100 (high confidence; {source}) | **same** | [one](../tests/test_a.py) |" in written
    )
    assert "| **E2** Two | Slow (low confidence; experience) | **kinder**: fast |  |" in written
