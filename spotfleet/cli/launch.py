"""spotfleet up and down: an environment launched on the embedded AWS, and deleted."""

import http.client
import ssl
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

import click

from spotfleet.cli import live, status
from spotfleet.cli.verb import Verb, environment_argument
from spotfleet.local.api import embedded_aws
from spotfleet.local.balancer import haproxy
from spotfleet.local.daemon import environment_status, process
from spotfleet.local.host import base_image, console, docker_engine, machine_check, paths, rehearsal, variables
from spotfleet.local.host.console import Failure, say

SETTLE_SECONDS = 330

SERVICE_SECONDS = 120


@click.command(cls=Verb)
@environment_argument
def up(environment: str) -> None:
    """Launch an environment, and show that it answers.

    It is launched on the embedded AWS, which is started unless it runs. Run it again after a change: what has changed
    is updated, and nothing else. On a terminal each stack has one line. LOCAL_SPEED says how fast AWS's waiting times
    pass, from 1, as they are, to 60; by default 10. LOCAL_DELAYS says how long AWS takes for what it promises no time
    for: typical, or slow for the longest; LOCAL_SEED, a number, repeats what an earlier rehearsal drew.
    """
    name = environment
    rehearsal.require()
    with console.only_one(paths.STATE / "lock"):
        _require_machine(name)
        docker_engine.ensure()
        haproxy.ensure_installed()
        process.start()
        _settle(name)
        for_sceptre = variables.for_sceptre()
        if image := base_image.choose(name):
            for_sceptre[base_image.VARIABLE] = image
        _run_sceptre("launch", name, f"launching {name}", for_sceptre)
        current = _wait_for_service(name)
    say(f"\n{current.url}")
    if current.at_zero:
        names = ", ".join(current.at_zero)
        say(f"The desired count of {names} is 0, by schedule or by hand: nothing answers there until it is raised.")
    else:
        say(_answer(current.url or ""))
    say(f"\nRehearsed with {current.rehearsal.label}.")
    if words := (embedded_aws.find() or {}).get("network_problem"):
        say(words)
    say(f"Live page: {embedded_aws.page_url()}")


def _require_machine(name: str) -> None:
    """Raise Failure that names all that this machine lacks, before anything is begun."""
    configured = paths.setting(name, "base_image")
    lacking = machine_check.lacks(configured if isinstance(configured, str) else None)
    if words := machine_check.message(lacking):
        raise Failure(words)


def _run_sceptre(verb: str, name: str, activity: str, for_sceptre: dict[str, str]) -> None:
    """Run a command of Sceptre's for an environment. Raises Failure when it fails, after its reason was printed."""
    command = [str(Path(sys.executable).with_name("sceptre")), verb, "-y", name]
    failed = f"sceptre {verb} {name} failed; the reason is above. After mending it, run this again."
    if not live.is_possible():
        if console.run(command, activity, for_sceptre, folder=paths.ROOT) != 0:
            raise Failure(failed)
        return
    log = live.log_file(verb, name)
    say(f"{activity.capitalize()} (all that Sceptre says: {log})")
    if live.run(command, activity, for_sceptre, _stacks(name, verb), log) != 0:
        raise Failure(f"{failed} The whole log: {log}")


def _stacks(name: str, verb: str) -> list[live.Stack]:
    """Return the stacks in Sceptre's order; none where it cannot read them, which its own run then says."""
    try:
        return live.stacks_in_order(name, verb)
    except Exception:  # whatever a configuration can make Jinja, YAML and Sceptre raise
        return []


def _settle(name: str) -> None:
    """Wait until CloudFormation works on no stack of the environment: Sceptre would pass over such a stack."""

    def settled() -> bool:
        current = status.of_environment(name)
        return current is None or not any(state.endswith("_IN_PROGRESS") for state in current.stacks.values())

    if not console.wait_for(settled, f"waiting for the stacks of {name} that are changing", SETTLE_SECONDS):
        raise Failure(f"A stack of {name} is still changing: see spotfleet status {name}")


def _wait_for_service(name: str) -> environment_status.Status:
    """Return the environment's status once its services have the tasks that they want, all healthy."""
    current = None

    def ready() -> bool:
        nonlocal current
        current = status.of_environment(name)
        return current is not None and current.complete and current.url is not None and bool(current.services)

    if not console.wait_for(ready, f"waiting for the service of {name}", SERVICE_SECONDS) or current is None:
        raise Failure(f"The service of {name} is not healthy: see spotfleet status {name}")
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


@click.command(cls=Verb)
@environment_argument
def down(environment: str) -> None:
    """Delete an environment, and stop the embedded AWS.

    While that has other environments it keeps running. With the last one all that is left of it goes.
    """
    name = environment
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
                return
            process.stop()
            say("The embedded AWS is stopped.")
        process.remove_leftovers()
        if words := docker_engine.give_up():
            say(words)


def _delete(name: str) -> None:
    _settle(name)
    # The name confirms what a protected environment asks for.
    for_sceptre = variables.for_sceptre() | {"CONFIRM_DELETE": name}
    _run_sceptre("delete", name, f"deleting {name}", for_sceptre)


def _other_stacks(name: str) -> list[str]:
    identity = embedded_aws.find()
    if identity is None:
        return []
    remaining = environment_status.stack_names(name, identity)
    if remaining:
        raise Failure(f"Stacks of {name} are left: {', '.join(remaining)}. See spotfleet status {name}")
    return sorted(stack["name"] for stack in identity["stacks"])
