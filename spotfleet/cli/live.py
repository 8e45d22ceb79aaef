"""Runs Sceptre with one live line per stack on a terminal, and its whole output in a file."""

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan

from spotfleet.behaviour import template_text
from spotfleet.behaviour.record import Record
from spotfleet.cli.progress import STACK_TYPE, Board, Row
from spotfleet.local.api import clients
from spotfleet.local.host import console, paths

# So often, in seconds, CloudFormation is asked how far it is.
LOOK_SECONDS = 1.0
REFRESHES_PER_SECOND = 4
# With this reason CloudFormation begins with a stack.
BEGINNING = "User Initiated"
COLOURS = {"created": "green", "updated": "green", "deleted": "green", "unchanged": "green", "failed": "bold red"}
QUIET_COLOUR = "dim"


@dataclass(frozen=True)
class Stack:
    """A stack as Sceptre has read it: its name there, its name and region on AWS, and those that it waits for."""

    name: str
    external_name: str
    region: str
    after: tuple[str, ...]


def is_possible() -> bool:
    """Return whether somebody looks on at a terminal that can be drawn on."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


def log_file(verb: str, environment: str) -> Path:
    """Return the file that has all that Sceptre prints, for its owner only."""
    return paths.state_folder() / f"{verb}-{environment.replace('/', '-')}.log"


def stacks_in_order(environment: str, verb: str) -> list[Stack]:
    """Return the stacks of an environment in the order in which Sceptre launches or deletes them."""
    plan = SceptrePlan(SceptreContext(command_path=environment, project_path=str(paths.ROOT)))
    plan.resolve(command=verb, reverse=verb == "delete")
    found: list[Stack] = []
    # Sceptre goes on with the next ones when all of these have ended.
    for together in plan.launch_order:
        before = tuple(stack.name for stack in found)
        found += [
            Stack(stack.name, stack.external_name, stack.region, before)
            for stack in sorted(together, key=lambda one: str(one.name))
        ]
    return found


def run(command: list[str], activity: str, variables: dict[str, str], stacks: list[Stack], log: Path) -> int:
    """Run Sceptre, and return its exit code."""
    board = Board([Row(stack.name, stack.after) for stack in stacks])
    screen, ended = Console(), threading.Event()
    log.unlink(missing_ok=True)
    _expect(board, stacks)
    watching = threading.Thread(target=_watch, args=(board, stacks, ended), daemon=True)
    with (
        paths.open_log(log) as file,
        Live(
            console=screen,
            get_renderable=lambda: table(board, time.monotonic()),
            refresh_per_second=REFRESHES_PER_SECOND,
        ),
    ):

        def tell(line: str) -> None:
            file.write(f"{line}\n".encode())
            file.flush()
            if notice := board.read(line, time.monotonic()):
                screen.print(Text(notice), soft_wrap=True)

        watching.start()
        try:
            code = console.run(command, activity, variables, tell=tell, still=lambda _words: None, folder=paths.ROOT)
        finally:
            ended.set()
    if code != 0 and board.build_output:
        screen.print(Text("\n".join(board.build_output)), soft_wrap=True)
    return code


def table(board: Board, now: float) -> Table:
    """Return one line per stack."""
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "right", "right"):
        grid.add_column(no_wrap=True, justify=justify)
    grid.add_column(no_wrap=True, overflow="ellipsis", style=QUIET_COLOUR)
    for name, state, count, seconds, detail in board.lines(now):
        grid.add_row(Text(name), Text(state, COLOURS.get(state, "")), Text(count), Text(seconds), Text(detail))
    return grid


def _expect(board: Board, stacks: list[Stack]) -> None:
    """Tell how many resources the stacks have that are there already."""
    for stack in stacks:
        cloudformation = clients.client("cloudformation", stack.region)
        with suppress(ClientError, BotoCoreError):
            described = cloudformation.describe_stack_resources(StackName=stack.external_name)["StackResources"]
            board.expect(stack.name, len(described))


def _watch(board: Board, stacks: list[Stack], ended: threading.Event) -> None:
    """Ask CloudFormation once a second for the stacks that Sceptre is at."""
    by_name = {stack.name: stack for stack in stacks}
    totals: dict[str, int] = {}
    while not ended.wait(LOOK_SECONDS):
        for name in board.active():
            # A stack that is not there yet, or not any more; Sceptre's own output tells then.
            with suppress(ClientError, BotoCoreError):
                _look(board, by_name[name], totals)


def _look(board: Board, stack: Stack, totals: dict[str, int]) -> None:
    cloudformation = clients.client("cloudformation", stack.region)
    status = cloudformation.describe_stacks(StackName=stack.external_name)["Stacks"][0]["StackStatus"]
    described = cloudformation.describe_stack_resources(StackName=stack.external_name)["StackResources"]
    if stack.name not in totals and status.endswith("IN_PROGRESS"):
        template = cloudformation.get_template(StackName=stack.external_name)["TemplateBody"]
        totals[stack.name] = count_resources(template)
    resources = {item["LogicalResourceId"]: item["ResourceStatus"] for item in described}
    resources |= _since_begin(cloudformation, stack)
    board.look(stack.name, status, resources, totals.get(stack.name, 0), time.monotonic())


def _since_begin(cloudformation: clients.Client, stack: Stack) -> dict[str, str]:
    """Return the status of each resource that the stack's launch or deletion has come to so far."""
    found: dict[str, str] = {}
    # The youngest one first.
    for event in clients.pages(cloudformation, "describe_stack_events", "StackEvents", StackName=stack.external_name):
        if event["ResourceType"] == STACK_TYPE and event.get("ResourceStatusReason") == BEGINNING:
            break
        if event["ResourceType"] != STACK_TYPE:
            found.setdefault(event["LogicalResourceId"], event["ResourceStatus"])
    return found


def count_resources(template: str | Record) -> int:
    """Return how many resources a template surely has; what stands under a condition counts once it is there."""
    resources = template_text.read(template).get("Resources", {})
    return sum("Condition" not in item for item in resources.values())
