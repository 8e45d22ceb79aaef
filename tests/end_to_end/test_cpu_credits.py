"""A machine without CPU credits is slowed down to its baseline: busy tasks on a t3.micro in standard mode."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import pytest

from tests.support import signed
from tests.support.projects import Project, get, launched

# Alone: tasks that other work keeps from their processors use no credits.
pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.usefixtures("docker_engine_running")]

# The baseline of a t3.micro, in vCPUs: rule B1.
BASELINE = 0.2
VCPUS = 2
TASKS = 3
RESERVED = TASKS * 256 / 1024
# Of its three tasks' limits, the whole of which it may use while it has credits.
SETTINGS = {
    "cpu_credits: unlimited": "cpu_credits: standard",
    "instance_types: [t3.micro, t3a.micro, t3.small]": "instance_types: [t3.micro]",
    "max_machines: 4": "max_machines: 2",
    "min_tasks: 2": "min_tasks: 3",
    "max_tasks: 4": "max_tasks: 3",
    "task_memory_mib: 256": "task_memory_mib: 224",
    # A start takes its work in real seconds at any LOCAL_SPEED, and here a fifteenth of a vCPU.
    "health_check_grace_seconds: 30": "health_check_grace_seconds: 600",
    "task_cpu_target_percent: 70": "task_cpu_target_percent: 70\nrequests_per_task: 600",
}
# Real seconds in which what it has left is used up, and longer than all that is measured.
EMPTY_SECONDS = 180
BUSY_SECONDS = 300
MEASURED_SECONDS = 10
# Of what they may use, what busy tasks get beside other work on this computer.
LEAST_SHARE = 0.25
# A page that keeps its task busy.
ROUTES = 'ROUTES = [web.get("/", hello_world)]'
BUSY = f'''
async def busy(_: web.Request) -> web.StreamResponse:
    """Keep a processor busy for a while."""
    import threading, time

    def work() -> None:
        end = time.monotonic() + {BUSY_SECONDS}
        while time.monotonic() < end:
            pass

    threading.Thread(target=work, daemon=True).start()
    return Response(text="busy")


ROUTES = [web.get("/", hello_world), web.get("/busy", busy)]
'''


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev, of one machine that pays for no surplus credits, is up."""
    project = Project(tmp_path_factory.mktemp("project"))
    for old, new in SETTINGS.items():
        project.replace("config/dev/config.yaml", old, new)
    project.replace("service/handlers.py", ROUTES, BUSY)
    with launched(project):
        yield project


def shown(project: Project) -> dict[str, Any]:
    """Return what the live page shows."""
    page: dict[str, Any] = signed.ask(project.folder, project.port, "/_spotfleet/page.json")["environments"][0]
    return page


class Containers:
    """The containers of a project's tasks."""

    def __init__(self, project: Project) -> None:
        self._engine = docker.from_env()
        self._names = project.containers()

    def limits(self) -> list[float]:
        """Return the vCPUs that each may use."""
        found = [self._engine.api.inspect_container(name)["HostConfig"] for name in self._names]
        return [settings["CpuQuota"] / settings["CpuPeriod"] for settings in found]

    def used(self) -> float:
        """Return the CPU seconds that they have used."""
        stats = [self._engine.api.stats(name, stream=False, one_shot=True) for name in self._names]
        return sum(float(one["cpu_stats"]["cpu_usage"]["total_usage"]) for one in stats) / 1e9


def test_busy_tasks_get_the_baseline_together_and_look_idle(project: Project) -> None:
    containers = Containers(project)
    addresses = [task["address"] for task in project.status()["tasks"]]
    assert len(addresses) == len(containers.limits()) == TASKS
    for address in addresses:
        assert get(f"http://{address}/busy")[0] == 200
    began = time.monotonic()
    while sum(containers.limits()) > 1.1 * BASELINE:
        assert time.monotonic() - began < EMPTY_SECONDS, (containers.limits(), shown(project)["cpu_credits"])
        time.sleep(1)
    (held,) = shown(project)["cpu_credits"].values()
    print(f"slowed down after {time.monotonic() - began:.0f} s: {held}")
    assert held["mode"] == "standard"

    before, since = containers.used(), time.monotonic()
    time.sleep(MEASURED_SECONDS)
    rate = (containers.used() - before) / (time.monotonic() - since)
    print(f"{rate:.3f} vCPUs of {containers.limits()}")
    # Other work on this computer may keep them from what they may use.
    assert rate < 1.15 * BASELINE
    assert sum(containers.limits()) == pytest.approx(BASELINE, rel=0.1)

    # What AWS's metrics say of it, rule B5: a machine at 10 %, and a service at 27 %, below what would scale it out.
    expected = {
        ("AWS/ECS", "CPUUtilization", "ServiceName"): 100 * BASELINE / RESERVED,
        ("AWS/EC2", "CPUUtilization", "AutoScalingGroupName"): 100 * BASELINE / VCPUS,
        ("AWS/EC2", "CPUCreditBalance", "InstanceId"): 1.0,
    }
    for metric, most in expected.items():
        while (values := newest(project, *metric)) > 1.15 * most:
            assert time.monotonic() - began < BUSY_SECONDS, (metric, values)
            time.sleep(1)
        print(f"{metric[1]} {values:.2f}, expected {most:.1f}")
        if metric[1] == "CPUUtilization":
            assert values > LEAST_SHARE * most


def newest(project: Project, namespace: str, name: str, dimension: str) -> float:
    """Return the newest value of a metric with a dimension; without end when there is none yet."""
    cloudwatch = project.client("cloudwatch")
    found = cloudwatch.list_metrics(Namespace=namespace, MetricName=name)["Metrics"]
    named = [one["Dimensions"] for one in found if dimension in {item["Name"] for item in one["Dimensions"]}]
    if not named:
        return math.inf
    (dimensions,) = named
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Average"}}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now,
    )["MetricDataResults"][0]
    values = dict(zip(answer["Timestamps"], answer["Values"], strict=True))
    return values[max(values)] if values else math.inf
