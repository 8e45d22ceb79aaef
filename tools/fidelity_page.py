"""Writes docs/fidelity.md from the rules of AWS in docs/rules/: `python -m tools.fidelity_page`."""

import ast
import functools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
RULES = ROOT / "docs" / "rules"
# What differs besides: the page's last chapter, as it is.
STAND_INS = RULES / "stand_ins.md"
# Of the page, in the order in which a request or a task meets them.
GROUPS = ("e", "c", "g", "s", "t", "w", "l", "b", "f", "m", "n")

Here = Literal["same", "kinder", "harsher", "absent"]
VERDICTS: tuple[Here, ...] = get_args(Here)
Text = Annotated[str, Field(min_length=1)]


class Rule(BaseModel):
    """One thing that AWS does over time, and what the embedded AWS does instead, with the tests that hold it."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Z][1-9]\d?$")]
    title: Text
    aws: Text
    # Pages of AWS's documentation, threads, or in words what has no address.
    sources: Annotated[list[Text], Field(min_length=1)]
    confidence: Literal["high", "medium", "low"]
    here: Here
    difference: str = ""
    # Where in the tree, and the function's name: tests/…/test_module.py::test_name, parametrised ones without brackets.
    tests: list[Text] = []


class Group(BaseModel):
    """The rules of one service of AWS."""

    model_config = ConfigDict(extra="forbid")

    title: Text
    rules: Annotated[list[Rule], Field(min_length=1)]


def groups(folder: Path = RULES) -> list[Group]:
    """Return the rules by group; raises ValueError, in pydantic's words, where a file is not as it must be."""
    return [Group.model_validate(yaml.safe_load((folder / f"{name}.yaml").read_text())) for name in GROUPS]


def problems(found: Sequence[Group], root: Path = ROOT) -> Iterator[str]:
    """Yield what the rules say and may not say, a line each; `root` is where their tests are."""
    rules = [rule for group in found for rule in group.rules]
    for name, count in Counter(rule.id for rule in rules).items():
        if count > 1:
            yield f"{name} is there {count} times"
    for rule in rules:
        if rule.here == "same" and not rule.tests:
            yield f"{rule.id} is the same as on AWS, and no test holds it"
        if rule.here != "same" and not rule.difference:
            yield f"{rule.id} is {rule.here}, and no difference says how and why"
        if len(set(rule.tests)) < len(rule.tests):
            yield f"{rule.id} names a test twice"
        for test in rule.tests:
            path, _, name = test.partition("::")
            if name not in _tests_in(root / path):
                yield f"{rule.id} names {test}, which does not exist"


@functools.cache
def _tests_in(file: Path) -> frozenset[str]:
    """Return the names of a module's test functions; none where there is no such file."""
    if not file.is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (item.name for item in ast.parse(file.read_text()).body if isinstance(item, functions))
    return frozenset(name for name in found if name.startswith("test_"))


def page(found: Sequence[Group]) -> str:
    """Return the text of docs/fidelity.md."""
    return "\n\n".join([INTRODUCTION, _counts(found), *(_chapter(group) for group in found), STAND_INS.read_text()])


INTRODUCTION = """# How the embedded AWS differs from AWS

What AWS does over time, rule by rule, and what the embedded AWS does. This page is written by
`python -m tools.fidelity_page` from `docs/rules/`, which refuses a rule that is the same without a test that holds it.

- **same**: the same numbers, by the tests that are named.
- **kinder**: a rehearsal looks better than AWS would be: faster, cheaper, fewer errors.
- **harsher**: it looks worse than AWS would be.
- **absent**: AWS's behaviour is not there, so nothing of it shows; mostly that is kinder too.

Where AWS publishes no number, what stands here is measured or worked out; such rules have medium or low confidence.
Seconds are AWS's: `LOCAL_SPEED` shortens them all. What AWS promises no time for is drawn from a range
(`LOCAL_DELAYS`, `LOCAL_SEED`)."""


def _counts(found: Sequence[Group]) -> str:
    rows = [(f"[{group.title}](#{_anchor(group.title)})", group.rules) for group in found]
    rows.append(("**together**", [rule for group in found for rule in group.rules]))
    lines = [f"| | rules | {' | '.join(VERDICTS)} |", f"|---|{'---:|' * (len(VERDICTS) + 1)}"]
    for title, rules in rows:
        counts = Counter(rule.here for rule in rules)
        lines.append(f"| {title} | {len(rules)} | {' | '.join(str(counts[verdict]) for verdict in VERDICTS)} |")
    return "\n".join(lines)


def _anchor(title: str) -> str:
    """Return by what a heading is linked to."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in "- ")
    return "".join(kept).replace(" ", "-")


def _chapter(group: Group) -> str:
    lines = [f"## {group.title}", "", "| rule | on AWS | here | tests |", "|---|---|---|---|"]
    return "\n".join([*lines, *(_row(rule) for rule in group.rules)])


def _row(rule: Rule) -> str:
    sources = ", ".join(_source(number, one) for number, one in enumerate(rule.sources, 1))
    aws = f"{rule.aws} ({rule.confidence} confidence; {sources})"
    here = f"**{rule.here}**" + (f": {rule.difference}" if rule.difference else "")
    tests = "<br>".join(_test(one) for one in rule.tests)
    cells = (f"**{rule.id}** {rule.title}", aws, here, tests)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _source(number: int, source: str) -> str:
    return f"[{number}]({source})" if source.startswith("https://") else source


def _test(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


if __name__ == "__main__":
    known = groups()
    if refused := list(problems(known)):
        sys.exit("\n".join(refused))
    PAGE.write_text(page(known))
