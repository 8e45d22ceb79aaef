"""Rehearse an environment on the AWS embedded in this repository: the commands of python -m spotfleet."""

import argparse
import json

from spotfleet.cli import load, losses, status
from spotfleet.cli.launch import down, up
from spotfleet.local.api import embedded_aws
from spotfleet.local.daemon import server
from spotfleet.local.host import base_image, clock, console, docker_engine, paths, shell, variables
from spotfleet.local.host.console import Failure, say

INTERRUPTED = 130


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    console.print_anywhere()
    arguments = _parser().parse_args()
    try:
        arguments.environ = variables.enter()
        if "environment" in arguments:
            paths.require_environment(arguments.environment)
        return int(arguments.command(arguments))
    except Failure as failure:
        console.complain(str(failure))
        return 1
    except KeyboardInterrupt:
        console.complain("Interrupted. What was under way may be half done: run the same command again to complete it.")
        return INTERRUPTED
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spotfleet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, command, text in (
        ("up", up, "launch an environment on the embedded AWS, starting that if needed"),
        ("down", down, "delete an environment and stop the embedded AWS"),
        ("status", show, "show what an environment consists of; exit code 0 when it is complete and healthy"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
        sub.set_defaults(command=command)
        if name == "status":
            sub.add_argument("--json", action="store_true", help="print one JSON object")
    losses.add_parsers(commands)
    sending = commands.add_parser("load", help="send requests to the service, and print what happened")
    sending.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
    sending.add_argument("--rps", type=int, default=50, help="requests per second (default: 50)")
    sending.add_argument("--seconds", type=int, default=30, help="real seconds (default: 30)")
    sending.set_defaults(command=send_load)
    serve = commands.add_parser("serve", help="run the embedded AWS in the foreground")
    serve.set_defaults(command=run_server)
    env = commands.add_parser(
        "env", help='print variables for plain sceptre commands: eval "$(python -m spotfleet env)"'
    )
    env.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
    env.set_defaults(command=print_variables)
    return parser


def show(arguments: argparse.Namespace) -> int:
    """Print the environment's status."""
    current = status.of_environment(arguments.environment)
    if current is None:
        raise Failure(
            f"The embedded AWS does not run at {paths.endpoint()}. Start it and launch with: "
            f"python -m spotfleet up {arguments.environment}"
        )
    if arguments.json:
        say(json.dumps(current.as_json(), indent=2))
    else:
        say(f"{status.as_text(current)}\n\nLive page: {embedded_aws.page_url()}")
    return 0 if current.complete else 1


def send_load(arguments: argparse.Namespace) -> int:
    """Send requests to the environment's service and print what happened."""
    current = status.of_environment(arguments.environment)
    if current is None or current.url is None:
        raise Failure(f"Nothing answers yet: launch with python -m spotfleet up {arguments.environment}")
    exit_code = load.send(current.url, arguments.rps, arguments.seconds)
    say(f"({clock.label(current.speed)}; requests and latencies are real)")
    return exit_code


def run_server(_arguments: argparse.Namespace) -> int:
    """Run the embedded AWS in the foreground."""
    docker_engine.use_address_of_command()
    server.serve()
    return 0


def print_variables(arguments: argparse.Namespace) -> int:
    """Print the variables with which plain sceptre commands work on the embedded AWS, as commands for a shell.

    Raises Failure when the embedded AWS does not run: its key, which the variables have, is made at its start.
    """
    if embedded_aws.find() is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: python -m spotfleet up")
    leading_here = variables.for_clients(arguments.environ) | base_image.variables(arguments.environment)
    print("\n".join(shell.leading_to(leading_here, arguments.environ)))
    return 0
