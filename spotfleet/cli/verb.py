"""What all verbs of `spotfleet` have in common: their surroundings, how they end, the arguments that several take."""

import re
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

import click

from spotfleet.local.host import console, paths, variables
from spotfleet.local.host.console import Failure

# A function that click's decorators are put around.
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
FAILED = 1
INTERRUPTED = 130
# A message that names what to type, as in "Start it with: spotfleet up dev".
NAMES_A_COMMAND = re.compile(r"\bspotfleet [a-z]+\b")
ON_THE_PATH = "(`spotfleet` is not on your PATH: run `. .venv/bin/activate` first.)"

# Every verb that acts on an environment takes it as its first argument.
environment_argument = click.argument("environment", default="dev")
# Of the verbs whose argument is a service.
environment_option = click.option(
    "-e", "--environment", default="dev", show_default=True, metavar="NAME", help="A folder in config/."
)


def json_option(text: str = "Print one JSON object.") -> Callable[[Decorated], Decorated]:
    """Return the option --json, which makes a verb answer a program."""
    return click.option("--json", "as_json", is_flag=True, help=text)


class Verb(click.Command):
    """A command of `spotfleet`, whose function returns the exit code, or nothing for 0.

    The function runs with variables that lead to the embedded AWS only; `context.obj` has what they were.
    """

    def invoke(self, ctx: click.Context) -> None:
        """Run the verb and end with its exit code."""
        try:
            ctx.obj = variables.enter()
            if "environment" in ctx.params:
                paths.require_environment(ctx.params["environment"])
            code = super().invoke(ctx) or 0
        except Failure as failure:
            console.complain(_pasteable(str(failure)))
            code = FAILED
        except KeyboardInterrupt:
            console.complain(
                "Interrupted. What was under way may be half done: run the same command again to complete it."
            )
            code = INTERRUPTED
        ctx.exit(code)


def _pasteable(message: str) -> str:
    """Return a message with what makes the command that it names work, where that is not on the PATH."""
    if NAMES_A_COMMAND.search(message) and not shutil.which("spotfleet"):
        return f"{message} {ON_THE_PATH}"
    return message
