"""The line of each stack while Sceptre runs: from its output and from CloudFormation's answers to text."""

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from spotfleet.cli import live
from spotfleet.cli.progress import Board, Row
from spotfleet.local.host import paths
from tests.support.clouds import Cloud, running

TIME = "[2026-11-26 16:37:37] - "


@pytest.fixture
def board() -> Board:
    """Three stacks, of which the service waits for the others."""
    return Board([Row("dev/vpc"), Row("dev/cluster"), Row("dev/service", ("dev/vpc", "dev/cluster"))])


def read(board: Board, text: str, now: float = 0.0) -> list[str]:
    """Let the board read lines that Sceptre has printed at a time, and return the notices among them."""
    notices = (board.read(f"{TIME}{line}", now) for line in text.strip().splitlines())
    return [notice for notice in notices if notice is not None]


def line(board: Board, name: str, now: float = 0.0) -> tuple[str, ...]:
    """Return the line of a stack, without its name."""
    return next(line[1:] for line in board.lines(now) if line[0] == name)


def test_before_the_launch_each_says_what_it_waits_for(board: Board) -> None:
    assert board.lines(0) == [
        ("vpc", "waiting", "", "", "is next"),
        ("cluster", "waiting", "", "", "is next"),
        ("service", "waiting", "", "", "waits for vpc, cluster"),
    ]


def test_a_stack_is_followed_through_the_events_of_its_creation(board: Board) -> None:
    assert read(board, "dev/vpc - Launching Stack\ndev/vpc - Stack is in the PENDING state", 10) == []
    assert line(board, "vpc", 11) == ("preparing", "", "1 s", "")
    read(
        board,
        """
dev/vpc - Creating Stack
dev/vpc spotfleet-dev-vpc AWS::CloudFormation::Stack CREATE_IN_PROGRESS User Initiated
dev/vpc Vpc AWS::EC2::VPC CREATE_IN_PROGRESS
dev/vpc Vpc AWS::EC2::VPC CREATE_COMPLETE
dev/vpc NatInstance AWS::EC2::Instance CREATE_IN_PROGRESS Resource creation Initiated
""",
        12,
    )
    board.look("dev/vpc", "CREATE_IN_PROGRESS", {"Vpc": "CREATE_COMPLETE", "NatInstance": "CREATE_IN_PROGRESS"}, 25, 12)
    assert line(board, "vpc", 14) == ("creating", "1 of 25", "4 s", "NatInstance")
    read(board, "dev/vpc spotfleet-dev-vpc AWS::CloudFormation::Stack CREATE_COMPLETE ", 15)
    assert line(board, "vpc", 99) == ("created", "25 of 25", "5 s", "")
    assert line(board, "service", 99)[3] == "waits for cluster"
    assert board.active() == []


def test_an_event_that_sceptre_tells_late_takes_nothing_back(board: Board) -> None:
    read(board, "dev/vpc - Creating Stack")
    board.look("dev/vpc", "CREATE_IN_PROGRESS", {"Vpc": "CREATE_COMPLETE"}, 2, 1)
    read(board, "dev/vpc Vpc AWS::EC2::VPC CREATE_IN_PROGRESS", 2)
    assert line(board, "vpc", 2) == ("creating", "1 of 2", "2 s", "")


def test_many_resources_in_progress_are_counted(board: Board) -> None:
    read(board, "dev/vpc - Creating Stack")
    board.look("dev/vpc", "CREATE_IN_PROGRESS", dict.fromkeys("ABCDE", "CREATE_IN_PROGRESS"), 9, 1)
    assert line(board, "vpc")[3] == "A, B and 3 more"


def test_a_stack_without_a_change_is_unchanged_whatever_its_last_launch_was(board: Board) -> None:
    board.expect("dev/vpc", 25)
    read(board, "dev/vpc - Launching Stack", 1)
    board.look("dev/vpc", "UPDATE_ROLLBACK_COMPLETE", {"Vpc": "CREATE_COMPLETE"}, 0, 1)
    read(board, "dev/vpc - Stack is in the UPDATE_ROLLBACK_COMPLETE state\ndev/vpc - Updating Stack", 2)
    read(board, "dev/vpc - No updates to perform.", 3)
    assert line(board, "vpc", 9) == ("unchanged", "25 of 25", "2 s", "")


def test_the_build_of_the_image_is_in_the_line_of_its_service(board: Board) -> None:
    said = ["dev/service - Base image a is from no registry: its id b counts"]
    assert read(board, said[0]) == [said[0].replace(" - ", ": ")]
    seen = []
    for text in (
        "Building image service_25343 for linux/amd64 on base:1",
        "[internal] load .dockerignore",
        "Pushing 127.0.0.1:4730/web:service_25343",
        "Pushed 127.0.0.1:4730/web:service_25343",
    ):
        assert read(board, f"dev/service - {text}") == []
        seen.append(line(board, "service")[3])
    assert seen == ["building the image", "building the image", "pushing the image", ""]
    # It went well: nobody has to read how.
    assert not board.build_output


def test_the_end_of_a_build_that_failed_is_kept(board: Board) -> None:
    steps = "\n".join(f"dev/service - step {number}" for number in range(40))
    assert read(board, f"dev/service - Building image web for linux/amd64 on base\n{steps}") == []
    assert list(board.build_output) == [f"step {number}" for number in range(24, 40)]


