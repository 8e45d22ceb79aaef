"""Machines and tasks come and go as an environment needs them, on real containers, ten times faster than on AWS."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from bench import wrk
from spotfleet.local.host import packages
from tests.support.projects import Project, Requests, launched

WAIT_SECONDS = 240
# The 15 minutes for which a lifecycle hook holds a new machine that does not say that it has joined.
HELD_SECONDS = 90
# The load while machines go: so many requests over connections that are kept alive, for longer than all takes.
PER_SECOND = 300
CONNECTIONS = 32
LOAD_SECONDS = 40
# After a machine is killed, requests to its tasks fail until the load balancer has let go of them.
LOST_SECONDS = 3
# Prints every machine and task as ECS describes them; a process of its own, because the port is the project's.
LOOK = """
import json, sys
from spotfleet.local.api import clients
from spotfleet.local.api.ecs import read_clusters, read_tasks
from spotfleet.local.api.machines import read_machines
region = "eu-west-1"
ecs = clients.client("ecs", region)
cluster = read_clusters(ecs)[0]["clusterName"]
if len(sys.argv) > 1:
    service = ecs.list_services(cluster=cluster)["serviceArns"][0]
    # The least, because scaling would soon go back from a mere desired count.
    clients.client("application-autoscaling", region).register_scalable_target(
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=service[service.index("service/"):],
        MinCapacity=int(sys.argv[1]),
    )
machines = [
    {"id": m.id, "spot": m.spot, "leaving": m.leaving, "arn": m.ecs and m.ecs["containerInstanceArn"]}
    for m in read_machines(region) if m.running
]
tasks = [{"state": t["lastStatus"], "on": t.get("containerInstanceArn")} for t in read_tasks(ecs, cluster)]
print(json.dumps({"machines": machines, "tasks": tasks}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up: two tasks on one on-demand machine."""
    packages.ensure("wrk", "wrk (it makes the load)")
    with launched(Project(tmp_path_factory.mktemp("project"))) as project:
        yield project


def look(project: Project, *desired: str) -> dict[str, Any]:
    """Return the machines and tasks, after setting the least number of tasks where one is given."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *desired],
        cwd=project.folder,
        env=project.variables,
        capture_output=True,
        text=True,
        check=True,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def wait_until(project: Project, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the machines and tasks as soon as something holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds(seen := look(project)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)
    return seen


def runs(count: int) -> Callable[[dict[str, Any]], bool]:
    """Return what tells whether so many tasks run on machines that stay, and no other."""

    def holds(seen: dict[str, Any]) -> bool:
        staying = {machine["arn"] for machine in seen["machines"] if not machine["leaving"]}
        running = [task for task in seen["tasks"] if task["state"] == "RUNNING"]
        return len(running) == len(seen["tasks"]) == count and all(task["on"] in staying for task in running)

    return holds


@contextmanager
def load(project: Project) -> Iterator[None]:
    """Send requests all through the block and after it, none of which may fail."""
    url = project.status()["url"]
    with ThreadPoolExecutor(1) as pool:
        burst = pool.submit(wrk.run, url, CONNECTIONS, LOAD_SECONDS, per_second=PER_SECOND)
        yield
        assert not burst.done(), "the load was over before the rest"
        assert burst.result().requests_per_s > PER_SECOND / 2
        print(burst.result())


def test_a_task_without_room_waits_until_a_spot_machine_joins(project: Project) -> None:
    assert len(look(project)["machines"]) == 1
    look(project, "4")
    after = wait_until(project, runs(4))
    # How long they wait depends on when the fleet is looked at next; that they did is what made it grow.
    assert "2 machines for 2 waiting tasks" in (project.folder / ".local" / str(project.port) / "aws.log").read_text()
    assert sorted(machine["spot"] for machine in after["machines"]) == [False, True]


def test_an_interrupted_machine_costs_no_request(project: Project) -> None:
    spot = next(machine["id"] for machine in wait_until(project, runs(4))["machines"] if machine["spot"])
    with load(project):
        interrupted = project.local("interrupt", "--machine", spot)
        assert interrupted.returncode == 0, interrupted.stdout
        assert "EC2 takes it in 12 s (AWS's times, 10 times faster (LOCAL_SPEED=10; " in interrupted.stdout
        wait_until(project, lambda seen: spot not in {machine["id"] for machine in seen["machines"]})
        wait_until(project, runs(4))


def test_a_killed_machine_is_replaced_with_its_tasks(project: Project) -> None:
    before = {machine["id"] for machine in wait_until(project, runs(4))["machines"]}
    killed = project.local("kill")
    assert killed.returncode == 0, killed.stdout
    gone = killed.stdout.split()[0]
    assert gone in before
    time.sleep(LOST_SECONDS)
    with load(project):
        after = wait_until(project, runs(4))
    assert gone not in {machine["id"] for machine in after["machines"]}
    assert [machine["spot"] for machine in after["machines"]].count(False) == 1


def test_a_larger_volume_replaces_every_machine(project: Project) -> None:
    before = {machine["id"] for machine in wait_until(project, runs(4))["machines"]}
    project.replace("config/dev/config.yaml", "root_volume_gib: 30", "root_volume_gib: 40")
    began = time.monotonic()
    with Requests(project.status()["url"]) as requests:
        launched = project.sceptre("launch", "-y", "dev/machines.yaml")
    assert launched.returncode == 0, launched.stdout
    # New machines enter service when they have joined; a wait for the end of the hook would be longer for each one.
    assert time.monotonic() - began < HELD_SECONDS * len(before)
    assert set(requests.answers) == {"200"}
    after = {machine["id"] for machine in wait_until(project, runs(4))["machines"]}
    assert after.isdisjoint(before)


def test_only_spot_machines_are_interrupted(project: Project) -> None:
    base = next(machine["id"] for machine in look(project)["machines"] if not machine["spot"])
    refused = project.local("interrupt", "--machine", base)
    assert refused.returncode == 1
    assert f"{base} is on-demand: EC2 takes back Spot machines only" in refused.stdout


def test_rates_of_the_fleet(project: Project) -> None:
    forecast = json.loads(project.local("rates", "--json").stdout)
    assert sum(row["machines"] for row in forecast["types"]) >= 1
    assert 0 < forecast["expected"] < 1
