"""The command `spotfleet`, of which each verb has a module beside this one."""

import click

from spotfleet.cli.capacity import capacity
from spotfleet.cli.env import env
from spotfleet.cli.execute import execute
from spotfleet.cli.launch import down, up
from spotfleet.cli.load import load
from spotfleet.cli.logs import logs
from spotfleet.cli.losses import interrupt, kill
from spotfleet.cli.page import open_page
from spotfleet.cli.rates import rates
from spotfleet.cli.refuse import refuse
from spotfleet.cli.serve import serve
from spotfleet.cli.status import status
from spotfleet.cli.why import why
from spotfleet.local.host import console

# In the order in which one comes to need them.
VERBS = (up, status, why, open_page, logs, execute, load, interrupt, kill, capacity, rates, refuse, env, down, serve)


class InOrder(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
def spotfleet() -> None:
    """Rehearse an environment on the AWS embedded in this repository, with real containers.

    ENVIRONMENT is a folder in config/, and dev where it is left out. Each verb says more: spotfleet VERB --help
    """


for _verb in VERBS:
    spotfleet.add_command(_verb)


def main() -> int:
    """Run the verb that the arguments name, and return its exit code."""
    console.print_anywhere()
    try:
        spotfleet.main(prog_name="spotfleet")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
