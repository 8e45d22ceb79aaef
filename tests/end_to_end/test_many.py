"""Five environments side by side on one embedded AWS, one of them with ten services, on real containers."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.changed import copy_service
from tests.support.projects import Project, get

SMALL = ("e1", "e2", "e3", "e4")
LARGE = "e5"
FURTHER = tuple(f"s{number}" for number in range(2, 11))
# Answers any path with the environment and the service that it reached.
ANSWER = """import os


async def hello_world(_: web.Request) -> web.StreamResponse:
    return Response(text=os.environ["WHO"])


ROUTES = [web.get("/{path:.*}", hello_world)]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing runs yet, with the five environments in the place of dev and prod."""
    project = Project(tmp_path)
    # Fourteen tasks and their machines start and go: nothing here is about how long AWS takes for that.
    project.variables["LOCAL_SPEED"] = "20"
    handlers = tmp_path / "service/handlers.py"
    handlers.write_text(handlers.read_text().partition("async def hello_world")[0] + ANSWER)
    for name in (*SMALL, LARGE):
        add_environment(project, name, FURTHER if name == LARGE else ())
    yield project
    for name in (*SMALL, LARGE):
        project.local("down", name)


def add_environment(project: Project, name: str, further: tuple[str, ...]) -> None:
    """Copy dev as the README says, with services of one task each."""
    folder = project.folder / "config" / name
    project.run("cp", "-r", "config/dev", str(folder))
    file = folder / "config.yaml"
    kept = re.sub(r"^(min_tasks|max_tasks|max_machines|instance_types):.*\n", "", file.read_text(), flags=re.MULTILINE)
    services = {
        service: {
            "path_pattern": f"/{service}/*",
            "listener_priority": number,
            "environment_variables": {"WHO": f"{name} {service}"},
        }
        for number, service in enumerate(further, start=1)
    }
    # Two machines hold ten tasks, so that a launch waits for one to boot and not for four, one after the other.
    settings = {
        "min_tasks": 1,
        "max_tasks": 1,
        "max_machines": 10,
        "instance_types": ["t3.medium"],
        "services": services,
    }
    file.write_text(kept + yaml.safe_dump(settings | {"environment_variables": {"WHO": name}}))
    for service in further:
        copy_service(folder, service)


def launch_seconds(project: Project, name: str) -> float:
    """Launch an environment and return how long that took."""
    started = time.monotonic()
    launched = project.local("up", name)
    assert launched.returncode == 0, launched.stdout
    return time.monotonic() - started


def test_ten_services_and_five_environments(project: Project) -> None:
    # The first launch also starts the embedded AWS and builds the image.
    seconds = {name: launch_seconds(project, name) for name in (*SMALL, LARGE)}
    one = min(seconds[name] for name in SMALL[1:])
    print(f"launch of one service {one:.1f} s, of ten {seconds[LARGE]:.1f} s, of each environment: {seconds}")
    assert seconds[LARGE] < 10 * one

    urls = {name: project.status(name)["url"] for name in (*SMALL, LARGE)}
    assert len(set(urls.values())) == len(urls)
    assert {name: get(url)[2] for name, url in urls.items()} == {name: name for name in urls}
    for service in FURTHER:
        assert get(f"{urls[LARGE]}{service}/page")[2] == f"{LARGE} {service}"
    status = project.status(LARGE)
    assert (status["complete"], status["desired_tasks"]) == (True, 10)
    assert status["troubles"] == []

    for name in (LARGE, *SMALL):
        deleted = project.local("down", name)
        assert deleted.returncode == 0, deleted.stdout
    assert project.leftovers() == []
