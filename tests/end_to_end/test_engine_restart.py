"""The Docker engine is restarted under a running environment: its containers end with it, and all of it comes back."""

import time
from collections.abc import Iterator

import pytest

from spotfleet.behaviour import restarts
from spotfleet.local.host import docker_engine
from tests.support.projects import Project, get, launched

pytestmark = pytest.mark.alone

HEALING_SECONDS = 180


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up."""
    project = Project(tmp_path_factory.mktemp("project"))
    with (project.folder / "config/dev/config.yaml").open("a") as settings:
        # What ends with the engine is none of the ends after which a container starts again in its task.
        settings.write("restart_in_place: true\n")
    with launched(project):
        yield project


def test_the_environment_heals(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # Until a container may start again where it is.
    time.sleep(restarts.DEFAULT_ATTEMPT_PERIOD / float(project.variables["LOCAL_SPEED"]))
    if not docker_engine.stop_if_ours():
        pytest.skip("This engine runs for others too, so it is not restarted; where the tests start one, it is.")
    assert not docker_engine.answers()
    # Where the engine was, not where a user wants it to be.
    monkeypatch.delenv("DOCKER_HOST")
    docker_engine.ensure()
    back = time.monotonic()
    while not healthy(project):
        assert time.monotonic() - back < HEALING_SECONDS, project.status()
        time.sleep(0.5)
    print(f"healthy {time.monotonic() - back:.0f} s after the engine's return")
    assert get(project.status()["url"])[0] == 200
    log = (project.folder / ".local" / str(project.port) / "aws.log").read_text()
    assert "The Docker engine answers again." in log
    assert "restarted the container" not in log


def healthy(project: Project) -> bool:
    """Return whether all is as it should be, with a container for each task."""
    status = project.status()
    return bool(status["complete"]) and len(project.containers()) == status["desired_tasks"]
