"""spotfleet serve: the embedded AWS in the foreground."""

import click

from spotfleet.cli.verb import Verb
from spotfleet.local.daemon import server
from spotfleet.local.host import docker_engine


@click.command(cls=Verb)
def serve() -> None:
    """Run the embedded AWS in the foreground.

    `spotfleet up` does it in the background. Ctrl-C ends it, and the tasks' containers with it.
    """
    docker_engine.use_address_of_command()
    server.serve()
