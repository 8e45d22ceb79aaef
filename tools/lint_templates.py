"""Renders every template of every environment as Sceptre sends it to AWS, and lints them all strictly.

Run as `python -m tools.lint_templates`: one line per finding, exit code 1 when there is any.
"""

import os
import sys
from pathlib import Path

from cfnlint.api import lint_by_config
from cfnlint.config import ManualArgs
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan

PROJECT = Path(__file__).parent.parent
RENDERED = PROJECT / "build" / "templates"
CONFIG = PROJECT / "config"
# An environment may be in a folder of environments, which has settings but no stacks.
ENVIRONMENTS = sorted(
    file.parent.relative_to(CONFIG).as_posix()
    for file in CONFIG.rglob("config.yaml")
    if file.parent != CONFIG and len([*file.parent.glob("*.yaml")]) > 1
)


def plan(environment: str, project: Path = PROJECT) -> SceptrePlan:
    """Read an environment's configuration as every sceptre command does."""
    return SceptrePlan(SceptreContext(str(project), environment))


def render(environment: str, project: Path = PROJECT) -> dict[str, str]:
    """Return the body of each layer's template."""
    return {stack.name.rpartition("/")[2]: body for stack, body in plan(environment, project).generate().items()}


def write(bodies: dict[str, str], folder: Path) -> list[Path]:
    """Write each body to the folder as <name>.yaml; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, body in bodies.items():
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(body)
    return files


def lint(files: list[Path], regions: list[str]) -> list[str]:
    """Return cfn-lint's findings, informational ones too, as `file:line: rule message`."""
    arguments = ManualArgs(
        templates=[str(file) for file in files],
        regions=regions,
        include_checks=["I"],
        # Types must be right without CloudFormation's conversions.
        configure_rules={"E3012": {"strict": True}},
    )
    return [
        f"{os.path.relpath(match.filename)}:{match.linenumber}: {match.rule.id} {match.message}"
        for match in lint_by_config(arguments)
    ]


def main() -> int:
    """Render and lint all environments; return the exit code."""
    files = []
    regions = set()
    for environment in ENVIRONMENTS:
        files += write(render(environment), RENDERED / environment)
        regions |= {stack.region for stack in plan(environment).graph}
    findings = lint(files, sorted(regions))
    for finding in findings:
        print(finding)
    print(f"{len(files)} rendered templates, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
