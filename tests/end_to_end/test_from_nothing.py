"""Environments launched, interrupted, lost and deleted, each by a test of its own, with real containers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.support.projects import (
    LAYERS,
    Project,
    get,
    stacks_in_good_state,
    wait_until_two_tasks_serve,
)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let commands hear SIGINT: a shell makes what it starts in the background, such as these tests, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def interrupted_at(project: Project, words: str) -> str:
    """Interrupt a launch when it says so, and return what it said from then on."""
    with subprocess.Popen(
        [sys.executable, "-m", "spotfleet", "up"],
        cwd=project.folder,
        env=project.variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as launch:
        assert launch.stdout
        for line in launch.stdout:
            if words in line:
                break
        launch.send_signal(signal.SIGINT)
        rest: str = launch.communicate(timeout=240)[0]
    assert launch.returncode == 130
    return rest


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_launch_converges_when_run_again(fresh: Project) -> None:
    rest = interrupted_at(fresh, "Building image")
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
    interrupted_at(fresh, "UPDATE_IN_PROGRESS")
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
