"""Settings of a running environment are changed: what would tear it apart is refused, and the rest costs no request."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spotfleet.behaviour import restarts
from tests.support.changed import copy_service
from tests.support.projects import Project, Requests, launched

FILE = "config/dev/config.yaml"
HTTPS = {"domain_name": "app.example.test", "hosted_zone_id": "Z0123456789ABC"}
# A lost container is noticed, started again or replaced, and found healthy.
HEAL_SECONDS = 60
SMALL = {"min_tasks": 1, "max_tasks": 1}


def services(of_the_first: int, of_the_second: int) -> dict[str, Any]:
    """Return the settings that give the rules of two services these priorities."""
    api = {"path_pattern": "/api/*", "listener_priority": of_the_second, **SMALL}
    return {"listener_priority": of_the_first, "services": {"api": api}}


AT_FIRST: dict[str, Any] = {
    **{"availability_zones": 3, "egress": "nat_gateway_per_zone", "ipv6": True, "max_machines": 6, **SMALL},
    **services(100, 90),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up, in three zones and with two services."""
    project = Project(tmp_path_factory.mktemp("project"))
    copy_service(project.folder / "config/dev", "api")
    change(project, AT_FIRST)
    with launched(project):
        yield project


def change(project: Project, settings: dict[str, Any]) -> None:
    """Change settings of the environment."""
    path = project.folder / FILE
    lines = [line for line in path.read_text().splitlines() if line.partition(":")[0] not in settings]
    # JSON is YAML on one line.
    lines += [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
    path.write_text("\n".join(lines) + "\n")


def updates(project: Project) -> dict[str, object]:
    """Return when each stack was changed last."""
    stacks = project.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack.get("LastUpdatedTime", stack["CreationTime"]) for stack in stacks}


def refused(project: Project, settings: dict[str, Any]) -> str:
    """Launch with other settings, which must change nothing, and return why."""
    path = project.folder / FILE
    before, text = updates(project), path.read_text()
    change(project, settings)
    done = project.sceptre("launch", "-y", "dev")
    path.write_text(text)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert updates(project) == before
    return done.stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vpc_cidr": "10.9.0.0/16"}, "vpc_cidr 10.0.0.0/16 -> 10.9.0.0/16"),
        ({"subnet_host_bits": 11}, "subnet_host_bits 12 -> 11"),
        ({"availability_zones": 2}, "first launch with availability_zones 3 and used_zones 2"),
        ({"ipv6": False}, "ipv6 true -> false"),
        ({"load_balancer_scheme": "internal"}, "load_balancer_scheme internet-facing -> internal"),
        ({"cpu_architecture": "arm64", "instance_types": ["t4g.micro"]}, "cpu_architecture x86_64 -> arm64"),
        (services(90, 100), "first launch with 1 for service, which is free, then with 90"),
        ({**HTTPS, "leave_https": True}, "there is no HTTPS to leave"),
        ({"machine_image": "ami-0feedfacefeedface"}, "machine image ami-0feedfacefeedface is no longer in eu-west-1"),
    ],
)
def test_what_tears_it_apart_is_refused_before_anything_changes(
    project: Project, settings: dict[str, Any], words: str
) -> None:
    said = refused(project, settings)
    assert re.search(r"dev was not touched[.:]", said)
    assert words in said


def test_an_edited_template_that_replaces_what_is_in_use_is_refused(project: Project) -> None:
    file, words = "templates/load_balancer.yaml.j2", "GroupDescription: Requests from outside"
    project.replace(file, words, f"{words} or inside")
    said = refused(project, {})
    project.replace(file, f"{words} or inside", words)
    assert "dev was not touched. load-balancer: SecurityGroup (AWS::EC2::SecurityGroup) would be replaced" in said
    assert "as its GroupDescription changes" in said


def test_the_image_that_runs_is_kept(project: Project, tmp_path: Path) -> None:
    push_newer_images(project, tmp_path, "service_b", "service_c")
    said = refused(project, {"kept_images": 2})
    assert "kept_images -> 2: the image that service runs is no. 3 from the newest" in said


def push_newer_images(project: Project, folder: Path, *tags: str) -> None:
    """Push images into the repository that no service runs; `folder` is for Docker's login."""
    ecr = project.client("ecr")
    uri = ecr.describe_repositories()["repositories"][0]["repositoryUri"]
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    docker = ["docker", "--config", str(folder)]
    commands = [[*docker, "login", "--username", user, "--password", password, uri.partition("/")[0]]]
    for tag in tags:
        container = project.containers()[0]
        commands += [["docker", "commit", "--change", f"LABEL pushed={tag}", container, f"{uri}:{tag}"]]
        commands += [[*docker, "push", "--quiet", f"{uri}:{tag}"]]
    for command in commands:
        done = project.run(*command)
        assert done.returncode == 0, done.stdout


def test_the_safe_ways_cost_no_request(project: Project) -> None:
    url = project.status()["url"]
    with Requests(url) as requests:
        launch(project, {"used_zones": 2, "egress": "nat_gateway", "idle_timeout_seconds": 50, **services(1, 90)})
        launch(project, {"availability_zones": 2, "used_zones": 0, "kept_images": 5, **services(1, 100)})
        launch(project, {**services(90, 100), "flow_logs": "rejected"})
    assert set(requests.answers) == {"200"}
    subnets = project.client("ec2").describe_subnets()["Subnets"]
    assert len([one for one in subnets if one["CidrBlock"].startswith("10.0.")]) == 4


def test_https_comes_and_goes_in_two_steps_and_http_always_answers(project: Project) -> None:
    url = project.status()["url"]
    with Requests(url) as requests:
        launch(project, HTTPS)
    # Answered, then led to HTTPS.
    assert set(requests.answers) == {"200", "301"}
    assert "first launch with HTTPS and leave_https true" in refused(project, dict.fromkeys(HTTPS, ""))
    with Requests(url) as requests:
        launch(project, {"leave_https": True})
        launch(project, {"leave_https": False, **dict.fromkeys(HTTPS, "")})
    assert set(requests.answers) <= {"200", "301"}
    assert requests.answers["200"] > 0
    assert project.status()["url"] == url


def test_a_container_that_has_run_for_a_while_starts_again_in_its_task(project: Project) -> None:
    launch(project, {"restart_in_place": True})
    before, containers = ports_by_task(project), set(project.containers())
    # AWS's five minutes, in which all of them have begun.
    time.sleep(restarts.DEFAULT_ATTEMPT_PERIOD / float(project.variables["LOCAL_SPEED"]))
    lost = project.containers()[0]
    assert project.run("docker", "kill", lost).returncode == 0
    deadline = time.monotonic() + HEAL_SECONDS
    while not (set(project.containers()) == containers and project.status()["complete"]):
        assert time.monotonic() < deadline, project.status()
        time.sleep(0.5)
    assert ports_by_task(project) == before


def ports_by_task(project: Project) -> dict[str, list[int]]:
    """Return the ports of each task that is to run."""
    ecs = project.client("ecs")
    (cluster,) = ecs.list_clusters()["clusterArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=ecs.list_tasks(cluster=cluster)["taskArns"])["tasks"]
    return {
        task["taskArn"]: [item["hostPort"] for one in task["containers"] for item in one["networkBindings"]]
        for task in tasks
    }


def launch(project: Project, settings: dict[str, Any]) -> None:
    """Launch with other settings."""
    change(project, settings)
    done = project.sceptre("launch", "-y", "dev")
    assert done.returncode == 0, done.stdout
