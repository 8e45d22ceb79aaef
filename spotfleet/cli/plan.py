"""spotfleet plan: what a launch will do, what it costs, and what the environment survives afterwards."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click
from rich.console import Console

from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.api import embedded_aws
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say
from spotfleet.plan import deployed, screen, sources
from spotfleet.plan import plan as plans
from spotfleet.plan.configurations import Configuration, NoConfigurationError, nothing
from spotfleet.stacks.living_changes import Deployed

DEPLOYED, NOTHING = "deployed", "nothing"


@click.command(cls=Verb)
@environment_argument
@click.option(
    "--against",
    default=DEPLOYED,
    metavar="WHAT",
    show_default=True,
    help="What to compare with: deployed, nothing, a file config.yaml, a folder, or a commit of Git.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="What if this setting were another one; may be given again.",
)
@click.option("--bill", "whole_bill", is_flag=True, help="Show each line of the bills.")
@json_option()
@click.pass_context
def plan(
    context: click.Context,
    environment: str,
    against: str,
    assignments: tuple[str, ...],
    whole_bill: bool,
    as_json: bool,
) -> None:
    """Say what a launch will do before it does.

    Which stacks and resources it creates, updates, replaces or deletes and what people notice of it, which changes it
    refuses, what rolls and for how long, which losses the environment survives, whether a task's end goes together
    with all time limits, and what it costs. It compares the files here
    with what is deployed on the embedded AWS or on AWS; where neither is within reach, with nothing, which it says.
    Nothing is changed, and with a file, a commit or nothing AWS is not asked.

    \b
    spotfleet plan prod --against main
    spotfleet plan dev --against nothing --set max_machines=6 --bill
    """
    try:
        after = sources.now(paths.ROOT, environment, sources.given(assignments))
        living: Deployed | None = None
        said: list[str] = []
        if against == DEPLOYED:
            before, living, said = _deployed(after, context.obj)
        elif against == NOTHING:
            before = nothing(environment)
        else:
            before = sources.against(paths.ROOT, environment, against)
    except NoConfigurationError as error:
        raise Failure(f"{environment} cannot be planned: {error}.") from error
    made = plans.make(before, after, living, said)
    if as_json:
        say(json.dumps(plans.as_json(made), indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in screen.lines(made, whole_bill):
        console.print(line)


def _deployed(after: Configuration, variables: Mapping[str, str]) -> tuple[Configuration, Deployed | None, list[str]]:
    """Return what is deployed on the embedded AWS, else on the AWS that the user's variables lead to, else nothing.

    Says in one line what it was compared with instead.
    """
    identity = embedded_aws.find()
    try:
        if identity and environment_status.stack_names(after.environment, identity):
            return *deployed.read(paths.ROOT, after, "the embedded AWS"), []
        with _variables(variables):
            return *deployed.read(paths.ROOT, after, "AWS"), []
    except deployed.OutOfReachError as error:
        there = "runs without it" if identity else "does not run"
        said = f"The embedded AWS {there}, and AWS cannot be asked ({error}): compared with nothing, as a first launch."
        return nothing(after.environment), None, [said]


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Run the block with the variables of the user's shell, which lead to AWS."""
    own = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(own)
