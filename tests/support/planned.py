"""A project whose environments a plan compares: the tests' own settings, our templates, and an image of one file."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from spotfleet.configuration.quoting import dumps
from spotfleet.plan import sources
from spotfleet.plan.configurations import Configuration
from tests.support import sample_project
from tests.support.changed import copy_service

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


def project_with(**services: dict[str, Any]) -> Path:
    """Return the folder of a project whose dev has these services in the place of its first one."""
    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    shutil.copytree(project() / "config", folder / "config")
    (folder / "templates").symlink_to(sample_project.ROOT / "templates")
    shutil.copyfile(project() / "Dockerfile", folder / "Dockerfile")
    own = folder / "config/dev"
    for service in services:
        copy_service(own, service)
    (own / "service.yaml").unlink()
    numbered = {
        one: given if given.get("kind") == "worker" else {"listener_priority": 90 + place} | given
        for place, (one, given) in enumerate(services.items())
    }
    with (own / "config.yaml").open("a") as file:
        file.write(f"\nservices: {dumps(numbered)}\nmax_machines: 9\n")
    return folder


def with_services(**services: dict[str, Any]) -> Configuration:
    """Return the environment dev with these services in the place of its first one, as `spotfleet convert` makes it."""
    return sources.now(project_with(**services), "dev", {})


def configuration(environment: str = "dev", **settings: Any) -> Configuration:  # noqa: ANN401  # values of settings
    """Return an environment with other settings; those of tests/sample where none are given."""
    return sources.now(project(), environment, settings) if settings else _shipped(environment)
