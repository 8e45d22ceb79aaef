"""docs/aws-security-controls.md: one verdict for each control, and no setting that does not exist."""

import re

from spotfleet.settings.environment import Settings
from tools.lint_templates import PROJECT

PAGE = (PROJECT / "docs" / "aws-security-controls.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")][
    1:
]
VERDICT = re.compile(r"(pass|account|reason: .+|any `egress` .+|`\w+).*")


def test_each_control_has_one_verdict() -> None:
    controls = [control for control, _, _ in ROWS]
    assert len(controls) == len(set(controls)) > 60
    assert [control for control, _, outcome in ROWS if not VERDICT.fullmatch(outcome)] == []


def test_the_settings_that_it_names_exist() -> None:
    named = set(re.findall(r"`(\w+_\w+)", PAGE))
    assert named - Settings.model_fields.keys() == {"nat_instance"}
