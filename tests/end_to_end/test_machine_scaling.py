"""With `machine_scaling: cpu` the machines follow the work of the tasks on them, thirty times faster than on AWS."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.projects import Project, launched

pytestmark = pytest.mark.alone

# EC2 tells of the machines every five minutes of AWS, up to three later; an alarm wants its point to be two more old.
WAIT_SECONDS = 90
# Ten minutes of AWS; the machines' warm-up takes two of them.
STAYS_SECONDS = 20
# Two tasks of a quarter of a core, both busy, are 25 % of a micro's two cores: three micros bring that below 10 %.
SETTINGS = {
    "machine_scaling: capacity_provider": "machine_scaling: cpu",
    "machine_cpu_target_percent: 70": "machine_cpu_target_percent: 10",
    "max_tasks: 4": "max_tasks: 2",
    # The one machine has to have room for a third.
    "reserved_memory_mib: 200": "reserved_memory_mib: 64",
}
PAGE = '    return Response(text="<h1>HELLO WORLD</h1>"'
WORK = '    __import__("hashlib").pbkdf2_hmac("sha256", b"", b"", 6000)\n'
MORE_THAN_TWO_TASKS_ANSWER = "400"


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev, with machines that follow their CPU use, is up."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.variables["LOCAL_SPEED"] = "30"
    for old, new in SETTINGS.items():
        project.replace("config/dev/config.yaml", old, new)
    project.replace("service/handlers.py", PAGE, WORK + PAGE)
    with launched(project):
        yield project


def wait_for_machines(project: Project, count: int) -> None:
    """Wait until the Auto Scaling group has so many machines."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (machines := len(project.status()["machines"])) != count:
        assert time.monotonic() < deadline, machines
        time.sleep(1)


def test_machines_follow_the_work_on_them(project: Project) -> None:
    wait_for_machines(project, 1)
    load = ["load", "dev", "--rps", MORE_THAN_TWO_TASKS_ANSWER, "--seconds", str(WAIT_SECONDS + STAYS_SECONDS)]
    loading = subprocess.Popen(
        [sys.executable, "-m", "spotfleet", *load],
        cwd=project.folder,
        env=project.variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for_machines(project, 3)
    # Once the new ones are warm they are part of the metric, and of what is counted, in the same minute.
    stays = time.monotonic() + STAYS_SECONDS
    while time.monotonic() < stays:
        assert len(project.status()["machines"]) == 3
        time.sleep(1)
    loading.communicate()
    assert loading.returncode == 0
    wait_for_machines(project, 1)
