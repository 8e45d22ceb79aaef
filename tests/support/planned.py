"""A project whose environments a plan compares: the tests' own settings, our templates, and an image of one file."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from spotfleet.plan import sources
from spotfleet.plan.configurations import Configuration
from tests.support import sample_project

# The project has to last until the end of all tests.
_folders: list[tempfile.TemporaryDirectory[str]] = []


@cache
def project() -> Path:
    """Return the folder of a project that no test may change."""
    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    sample_project.write_config(folder / "config")
    (folder / "templates").symlink_to(sample_project.ROOT / "templates")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


@cache
def _shipped(environment: str) -> Configuration:
    return sources.now(project(), environment, {})


def configuration(environment: str = "dev", **settings: Any) -> Configuration:  # noqa: ANN401  # values of settings
    """Return an environment with other settings; those of tests/sample where none are given."""
    return sources.now(project(), environment, settings) if settings else _shipped(environment)
