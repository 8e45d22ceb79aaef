"""spotfleet env: leads a shell's own commands to the embedded AWS."""

import click

from spotfleet.cli.verb import Verb, environment_argument
from spotfleet.local.api import embedded_aws
from spotfleet.local.host import base_image, paths, shell, variables
from spotfleet.local.host.console import Failure


@click.command(cls=Verb)
@environment_argument
@click.pass_context
def env(context: click.Context, environment: str) -> None:
    """Print variables for plain sceptre and aws commands.

    \b
    eval "$(spotfleet env || echo false)" && sceptre diff dev

    They hold until the embedded AWS is started anew. When this fails, what it prints leads the shell to no AWS at all
    and ends in failure.
    """
    # The embedded AWS's key, which the variables have, is made at its start.
    if embedded_aws.find() is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: spotfleet up")
    leading_here = variables.for_clients(context.obj) | base_image.variables(environment)
    print("\n".join(shell.leading_to(leading_here, context.obj)))
