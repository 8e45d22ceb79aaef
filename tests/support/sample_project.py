"""A project of the tests' own: settings and pages of tests/sample/, templates and wiring of this repository.

What a user changes in config/ and in service/handlers.py, as README.md says, thus changes nothing that a test asserts.
"""

import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sceptre.plan.plan import SceptrePlan

from spotfleet.configuration.given_settings import settings_of
from tools import lint_templates

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "sample"
ENVIRONMENTS = ["dev", "prod"]
# How Sceptre's Jinja is set up, which is the same for every project.
JINJA = re.compile(r"^j2_environment:\n(?:[ #].*\n)+", re.MULTILINE)

# The project has to last until the end of all tests.
_folders: list[tempfile.TemporaryDirectory[str]] = []


@cache
def folder() -> Path:
    """Return the folder of a project that no test may change, as it is one for all."""
    _folders.append(tempfile.TemporaryDirectory())
    project = Path(_folders[-1].name)
    write_config(project / "config")
    (project / "templates").symlink_to(ROOT / "templates")
    return project


def write_config(config: Path) -> None:
    """Write a folder config/ with the tests' settings and our wiring, in the place of the environments that it has."""
    for file in [*config.glob("*/**/config.yaml")]:
        shutil.rmtree(file.parent, ignore_errors=True)
    shutil.copytree(SAMPLE / "config", config, dirs_exist_ok=True)
    shutil.copytree(ROOT / "config/wiring", config / "wiring", dirs_exist_ok=True)
    jinja = JINJA.search((ROOT / "config/config.yaml").read_text())
    assert jinja
    with (config / "config.yaml").open("a") as shared:
        shared.write(f"\n{jinja[0]}")


def plan(environment: str) -> SceptrePlan:
    """Read an environment's configuration as every sceptre command does."""
    return lint_templates.plan(environment, folder())


@cache
def settings(environment: str) -> dict[str, Any]:
    """Return an environment's settings; to change them, make a copy."""
    return settings_of(next(iter(plan(environment).graph)).config)
