"""spotfleet why: the first cause of what is wrong with an environment, and the way out."""

import json
import os
from collections.abc import Mapping, Sequence

import click
from botocore.exceptions import BotoCoreError, ClientError
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from spotfleet.cli.verb import FAILED, Verb, environment_argument, json_option
from spotfleet.local.api import embedded_aws
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say
from spotfleet.settings.shown import harmless
from spotfleet.stacks import account, gather
from spotfleet.stacks.causes import first_cause
from spotfleet.stacks.causes.first_cause import Explanation


@click.command(cls=Verb)
@environment_argument
@click.option("--aws", is_flag=True, help="Ask AWS, with this shell's credentials, instead of the embedded AWS.")
@json_option()
@click.pass_context
def why(context: click.Context, environment: str, aws: bool, as_json: bool) -> int:
    """Name the first cause of a failed launch, or of what is wrong now, and the way out.

    It reads the events of stacks and services, why tasks have stopped, what Auto Scaling could not launch, and the end
    of the containers' logs. It changes nothing. ECS forgets stopped tasks after an hour. The exit code is 0 when
    nothing is wrong, and 1 when something is.
    """
    if aws:
        _return_to_shell(context.obj)
    elif embedded_aws.find() is None:
        raise Failure(
            f"The embedded AWS does not run at {paths.endpoint()}. Start it and launch with: spotfleet up {environment}"
            f"; for AWS itself: spotfleet why {environment} --aws"
        )
    explanation = _explain(environment)
    say(json.dumps(explanation.as_json(), indent=2) if as_json else as_text(explanation))
    return FAILED if explanation.failed or explanation.cause else 0


def _return_to_shell(environ: Mapping[str, str]) -> None:
    """Take the variables back that the command was started with, which lead to AWS.

    Raises Failure in a shell that is kept to the embedded AWS.
    """
    if environ.get(account.EMBEDDED_ONLY):
        raise Failure(f"{account.EMBEDDED_ONLY} keeps this shell to the embedded AWS: for AWS take a new shell.")
    os.environ.clear()
    os.environ.update(environ)


def _explain(environment: str) -> Explanation:
    try:
        return first_cause.explain(gather.gather(_stacks(environment)))
    except (BotoCoreError, ClientError) as error:
        words = " ".join(str(error).split())
        if found := first_cause.refused_at_all(words, environment):
            raise Failure(f"{_capital(found.sentence)} ({words}). To go on, {found.way_out}.") from error
        raise Failure(f"AWS does not say what {environment} is: {words}") from error
    except SceptreException as error:
        raise Failure(f"config/{environment} cannot be read: {error}") from error


def _stacks(environment: str) -> Sequence[Stack]:
    """Return an environment's stacks as Sceptre has them, with region and profile, in the order of a launch."""
    plan = SceptrePlan(SceptreContext(command_path=environment, project_path=str(paths.ROOT)))
    plan.resolve(command="launch")
    return [stack for together in plan.launch_order for stack in sorted(together, key=lambda one: str(one.name))]


def as_text(explanation: Explanation) -> str:
    """Return the explanation for a person: the cause in one sentence first."""
    unread = [f"Not read, as AWS refuses it: {', '.join(explanation.unread)}."] if explanation.unread else []
    cause = explanation.cause
    if cause is None:
        return harmless_lines([f"{explanation.environment}: nothing failed; {explanation.healthy}.", *unread])
    failed = "" if explanation.failed else "nothing failed; but "
    lines = [f"{explanation.environment}: {failed}{cause.sentence}.", f"To go on, {cause.way_out}."]
    if explanation.way:
        lines += ["", "How it came about", *(f"  {step}" for step in explanation.way)]
    elif cause.said:
        lines += ["", f"AWS says: {cause.said}"]
    if cause.log:
        lines += ["", "The end of its log", *(f"  {line}" for line in cause.log)]
    return harmless_lines([*lines, *([""] if unread else []), *unread])


def harmless_lines(lines: Sequence[str]) -> str:
    """Return lines in which nothing does anything to a terminal: AWS tells what others have written."""
    return "\n".join(harmless(line) for line in lines)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
