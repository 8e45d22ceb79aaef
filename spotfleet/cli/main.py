"""The command `spotfleet`, of which each verb has a module beside this one."""

from importlib import import_module

import click

from spotfleet.local.host import console

# In the order in which one comes to need them: the verb, and its module and name there.
VERBS = {
    "plan": ("plan", "plan"),
    "up": ("launch", "up"),
    "status": ("status", "status"),
    "why": ("why", "why"),
    "open": ("page", "open_page"),
    "logs": ("logs", "logs"),
    "exec": ("execute", "execute"),
    "load": ("load", "load"),
    "interrupt": ("losses", "interrupt"),
    "kill": ("losses", "kill"),
    "capacity": ("capacity", "capacity"),
    "rates": ("rates", "rates"),
    "refuse": ("refuse", "refuse"),
    "machine-image": ("machine_image", "machine_image"),
    "convert": ("convert", "convert"),
    "env": ("env", "env"),
    "down": ("launch", "down"),
    "serve": ("serve", "serve"),
}


def verb(name: str) -> click.Command:
    """Return the command of a verb."""
    module, attribute = VERBS[name]
    command: click.Command = getattr(import_module(f"spotfleet.cli.{module}"), attribute)
    return command


class Verbs(click.Group):
    """Imports a verb when it is asked for: `status` need not wait for all that a launch needs."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the verbs."""
        return list(VERBS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of a verb, or None where there is no such verb."""
        return verb(name) if name in VERBS else None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def spotfleet() -> None:
    """Rehearse an environment on the AWS embedded in this repository, with real containers.

    ENVIRONMENT is a folder in config/, and dev where it is left out. Each verb says more: spotfleet VERB --help
    """


def main() -> int:
    """Run the verb that the arguments name, and return its exit code."""
    console.print_anywhere()
    try:
        spotfleet.main(prog_name="spotfleet")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
