"""Launches and deletes an environment on the embedded AWS."""

import argparse
import http.client
import ssl
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from spotfleet.cli import status
from spotfleet.local.api import embedded_aws
from spotfleet.local.balancer import haproxy
from spotfleet.local.daemon import environment_status, process
from spotfleet.local.host import base_image, console, docker_engine, paths, variables
from spotfleet.local.host.console import Failure, say

SETTLE_SECONDS = 330

SERVICE_SECONDS = 120


def up(arguments: argparse.Namespace) -> int:
    """Launch the environment and print what its service answers."""
    name = arguments.environment
    with console.only_one(paths.STATE / "lock"):
        docker_engine.ensure()
        haproxy.ensure_installed()
        process.start()
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
    say(f"\nLive page: {embedded_aws.page_url()}")
    return 0


def _sceptre() -> str:
    return str(Path(sys.executable).with_name("sceptre"))


def _settle(name: str) -> None:
    """Wait until CloudFormation works on no stack of the environment: Sceptre would pass over such a stack."""

    def settled() -> bool:
        current = status.of_environment(name)
        return current is None or not any(state.endswith("_IN_PROGRESS") for state in current.stacks.values())

    if not console.wait_for(settled, f"waiting for the stacks of {name} that are changing", SETTLE_SECONDS):
        raise Failure(f"A stack of {name} is still changing: see python -m spotfleet status {name}")


def _wait_for_service(name: str) -> environment_status.Status:
    """Return the environment's status once its services have the tasks that they want, all healthy."""
    current = None

    def ready() -> bool:
        nonlocal current
        current = status.of_environment(name)
        return current is not None and current.complete and current.url is not None and bool(current.services)

    if not console.wait_for(ready, f"waiting for the service of {name}", SERVICE_SECONDS) or current is None:
        raise Failure(f"The service of {name} is not healthy: see python -m spotfleet status {name}")
    return current


def _answer(url: str) -> str:
    """Return the status line and the body of what a URL answers."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        # Self-signed: no system trusts it but who knows the file.
        trusting = ssl.create_default_context(cafile=haproxy.Process().certificate())
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
    with console.only_one(paths.STATE / "lock"):
        docker_engine.use_address_of_command()
        identity = embedded_aws.find()
        if identity is None:
            say("The embedded AWS does not run.")
        else:
            if environment_status.stack_names(name, identity):
                _delete(name)
            others = _other_stacks(name)
            if others:
                say(f"The embedded AWS keeps running: it still has {', '.join(others)}.")
                return 0
            process.stop()
            say("The embedded AWS is stopped.")
        process.remove_leftovers()
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
    identity = embedded_aws.find()
    if identity is None:
        return []
    remaining = environment_status.stack_names(name, identity)
    if remaining:
        raise Failure(f"Stacks of {name} are left: {', '.join(remaining)}. See python -m spotfleet status {name}")
    return sorted(stack["name"] for stack in identity["stacks"])
