"""spotfleet status: what an environment consists of."""

import json
from typing import Any

import click

from spotfleet.cli.verb import FAILED, Verb, environment_argument, json_option
from spotfleet.local.api import embedded_aws
from spotfleet.local.daemon.environment_status import Status, Task
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say

# Scaling activities that fit the screen.
SHOWN_ACTIVITIES = 3


@click.command(cls=Verb)
@environment_argument
@json_option()
def status(environment: str, as_json: bool) -> int:
    """Show stacks, image, machines, tasks and URL.

    The exit code is 0 when the environment is complete and healthy, and 1 when it is not.
    """
    current = of_environment(environment)
    if current is None:
        raise Failure(
            f"The embedded AWS does not run at {paths.endpoint()}. Start it and launch with: spotfleet up {environment}"
        )
    if as_json:
        say(json.dumps(current.as_json(), indent=2))
    else:
        say(f"{as_text(current)}\n\nLive page: {embedded_aws.page_url()}")
    return 0 if current.complete else FAILED


def as_text(current: Status) -> str:
    """Return the status on one screen."""
    lines = [f"{current.environment}: {current.url or 'no load balancer yet'} ({current.rehearsal.label})"]
    lines += [*current.troubles, "", "Stacks"]
    lines += [f"  {name:<32} {state}" for name, state in current.stacks.items()] or ["  none"]
    lines += ["", "Image", f"  {current.image or 'none'}", "", "Machines"]
    lines += [f"  {m.id:<20} {m.zone:<12} {m.type:<12} {m.kind:<10} {m.state}" for m in current.machines] or ["  none"]
    credits_ = current.figures.get("cpu_credits")
    if credits_:
        lines += ["", "CPU credits", *(f"  {name:<20} {_credits_line(held)}" for name, held in credits_.items())]
    lines += ["", f"Tasks ({len(current.tasks)} of {current.desired_tasks})"]
    lines += [_task_line(task) for task in current.tasks] or ["  none"]
    services = current.figures.get("services", [])
    if services:
        lines += ["", "Now", *(_service_line(service) for service in services)]
    activities = [item for service in services for item in service["activities"]]
    activities = sorted([*activities, *current.figures.get("machine_activities", [])], key=_started, reverse=True)
    if activities:
        lines += [
            "",
            "Scaling",
            *(f"  {item['time'][11:19]}  {item['why']}" for item in activities[:SHOWN_ACTIVITIES]),
        ]
    return "\n".join(lines)


def _task_line(task: Task) -> str:
    where = f"{task.address or 'no address':<16} {task.machine or 'waits for a machine'}"
    return f"  {task.id:<37} {task.state:<10} {task.health:<10} {where}"


def _credits_line(held: dict[str, Any]) -> str:
    if held["mode"] == "unlimited":
        owed = f"{held['surplus']:.1f} of surplus" if held["surplus"] else f"{held['balance']:.1f}"
        return f"{owed}; AWS would bill {held['dollars']:.4f} $"
    return f"{held['balance']:.1f}; may use {held['allowed_vcpus']:.2f} of {held['vcpus']:g} vCPUs"


def _service_line(service: dict[str, Any]) -> str:
    groups = service["groups"]
    rate = sum(group["requests_per_second"] for group in groups)
    slowest = [
        max((group[name] for group in groups if group[name] is not None), default=None) for name in ("p50", "p99")
    ]
    p50, p99 = ("-" if seconds is None else f"{1000 * seconds:.0f} ms" for seconds in slowest)
    cpu = next((f"{value:.0f} %" for value in reversed(service["cpu_percent"]) if value is not None), "-")
    target = service["cpu_target_percent"]
    of_target = "" if target is None else f" (target {target:.0f} %)"
    return f"  {service['name']}: {rate:.1f} requests/s, p50 {p50}, p99 {p99}, CPU {cpu}{of_target}"


def _started(activity: dict[str, str]) -> str:
    return activity["time"]


def of_environment(name: str) -> Status | None:
    """Return the status of an environment, or None when the embedded AWS does not run.

    Raises Failure while it cannot be read.
    """
    answer = embedded_aws.status(name)
    if answer is None:
        return None
    if "problem" in answer:
        raise Failure(f"{name} is being launched or deleted; look again in a moment: {answer['problem']}")
    return Status.from_json(answer["status"])
