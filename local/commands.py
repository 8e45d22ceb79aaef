"""Rehearse an environment on the AWS embedded in this repository: the commands of python -m local."""

import argparse
import http.client
import json
import ssl
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from local import (
    balancer_process,
    base_image,
    clock,
    console,
    docker_engine,
    environment,
    fleet_commands,
    load,
    server,
    shell,
    status,
    variables,
)
from local.console import Failure, say

INTERRUPTED = 130
SETTLE_SECONDS = 330
SERVICE_SECONDS = 120


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    console.print_anywhere()
    arguments = _parser().parse_args()
    try:
        arguments.environ = variables.enter()
        if "environment" in arguments:
            environment.require_environment(arguments.environment)
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
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
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
    fleet_commands.add_parsers(commands)
    sending = commands.add_parser("load", help="send requests to the service, and print what happened")
    sending.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
    sending.add_argument("--rps", type=int, default=50, help="requests per second (default: 50)")
    sending.add_argument("--seconds", type=int, default=30, help="real seconds (default: 30)")
    sending.set_defaults(command=send_load)
    serve = commands.add_parser("serve", help="run the embedded AWS in the foreground")
    serve.set_defaults(command=run_server)
    env = commands.add_parser("env", help='print variables for plain sceptre commands: eval "$(python -m local env)"')
    env.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
    env.set_defaults(command=print_variables)
    return parser


def up(arguments: argparse.Namespace) -> int:
    """Launch the environment and print what its service answers."""
    name = arguments.environment
    with console.only_one(environment.STATE / "lock"):
        docker_engine.ensure()
        balancer_process.ensure_installed()
        server.start()
        _settle(name)
        for_sceptre = variables.for_sceptre()
        if image := base_image.choose(name):
            for_sceptre[base_image.VARIABLE] = image
        if console.run([_sceptre(), "launch", "-y", name], f"launching {name}", for_sceptre) != 0:
            raise Failure(f"sceptre launch {name} failed; the reason is above. After mending it, run this again.")
        current = _wait_for_service(name)
    say(f"\n{current.url}")
    if current.at_zero:
        names = ", ".join(current.at_zero)
        say(f"The desired count of {names} is 0, by schedule or by hand: nothing answers there until it is raised.")
    else:
        say(_answer(current.url or ""))
    say(f"\nLive page: {server.page_url()}")
    return 0


def _sceptre() -> str:
    return str(Path(sys.executable).with_name("sceptre"))


def _settle(name: str) -> None:
    """Wait until CloudFormation works on no stack of the environment: Sceptre would pass over such a stack."""

    def settled() -> bool:
        current = status.of(name)
        return current is None or not any(state.endswith("_IN_PROGRESS") for state in current.stacks.values())

    if not console.wait_for(settled, f"waiting for the stacks of {name} that are changing", SETTLE_SECONDS):
        raise Failure(f"A stack of {name} is still changing: see python -m local status {name}")


def _wait_for_service(name: str) -> status.Status:
    """Return the environment's status once its services have the tasks that they want, all healthy."""
    current = None

    def ready() -> bool:
        nonlocal current
        current = status.of(name)
        return current is not None and current.complete and current.url is not None and bool(current.services)

    if not console.wait_for(ready, f"waiting for the service of {name}", SERVICE_SECONDS) or current is None:
        raise Failure(f"The service of {name} is not healthy: see python -m local status {name}")
    return current


def _answer(url: str) -> str:
    """Return the status line and the body of what a URL answers."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        # Self-signed: no system trusts it but who knows the file.
        trusting = ssl.create_default_context(cafile=balancer_process.Process().certificate())
        handlers.append(urllib.request.HTTPSHandler(context=trusting))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(url, timeout=10) as response:
            return _as_text(response)
    except urllib.error.HTTPError as error:
        # A service need not have a page here, or has it under another path or host name.
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _as_text(error)
        raise Failure(f"GET {url} answered {error.code} {error.reason}.") from error
    except OSError as error:
        raise Failure(f"GET {url} failed: {error}.") from error


def _as_text(response: http.client.HTTPResponse | urllib.error.HTTPError) -> str:
    return f"HTTP/1.1 {response.status} {response.reason}\n{response.read().decode(errors='replace')}"


def down(arguments: argparse.Namespace) -> int:
    """Delete the environment, and with the last one the embedded AWS and all that is left of it."""
    name = arguments.environment
    with console.only_one(environment.STATE / "lock"):
        docker_engine.use_address_of_command()
        identity = server.find()
        if identity is None:
            say("The embedded AWS does not run.")
        else:
            if status.stack_names(name, identity):
                _delete(name)
            others = _other_stacks(name)
            if others:
                say(f"The embedded AWS keeps running: it still has {', '.join(others)}.")
                return 0
            server.stop()
            say("The embedded AWS is stopped.")
        server.remove_leftovers()
        if words := docker_engine.give_up():
            say(words)
    return 0


def _delete(name: str) -> None:
    _settle(name)
    # The name confirms what a protected environment asks for.
    for_sceptre = variables.for_sceptre() | {"CONFIRM_DELETE": name}
    if console.run([_sceptre(), "delete", "-y", name], f"deleting {name}", for_sceptre) != 0:
        raise Failure(f"sceptre delete {name} failed; the reason is above. After mending it, run this again.")


def _other_stacks(name: str) -> list[str]:
    identity = server.find()
    if identity is None:
        return []
    remaining = status.stack_names(name, identity)
    if remaining:
        raise Failure(f"Stacks of {name} are left: {', '.join(remaining)}. See python -m local status {name}")
    return sorted(stack["name"] for stack in identity["stacks"])


def show(arguments: argparse.Namespace) -> int:
    """Print the environment's status."""
    current = status.of(arguments.environment)
    if current is None:
        raise Failure(
            f"The embedded AWS does not run at {environment.endpoint()}. Start it and launch with: "
            f"python -m local up {arguments.environment}"
        )
    if arguments.json:
        say(json.dumps(current.as_json(), indent=2))
    else:
        say(f"{current.as_text()}\n\nLive page: {server.page_url()}")
    return 0 if current.complete else 1


def send_load(arguments: argparse.Namespace) -> int:
    """Send requests to the environment's service and print what happened."""
    current = status.of(arguments.environment)
    if current is None or current.url is None:
        raise Failure(f"Nothing answers yet: launch with python -m local up {arguments.environment}")
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
    if server.find() is None:
        raise Failure(f"The embedded AWS does not run at {environment.endpoint()}. Start it with: python -m local up")
    leading_here = variables.for_clients(arguments.environ) | base_image.variables(arguments.environment)
    print("\n".join(shell.leading_to(leading_here, arguments.environ)))
    return 0
