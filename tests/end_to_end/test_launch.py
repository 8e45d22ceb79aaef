"""What a user does, on the real thing: environments launched, changed, broken and deleted, with real containers."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from spotfleet.local.host.console import output
from tests.support.ports import free_port
from tests.support.projects import ROOT, Project, get, launched, leftovers, local_variables

# Something is printed every 4 s or so; a busy machine takes longer.
LONGEST_SILENCE = 40

# A lost task is noticed, replaced, and found healthy.
HEAL_SECONDS = 180

LAYERS = {"vpc", "load-balancer", "cluster", "machines", "service"}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let commands hear SIGINT: a shell makes what it starts in the background, such as these tests, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up."""
    with launched(Project(tmp_path_factory.mktemp("project"))) as project:
        yield project


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing has been launched."""
    project = Project(tmp_path)
    yield project
    for environment in ("dev", "prod"):
        project.local("down", environment)
    assert project.leftovers() == []


def stacks_in_good_state(project: Project, environment: str = "dev") -> set[str]:
    stacks = project.status(environment)["stacks"]
    good = {name for name, state in stacks.items() if state in ("CREATE_COMPLETE", "UPDATE_COMPLETE")}
    return {name.removeprefix(f"spotfleet-{environment}-") for name in good}


def test_the_service_answers_through_its_load_balancer(project: Project) -> None:
    status = project.status()
    assert stacks_in_good_state(project) == LAYERS
    code, headers, body = get(status["url"])
    assert (code, body) == (200, "<h1>HELLO WORLD</h1>")
    assert headers["content-type"].startswith("text/html")
    code, headers, body = get(status["url"] + "healthcheck")
    assert (code, body) == (200, '"Healthy"')
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert (headers["pragma"], headers["expires"]) == ("no-cache", "0")


def test_the_containers_are_real_and_run_as_the_task_definition_says(project: Project) -> None:
    tasks = project.status()["tasks"]
    assert len(tasks) == 2
    assert {task["health"] for task in tasks} == {"healthy"}
    ids = project.containers()
    assert len(ids) == 2
    form = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Init}} {{.Config.User}} {{.HostConfig.Memory}} "
    form += '{{(index (index .NetworkSettings.Ports "5000/tcp") 0).HostIp}}'
    for container in ids:
        settings = project.run("docker", "inspect", "--format", form, container).stdout.split()
        assert settings == ["true", "true", "65532:65532", str(256 * 1024 * 1024), "127.0.0.1"]


def test_machines_are_one_on_demand_and_the_rest_spot(project: Project) -> None:
    kinds = sorted(machine["kind"] for machine in project.status()["machines"])
    assert kinds[:1] == ["on-demand"]
    assert set(kinds[1:]) <= {"spot"}


def test_a_second_launch_changes_nothing(project: Project) -> None:
    before = project.status()
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    assert "is in the repository already" in launched.stdout
    assert "Building image" not in launched.stdout
    assert project.status() == before
    assert "No difference to deployed stack spotfleet-dev-service" in project.sceptre("diff", "dev/service.yaml").stdout


def test_tasks_start_from_the_image_by_its_digest(project: Project) -> None:
    image = project.status()["image"]
    assert re.fullmatch(rf"127\.0\.0\.1:{project.port}/[\w-]+@sha256:[0-9a-f]{{64}}", image)
    shown = ["docker", "images", "--digests", "--filter", f"reference=127.0.0.1:{project.port}/*", "--format"]
    tags = project.run(*shown, "{{.Repository}}:{{.Tag}}").stdout.split()
    assert project.run("docker", "rmi", "--force", *tags).returncode == 0
    lost = project.containers()
    assert project.run("docker", "kill", lost[0]).returncode == 0
    wait_until_two_tasks_serve(project)
    # Pulled by nothing but its digest now; taking the project down removes it all the same.
    assert project.run(*shown, "{{.Tag}}@{{.Digest}}").stdout.split() == [f"<none>@{image.partition('@')[2]}"]


@pytest.mark.parametrize("command", ["diff dev", "validate dev", "generate dev/vpc.yaml", "list outputs dev"])
def test_plain_sceptre_commands_work(project: Project, command: str) -> None:
    done = project.sceptre(*command.split())
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    if command.startswith("diff"):
        assert done.stdout.count("No difference to deployed stack") == len(LAYERS), done.stdout


SCEPTRE_SETTINGS = """
profile: my-company-sso
sceptre_role: arn:aws:iam::123456789012:role/deployer
template_bucket_name: my-templates
notifications: [arn:aws:sns:eu-west-1:123456789012:events]
cloudformation_service_role: arn:aws:iam::123456789012:role/cloudformation
"""


def test_settings_of_sceptre_that_name_things_of_an_account_work_here_as_well(project: Project) -> None:
    file = project.folder / "config/config.yaml"
    before = file.read_text()
    file.write_text(before + SCEPTRE_SETTINGS)
    launched = project.sceptre("launch", "-y", "dev")
    assert launched.returncode == 0, launched.stdout
    different = project.sceptre("diff", "dev")
    assert different.stdout.count("No difference to deployed stack") == len(LAYERS), different.stdout
    file.write_text(before)
    assert stacks_in_good_state(project) == LAYERS


def test_after_an_image_that_is_not_there_the_next_launch_mends_all(project: Project) -> None:
    file = project.folder / "config/wiring/service.yaml.j2"
    before = file.read_text()
    image = before[before.index("  Image: !image_uri") : before.index("  CpuArchitecture:")]
    file.write_text(before.replace(image, f"  Image: 127.0.0.1:{project.port}/mistyped:1\n"))
    failed = project.local("up")
    assert failed.returncode == 1
    assert f"failed to resolve ref 127.0.0.1:{project.port}/mistyped:1: not found" in failed.stdout
    file.write_text(before)
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    (cluster,) = project.client("ecs").list_clusters()["clusterArns"]
    (service,) = project.client("ecs").list_services(cluster=cluster)["serviceArns"]
    described = project.client("ecs").describe_services(cluster=cluster, services=[service])["services"][0]
    assert [item["rolloutState"] for item in described["deployments"]] == ["COMPLETED"]


def test_the_text_status_fits_one_screen_and_names_everything(project: Project) -> None:
    status = project.status()
    text = project.local("status").stdout
    for word in [*status["stacks"], status["image"], status["url"], *(machine["id"] for machine in status["machines"])]:
        assert word in text
    assert len(text.splitlines()) <= 40


def test_an_edit_of_the_service_is_served_and_a_broken_build_leaves_it_alone(project: Project) -> None:
    before = project.status()
    project.replace("service/handlers.py", "HELLO WORLD", "HELLO AGAIN")
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    after = project.status()
    assert after["image"] != before["image"]
    assert get(after["url"])[2] == "<h1>HELLO AGAIN</h1>"

    # Writing to /dev/full fails as on a disk without room.
    preparing = "RUN python3 /build/prepare_service.py"
    project.replace("Dockerfile", preparing, f"RUN head -c 1 /dev/zero > /dev/full\n{preparing}")
    broken = project.local("up")
    assert broken.returncode == 1
    assert re.search(r"Building 127\.0\.0\.1:\S+ failed; the stack was not touched", broken.stdout)
    assert "No space left on device" in broken.stdout
    assert "Traceback" not in broken.stdout
    # Never the same twice: a builder that has done it before would not sleep.
    sleep = f"RUN sleep 5 && : {uuid4()}\n"
    project.replace("Dockerfile", "RUN head -c 1 /dev/zero > /dev/full\n", sleep)
    cut_short = launch_and_edit_during_the_build(project, "service/handlers.py", "HELLO AGAIN", "HELLO NEVER")
    assert "changed while the image was built from them; nothing was pushed" in cut_short
    assert "Traceback" not in cut_short
    assert "Pushing" not in cut_short
    project.replace("Dockerfile", sleep, "")
    project.replace("service/handlers.py", "HELLO NEVER", "HELLO AGAIN")
    assert project.status() == after
    assert get(after["url"])[2] == "<h1>HELLO AGAIN</h1>"


def launch_and_edit_during_the_build(project: Project, file: str, old: str, new: str) -> str:
    """Launch, edit a file when the builder has got it and sleeps, and return what the launch that then failed said."""
    command = [sys.executable, "-m", "spotfleet", "up"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as launch:
        assert launch.stdout
        said = ""
        for line in launch.stdout:
            said += line
            if "RUN sleep" in line:
                project.replace(file, old, new)
                break
        said += launch.communicate(timeout=240)[0]
    assert launch.returncode == 1, said
    return said


def test_production_goes_only_when_named(fresh: Project) -> None:
    launched = fresh.local("up", "prod")
    assert launched.returncode == 0, launched.stdout
    assert stacks_in_good_state(fresh, "prod") == LAYERS
    assert len({machine["zone"] for machine in fresh.status("prod")["machines"]}) >= 2

    refused = fresh.sceptre("delete", "-y", "prod")
    assert refused.returncode != 0
    assert "prod is protected" in refused.stdout
    assert "CONFIRM_DELETE=prod sceptre delete prod" in refused.stdout
    cloudformation = fresh.client("cloudformation")
    for layer in LAYERS:
        with pytest.raises(ClientError, match="TerminationProtection is enabled"):
            cloudformation.delete_stack(StackName=f"spotfleet-prod-{layer}")
    assert stacks_in_good_state(fresh, "prod") == LAYERS

    deleted = fresh.sceptre("delete", "-y", "prod", CONFIRM_DELETE="prod")
    assert deleted.returncode == 0, deleted.stdout
    assert fresh.status("prod")["stacks"] == {}


def test_two_environments_live_side_by_side(fresh: Project) -> None:
    (fresh.folder / "config/dev").rename(fresh.folder / "config/one")
    fresh.run("cp", "-r", "config/one", "config/dev")
    for environment in ("one", "dev"):
        launched = fresh.local("up", environment)
        assert launched.returncode == 0, launched.stdout
    assert get(fresh.status("one")["url"])[0] == 200
    deleted = fresh.local("down", "one")
    assert deleted.returncode == 0
    assert "keeps running" in deleted.stdout
    assert get(fresh.status("dev")["url"])[0] == 200


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_launch_converges_when_run_again(fresh: Project) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "spotfleet", "up"],
        cwd=fresh.folder,
        env=fresh.variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as launch:
        assert launch.stdout
        for line in launch.stdout:
            if "Building image" in line:
                break
        launch.send_signal(signal.SIGINT)
        rest = launch.communicate(timeout=240)[0]
    assert launch.returncode == 130
    assert "Traceback" not in rest
    assert "Interrupted" in rest
    launched = fresh.local("up")
    assert launched.returncode == 0, launched.stdout
    assert stacks_in_good_state(fresh) == LAYERS


@pytest.mark.usefixtures("interruptible")
def test_a_launch_interrupted_inside_a_stack_converges(fresh: Project) -> None:
    """Sceptre is killed while CloudFormation works on the service; CloudFormation goes on without it."""
    assert fresh.local("up").returncode == 0
    fresh.replace("service/handlers.py", "HELLO WORLD", "HELLO AGAIN")
    with subprocess.Popen(
        [sys.executable, "-m", "spotfleet", "up"],
        cwd=fresh.folder,
        env=fresh.variables,
        text=True,
        stdout=subprocess.PIPE,
    ) as launch:
        assert launch.stdout
        for line in launch.stdout:
            if "UPDATE_IN_PROGRESS" in line:
                break
        launch.send_signal(signal.SIGINT)
        launch.communicate(timeout=240)
    assert launch.returncode == 130
    launched = fresh.sceptre("launch", "-y", "dev")
    assert launched.returncode == 0, launched.stdout
    assert stacks_in_good_state(fresh) == LAYERS
    assert get(fresh.status()["url"])[2] == "<h1>HELLO AGAIN</h1>"


def test_lost_containers_are_replaced_and_a_killed_embedded_aws_leaves_nothing(fresh: Project) -> None:
    assert fresh.local("up").returncode == 0
    for command in ("kill", "rm --force"):
        lost = fresh.containers()
        assert len(lost) == 2
        assert fresh.run("docker", *command.split(), *lost).returncode == 0
        assert not set(lost) & set(fresh.containers())
        wait_until_two_tasks_serve(fresh)
        assert get(fresh.status()["url"])[0] == 200

    os.kill(fresh.pid(), signal.SIGKILL)
    assert "does not run" in fresh.local("status").stdout
    launched = fresh.local("up")
    assert launched.returncode == 0, launched.stdout
    assert "The embedded AWS was killed, and the stacks that it had are lost: it starts empty." in launched.stdout
    assert re.search(r"Removed [2-9] left-over containers", launched.stdout)
    assert len(fresh.containers()) == 2
    assert get(fresh.status()["url"])[0] == 200


def wait_until_two_tasks_serve(project: Project) -> None:
    deadline = time.monotonic() + HEAL_SECONDS
    while not (len(project.containers()) == 2 and project.status()["complete"]):
        assert time.monotonic() < deadline, project.status()
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("vpc_cidr: 10.0.0.0/16", "", ["dev/", "vpc_cidr is missing: add it to config.yaml in the same folder"]),
        ("vpc_cidr: 10.0.0.0/16", "vpc_cidr: 10.0.0.0/29", ["config/dev/config.yaml", "vpc_cidr", "10.0.0.0/29"]),
        ("min_tasks: 2", "min_task: 2\nmin_tasks: 2", ["config/dev/config.yaml", "min_task", "min_tasks"]),
        ("listener_priority: 100", "listener_priority: 0", ["config/dev/config.yaml", "listener_priority", "0"]),
    ],
)
def test_a_wrong_setting_is_named_before_anything_changes(fresh: Project, old: str, new: str, words: list[str]) -> None:
    fresh.replace("config/dev/config.yaml", old, new)
    launched = fresh.local("up")
    assert launched.returncode == 1
    assert "Traceback" not in launched.stdout
    for word in words:
        assert word in launched.stdout
    assert fresh.status()["stacks"] == {}


def test_an_environment_that_does_not_exist_is_named(fresh: Project) -> None:
    launched = fresh.local("up", "staging")
    assert launched.returncode == 1
    assert launched.stdout == "There is no environment 'staging' in config/. Environments: dev, prod.\n"
    plain = fresh.sceptre("launch", "-y", "staging")
    assert plain.returncode != 0
    assert "Traceback" not in plain.stdout


def test_a_port_in_use_is_named(fresh: Project) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        launched = fresh.local("up")
    assert launched.returncode == 1
    line = launched.stdout.splitlines()[-1]
    assert f"Port {fresh.port}" in line
    assert "LOCAL_AWS_PORT" in line


def test_a_port_of_the_load_balancer_in_use_is_named(fresh: Project) -> None:
    port = int(fresh.variables["LOCAL_HTTP_PORT"])
    with socket.create_server(("127.0.0.1", port)):
        launched = fresh.local("up")
    assert launched.returncode == 1
    line = launched.stdout.splitlines()[-1]
    assert line.startswith(f"Port {port}, where the load balancer would answer, is not free")
    assert "LOCAL_HTTP_PORT" in line


def test_no_docker_engine_is_named(fresh: Project) -> None:
    nowhere = "unix:///nonexistent/docker.sock"
    launched = fresh.local("up", DOCKER_HOST=nowhere)
    assert launched.returncode == 1
    assert launched.stdout.splitlines()[-1].startswith(f"No Docker engine answers at DOCKER_HOST={nowhere}")


def test_no_docker_engine_stops_a_plain_launch_before_the_service(project: Project) -> None:
    before = project.status()
    project.replace("service/requirements.txt", "# This file", "# Changed. This file")
    launched = project.sceptre("launch", "-y", "dev", DOCKER_HOST="unix:///nonexistent/docker.sock")
    project.replace("service/requirements.txt", "# Changed. This file", "# This file")
    assert launched.returncode != 0
    assert "No Docker engine answers: start Docker, then launch again." in launched.stdout
    assert "Traceback" not in launched.stdout
    assert project.status() == before


def test_status_says_when_nothing_runs(fresh: Project) -> None:
    shown = fresh.local("status")
    assert shown.returncode == 1
    assert "does not run" in shown.stdout
    assert fresh.local("down").returncode == 0


def test_a_newcomer_follows_the_readme(tmp_path: Path) -> None:
    """Every command of the README's first section, at AWS's real times, in a bare clone with all set-up to do."""
    clone, temporary = tmp_path / "spotfleet", tmp_path / "tmp"
    temporary.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    section = (clone / "README.md").read_text().split("\n## ")[1]
    commands = re.findall(r"^\$ (.+)$", section, re.MULTILINE)
    assert "make up" in commands
    assert commands[-1] == "make down"
    variables = os.environ | local_variables(free_port()) | {"LOCAL_SPEED": "1", "TMPDIR": str(temporary)}
    networks = output(["docker", "network", "ls", "-q"])
    printed: dict[str, str] = {}
    took: dict[str, float] = {}
    # Not of the README: what `make up` does once on a fresh machine, and a launch without a change.
    for command in ["make .venv/installed", *commands[:-1], "make up", commands[-1]]:
        started = time.monotonic()
        code, words, silence = run_and_listen(command, clone, variables)
        assert code == 0, f"{command}\n{words}"
        assert silence < LONGEST_SILENCE, f"{command} printed nothing for {silence:.0f} s"
        printed.setdefault(command, words)
        took[command + " again" * (command in took)] = time.monotonic() - started
    print({command: f"{seconds:.1f} s" for command, seconds in took.items()})
    assert "<h1>HELLO WORLD</h1>" in printed["make up"]
    # How long each takes depends on what else the machine does; that a launch without a change does next to nothing
    # does not.
    assert took["make up again"] < took["make up"] / 3, took
    assert leftovers(clone, variables) == []
    assert output(["docker", "network", "ls", "-q"]) == networks
    assert list(temporary.iterdir()) == []
    assert output(["git", "-C", str(clone), "status", "--short"]) == ""


def run_and_listen(command: str, folder: Path, variables: dict[str, str]) -> tuple[int, str, float]:
    """Run a shell command and return its exit code, what it printed, and its longest silence in seconds."""
    lines, silence, spoke = [], 0.0, time.monotonic()
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            silence = max(silence, time.monotonic() - spoke)
            spoke = time.monotonic()
    return process.returncode, "".join(lines), silence
