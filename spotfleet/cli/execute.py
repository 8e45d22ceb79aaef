"""spotfleet exec: a command in a running container of a service."""

import os
import sys

import click

from spotfleet.cli import services
from spotfleet.cli.services import Service
from spotfleet.cli.verb import Verb, environment_option
from spotfleet.local.api import clients
from spotfleet.local.api.ecs import read_tasks_of_service
from spotfleet.local.host.console import Failure, output

# As ECS's agent labels the containers of tasks, and the embedded AWS does.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
TASK_LABEL = "com.amazonaws.ecs.task-arn"
COMMAND = f"{__name__}.command"


class Exec(Verb):
    """A verb with a command of the user's behind `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is behind the first `--` as it is: its options are not ours."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[COMMAND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what the line "Usage" says."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command("exec", cls=Exec)
@click.argument("service", required=False)
@environment_option
@click.option("--task", metavar="ID", help="In this task, whose id may be cut short; by default in any that runs.")
@click.pass_context
def execute(context: click.Context, service: str | None, environment: str, task: str | None) -> None:
    """Run a command in a running container of a service.

    SERVICE is its file in the environment's folder; it can be left out where there is one. With a terminal the command
    is interactive. The image of the example has Python in it, and no shell:

    \b
    spotfleet exec -- python3 -c "import os; print(os.environ)"
    """
    command: list[str] = context.meta[COMMAND]
    if not command:
        raise click.UsageError("Give the command behind --, as in: spotfleet exec -- python3 --version")
    found = services.of_environment(environment)
    container = _container(services.named(found, service) if service else services.only(found), task)
    interactive = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else ["--interactive"]
    line = ["docker", "exec", *interactive, container, *command]
    try:
        # In our place: exit code, signals and terminal are the command's own.
        os.execvp(line[0], line)  # noqa: S606  # no shell is wanted
    except OSError as error:
        raise Failure(f"Cannot run docker: {error.strerror}.") from error


def _container(service: Service, task: str | None) -> str:
    """Return the container of a task of the service that runs. Raises Failure when there is none, or not that one."""
    arns = []
    if service.arn:
        # arn:aws:ecs:<region>:<account>:service/<cluster>/<service>
        _, cluster, name = service.arn.split("/")
        described = read_tasks_of_service(clients.client("ecs", service.region), cluster, name)
        arns = [one["taskArn"] for one in described if one["lastStatus"] == "RUNNING"]
    ids = {arn.rpartition("/")[2]: arn for arn in arns}
    chosen = [arn for id_, arn in ids.items() if id_.startswith(task or "")]
    if not chosen and task and ids:
        raise Failure(f"No task {task!r} of {service.name} runs. Those that do: {', '.join(sorted(ids))}.")
    for arn in chosen:
        if containers := (output(["docker", "ps", "-q", "--filter", f"label={TASK_LABEL}={arn}"]) or "").split():
            # Of several the first one started, which the others stand beside.
            return containers[-1]
    raise Failure(f"No task of {service.name} runs: see spotfleet status")
