"""Machines and tasks come and go as an environment needs them, on real containers, ten times faster than on AWS."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.projects import Project, Requests, launched

WAIT_SECONDS = 240
# The 15 minutes for which a lifecycle hook holds a new machine that does not say that it has joined.
HELD_SECONDS = 90
# After the group has found out about a killed machine, requests fail until the load balancer has let go of its tasks.
LOST_SECONDS = 3
# What clients get for requests to a machine that is silent or gone.
LOST = {"502", "503", "504", "timed out"}
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
    {"id": m.id, "pool": f"{m.type}/{m.zone}", "spot": m.spot, "leaving": m.leaving,
     "arn": m.ecs and m.ecs["containerInstanceArn"]}
    for m in read_machines(region) if m.running
]
tasks = [{"state": t["lastStatus"], "on": t.get("containerInstanceArn")} for t in read_tasks(ecs, cluster)]
print(json.dumps({"machines": machines, "tasks": tasks}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up: two tasks on one on-demand machine."""
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


def test_a_task_without_room_waits_until_a_spot_machine_joins(project: Project) -> None:
    assert len(look(project)["machines"]) == 1
    look(project, "4")
    after = wait_until(project, runs(4))
    # How long they wait depends on when the fleet is looked at next; that they did is what made it grow.
    assert "2 machines for 2 waiting tasks" in (project.folder / ".local" / str(project.port) / "aws.log").read_text()
    assert sorted(machine["spot"] for machine in after["machines"]) == [False, True]


def test_a_machine_whose_replacement_is_recommended_in_time_costs_no_request(project: Project) -> None:
    spot = next(machine["id"] for machine in wait_until(project, runs(4))["machines"] if machine["spot"])
    with Requests(project.status()["url"]) as requests:
        interrupted = project.local("interrupt", "--machine", spot, "--lead", "600")
        assert interrupted.returncode == 0, interrupted.stdout
        assert "The notice comes in 60 s, and EC2 takes it in 72 s (AWS's times, 10 times" in interrupted.stdout
        # Its successor is in service first; it is drained and gone before there is a notice.
        wait_until(project, lambda _seen: spot not in members(project))
        wait_until(project, runs(4))
    assert set(requests.answers) == {"200"}
    told = project.client("autoscaling").describe_scaling_activities()["Activities"]
    (why,) = [item["Cause"] for item in told if item["Description"] == f"Terminating EC2 instance: {spot}"]
    assert "in response to an EC2 instance rebalance recommendation" in why


def test_a_killed_machine_is_missed_and_then_replaced_with_its_tasks(project: Project) -> None:
    before = {machine["id"] for machine in wait_until(project, runs(4))["machines"]}
    with Requests(project.status()["url"]) as requests:
        killed = project.local("kill")
        assert killed.returncode == 0, killed.stdout
        gone = killed.stdout.split()[0]
        assert gone in before
        # A minute of AWS's time in which requests to it wait in vain.
        wait_until(project, lambda _seen: gone not in members(project))
    print(requests.answers)
    assert requests.answers["200"]
    assert requests.answers.keys() - {"200"}
    assert requests.answers.keys() <= {"200", *LOST}
    time.sleep(LOST_SECONDS)
    with Requests(project.status()["url"]) as later:
        after = wait_until(project, runs(4))
    assert set(later.answers) == {"200"}
    assert gone not in {machine["id"] for machine in after["machines"]}
    assert [machine["spot"] for machine in after["machines"]].count(False) == 1


def members(project: Project) -> list[str]:
    """Return the machines that the group counts, those too that have ended and are not missed yet."""
    return [instance["InstanceId"] for instance in group_of(project)["Instances"]]


def group_of(project: Project) -> dict[str, Any]:
    """Return the one group as Auto Scaling describes it."""
    groups = project.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    (group,) = groups
    found: dict[str, Any] = group
    return found


def resize(project: Project, least: int, desired: int) -> None:
    """Give the group a minimum and a desired capacity."""
    name = group_of(project)["AutoScalingGroupName"]
    sizes = {"MinSize": least, "DesiredCapacity": desired}
    project.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, **sizes)


def capacity(project: Project, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the pools, after closing or opening some."""
    shown = project.local("capacity", *arguments, "--json")
    assert shown.returncode == 0, shown.stdout
    return {row["pool"]: row for row in json.loads(shown.stdout)["pools"]}


def test_a_pool_lost_at_once_is_replaced_from_the_next_one_with_capacity(project: Project) -> None:
    wait_until(project, runs(4))
    resize(project, least=1, desired=2)
    before = wait_until(project, lambda seen: len(seen["machines"]) == 2 and runs(4)(seen))["machines"]
    (zone,) = [machine["pool"].partition("/")[2] for machine in before if machine["spot"]]
    pools = capacity(project)
    here = sorted((pool for pool in pools if pool.endswith(zone)), key=lambda pool: -pools[pool]["score"])
    capacity(project, *(f"--close={pool}" for pool in pools if pool not in here), "--for", "7200")
    # Nothing is rotated: what comes now is of one pool. The minimum keeps it, however empty it is.
    resize(project, least=4, desired=4)
    wait_until(project, lambda seen: sum(bool(machine["arn"]) for machine in seen["machines"]) == 4)
    # EC2 takes the capacity of that pool, and there was none in the second.
    best, second, *_others = here
    lost = capacity(project, f"--close={best}", f"--close={second}", "--for", "7200")[best]["machines"]["spot"]
    assert len(lost) == 3
    with Requests(project.status()["url"]) as requests:
        taken = project.local("interrupt", "--pool", best, "--json")
        assert taken.returncode == 0, taken.stdout
        assert sorted(machine["id"] for machine in json.loads(taken.stdout)["machines"]) == sorted(lost)
        wait_until(project, lambda _seen: not set(lost) & set(members(project)))
        after = wait_until(project, runs(4))
    print(requests.answers)
    assert requests.answers["200"] > sum(requests.answers[answer] for answer in LOST)
    assert requests.answers.keys() <= {"200", *LOST}
    new = [machine["pool"] for machine in after["machines"] if machine["spot"] and machine["pool"] in here]
    assert new
    assert not {best, second} & set(new)
    # The Spot share never becomes on-demand.
    assert sum(not machine["spot"] for machine in after["machines"]) == 1
    assert group_of(project)["DesiredCapacity"] == 4
    capacity(project, "--open=*")
    resize(project, least=1, desired=2)


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
