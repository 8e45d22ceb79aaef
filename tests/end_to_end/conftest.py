"""What every test of this folder needs, and what those need that launch for themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.projects import Project


@pytest.fixture(scope="session", autouse=True)
def engine(docker_engine_running: None) -> None:
    """Have a Docker engine running."""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing has been launched."""
    project = Project(tmp_path)
    yield project
    for environment in ("dev", "prod"):
        project.local("down", environment)
    assert project.leftovers() == []