def test_a_rollback_is_a_failure_and_its_reason_a_notice(board: Board) -> None:
    read(board, "dev/vpc x AWS::CloudFormation::Stack CREATE_IN_PROGRESS", 0)
    read(board, "dev/vpc Vpc AWS::EC2::VPC CREATE_FAILED no more of these", 1)
    read(board, "dev/vpc x AWS::CloudFormation::Stack ROLLBACK_IN_PROGRESS", 1)
    assert line(board, "vpc", 1)[0] == "rolling back"
    read(board, "dev/vpc x AWS::CloudFormation::Stack ROLLBACK_COMPLETE", 2)
    assert line(board, "vpc", 9)[:1] == ("failed",)
    reason = "dev/vpc - Failed: Vpc (AWS::EC2::VPC) CREATE_FAILED: no more of these"
    assert read(board, reason) == [reason.replace(" - ", ": ", 1)]
    raw = '"dev/vpc is ROLLBACK_COMPLETE: Vpc (AWS::EC2::VPC) CREATE_FAILED: no more of these. To go on, ..."'
    assert board.read(raw, 2) == raw


def test_a_deletion_counts_what_has_gone(board: Board) -> None:
    for listed in ("The following stacks, in the following order, will be deleted:", "dev/service", "dev/vpc", ""):
        assert board.read(listed, 0) is None
    board.expect("dev/vpc", 3)
    read(board, "dev/vpc - Deleting stack\ndev/vpc x AWS::CloudFormation::Stack DELETE_IN_PROGRESS", 1)
    resources = {"A": "DELETE_COMPLETE", "B": "DELETE_IN_PROGRESS", "C": "CREATE_COMPLETE"}
    board.look("dev/vpc", "DELETE_IN_PROGRESS", resources, 0, 2)
    assert line(board, "vpc", 2) == ("deleting", "1 of 3", "1 s", "B")
    read(board, "dev/vpc - delete complete", 4)
    assert line(board, "vpc", 9) == ("deleted", "3 of 3", "3 s", "")


def test_what_is_not_sceptres_own_is_a_notice(board: Board) -> None:
    for text in ("Traceback (most recent call last):", f"{TIME}prod/vpc - Creating Stack", "KeyError: 'x'"):
        assert board.read(text, 0) == text


def test_resources_of_a_template_are_counted() -> None:
    template = "Resources:\n  A: {Type: T, Properties: {X: !Ref B}}\n  B: {Type: T}\n  C: {Type: T, Condition: X}\n"
    assert live.count_resources(template) == 2
    assert live.count_resources({"Resources": {"A": {"Type": "T"}}}) == 1
    assert live.count_resources("") == 0


def test_stacks_are_in_the_order_of_sceptre() -> None:
    launched = [stack.name for stack in live.stacks_in_order("dev", "launch")]
    assert launched == ["dev/cluster", "dev/vpc", "dev/load-balancer", "dev/machines", "dev/service"]
    service = live.stacks_in_order("dev", "launch")[-1]
    assert (service.external_name, service.region) == ("spotfleet-dev-service", "eu-west-1")
    assert service.after == ("dev/cluster", "dev/vpc", "dev/load-balancer", "dev/machines")
    deleted = live.stacks_in_order("dev", "delete")
    assert (deleted[0].name, deleted[0].after) == ("dev/service", ())
    assert set(deleted[-1].after) >= {"dev/service", "dev/machines"}


# --- On a terminal

LAUNCH = """
import sys
from pathlib import Path
from spotfleet.cli import launch, live
from spotfleet.local.host import paths, variables

variables.enter()
assert live.is_possible()
launch._run_sceptre("launch", "dev/cluster.yaml", "launching a cluster", variables.for_sceptre())
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(tmp_path_factory.mktemp("aws") / "aws.log") as started:
        yield started


def test_a_launch_on_a_terminal_has_one_line_and_its_whole_output_in_a_file(cloud: Cloud) -> None:
    mine, its = pty.openpty()
    variables = {**os.environ, "LOCAL_AWS_PORT": str(cloud.port), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen([sys.executable, "-c", LAUNCH], cwd=paths.ROOT, env=variables, stdout=its, stderr=its) as run:
        os.close(its)
        shown = _all_of(mine)
    assert run.returncode == 0, shown
    first, *frames = re.split(r"(?:\r|\x1b\[2K|\x1b\[1A)+", re.sub(r"\x1b\[[\d;?]*[a-zA-JL-Z]", "", shown))
    log = paths.STATE / str(cloud.port) / "launch-dev-cluster.yaml.log"
    assert f"all that Sceptre says: {log}" in first
    assert any(re.search(r"cluster +waiting", frame) for frame in frames)
    assert re.search(r"cluster +created +(\d+) of \1 +\d+ s", shown.replace("\x1b[32m", "").replace("\x1b[0m", ""))
    assert "CREATE_COMPLETE" not in shown
    assert "Cluster AWS::ECS::Cluster CREATE_COMPLETE" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def _all_of(terminal: int) -> str:
    """Return all that is written to a terminal until its other side is closed."""
    content, deadline = b"", time.monotonic() + 120
    with open(terminal, "rb", buffering=0) as stream:
        while time.monotonic() < deadline:
            try:
                part = stream.read(65536)
            except OSError:
                break
            if not part:
                break
            content += part
    return content.decode(errors="replace")
