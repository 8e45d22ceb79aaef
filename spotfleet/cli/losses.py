"""Losing machines on purpose: a Spot interruption with its notice, a machine that dies, and how often AWS does it."""

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.machine_life import Machine
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.machines import read_machines
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import clock, paths
from spotfleet.local.host.console import Failure, say

# From the notice until EC2 takes the machine.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
NOTICE_SECONDS = 120
# The upper end of the share of machines that AWS took back in a month, in eu-west-1, July 2025:
# https://aws.amazon.com/ec2/spot/instance-advisor/
MONTHLY_SHARES = {"t3.micro": 0.10, "t3a.micro": 0.10, "t3.small": 0.05, "t4g.micro": 0.25}
# AWS's average over all types and regions, for a type that is not listed.
AVERAGE_SHARE = 0.05
DAYS_OF_MONTH = 30
# Days that are played to find a bad one.
PLAYED_DAYS = 5_000
BAD_DAY = 0.99


def interrupt(arguments: argparse.Namespace) -> int:
    """Give Spot machines their two-minute notice."""
    speed = _speed()
    region, machines = _machines(arguments.environment)
    chosen = choose_spot(machines, arguments.machine, arguments.share, take_all=arguments.all)
    real_seconds = NOTICE_SECONDS / speed
    moment = datetime.fromtimestamp(time.time() + real_seconds, UTC).isoformat()
    ids = [machine.id for machine in chosen]
    clients.client("ec2", region).create_tags(Resources=ids, Tags=[{"Key": machine_life.NOTICE_TAG, "Value": moment}])
    for machine in chosen:
        say(f"{machine.id} ({machine.type}, {machine.zone}, {_tasks(machine)}) got its notice.")
    say(f"EC2 takes {'it' if len(ids) == 1 else 'them'} in {real_seconds:.0f} s ({clock.label(speed)}).")
    return 0


def choose_spot(machines: Sequence[Machine], name: str | None, share: float | None, *, take_all: bool) -> list[Machine]:
    """Return the Spot machines that an interruption takes: the named one, a share, all, or the one with most tasks.

    Raises Failure when there is none, or when the name is not that of one.
    """
    present = [machine for machine in machines if machine.running and not machine.leaving and machine.notice is None]
    spot = sorted((machine for machine in present if machine.spot), key=_task_count, reverse=True)
    if name:
        machine = _named(present, name)
        if not machine.spot:
            raise Failure(
                f"{name} is on-demand: EC2 takes back Spot machines only. Take any with: python -m spotfleet kill"
            )
        return [machine]
    if not spot:
        raise Failure("There is no Spot machine to interrupt: see python -m spotfleet status")
    if take_all:
        return spot
    return spot[: math.ceil(len(spot) * share) if share else 1]


def kill(arguments: argparse.Namespace) -> int:
    """End a machine without notice: by default the one with most tasks."""
    region, machines = _machines(arguments.environment)
    present = [machine for machine in machines if machine.running]
    if not present:
        raise Failure("There is no machine to kill: see python -m spotfleet status")
    machine = _named(present, arguments.machine) if arguments.machine else max(present, key=_task_count)
    clients.client("ec2", region).terminate_instances(InstanceIds=[machine.id])
    say(f"{machine.id} ({machine.type}, {machine.zone}, {_tasks(machine)}) is gone; its group replaces it.")
    return 0


def rates(arguments: argparse.Namespace) -> int:
    """Show what a day at the published interruption frequencies would do to the Spot machines."""
    _region, machines = _machines(arguments.environment)
    forecast = day([machine.type for machine in machines if machine.running and machine.spot])
    if arguments.json:
        say(json.dumps(forecast, indent=2))
        return 0
    say(f"{'type':<14} {'machines':>8} {'a month':>9} {'a day':>8}")
    for row in forecast["types"]:
        known = "" if row["published"] else "  (not listed here: AWS's average)"
        say(f"{row['type']:<14} {row['machines']:>8} {row['monthly']:>8.0%} {row['daily']:>8.2%}{known}")
    if not forecast["types"]:
        say("no Spot machine runs")
    say(
        f"\nInterruptions expected in a day: {forecast['expected']:.3f}; on one day in a hundred {forecast['bad_day']}."
    )
    say("Real days of AWS, whatever LOCAL_SPEED says. Source: https://aws.amazon.com/ec2/spot/instance-advisor/")
    return 0


def day(types: Sequence[str], seed: int = 1) -> dict[str, Any]:
    """Return what one day does to Spot machines of these types, each taken independently of the others.

    `monthly` is the upper end of the published range and `daily` what it means for one day; `bad_day` is the number of
    interruptions that 99 of 100 days do not exceed.
    """
    daily = {name: 1 - (1 - MONTHLY_SHARES.get(name, AVERAGE_SHARE)) ** (1 / DAYS_OF_MONTH) for name in types}
    dice = random.Random(seed)  # noqa: S311  # a forecast that repeats, nothing secret
    played = sorted(sum(dice.random() < daily[name] for name in types) for _ in range(PLAYED_DAYS))
    return {
        "types": [
            {
                "type": name,
                "machines": list(types).count(name),
                "monthly": MONTHLY_SHARES.get(name, AVERAGE_SHARE),
                "daily": daily[name],
                "published": name in MONTHLY_SHARES,
            }
            for name in sorted(daily)
        ],
        "expected": sum(daily[name] for name in types),
        "bad_day": played[int(PLAYED_DAYS * BAD_DAY)],
    }


def _named(machines: Sequence[Machine], name: str) -> Machine:
    for machine in machines:
        if machine.id == name:
            return machine
    known = ", ".join(machine.id for machine in machines) or "none"
    raise Failure(f"There is no machine {name!r} that runs. Machines: {known}.")


def _task_count(machine: Machine) -> int:
    return int(machine.ecs["runningTasksCount"] + machine.ecs["pendingTasksCount"]) if machine.ecs else 0


def _tasks(machine: Machine) -> str:
    count = _task_count(machine)
    return f"{count} task{'' if count == 1 else 's'}"


def _speed() -> float:
    """Return the speed of the embedded AWS, which this process need not share."""
    return float(_identity()["speed"])


def _identity() -> dict[str, Any]:
    identity = embedded_aws.find()
    if identity is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: python -m spotfleet up")
    return identity


def _machines(name: str) -> tuple[str, list[Machine]]:
    """Return the region of an environment and its machines.

    Raises Failure when it has no Auto Scaling group.
    """
    for stack, region in environment_status.stack_names(name, _identity()).items():
        resources = clients.client("cloudformation", region).describe_stack_resources(StackName=stack)["StackResources"]
        groups = {
            item.get("PhysicalResourceId")
            for item in resources
            if item["ResourceType"] == "AWS::AutoScaling::AutoScalingGroup"
        }
        if groups:
            return region, [machine for machine in read_machines(region) if machine.group in groups]
    raise Failure(f"{name} has no machines: launch it with python -m spotfleet up {name}")


def add_parsers(commands: Any) -> None:  # noqa: ANN401  # argparse does not publish the class
    """Add the commands interrupt, kill and rates to the parser of `python -m spotfleet`."""
    for name, command, text in (
        ("interrupt", interrupt, "give Spot machines their two-minute notice, as EC2 does when it takes them back"),
        ("kill", kill, "end a machine without notice: by default the one with most tasks"),
        ("rates", rates, "show what a day at the published interruption frequencies would do"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("environment", nargs="?", default="dev", help="folder below config/ (default: dev)")
        sub.set_defaults(command=command)
        if name == "rates":
            sub.add_argument("--json", action="store_true", help="print one JSON object")
            continue
        which = sub.add_mutually_exclusive_group() if name == "interrupt" else sub
        which.add_argument("--machine", metavar="ID", help="the machine; by default the one with most tasks")
        if name == "interrupt":
            which.add_argument("--share", type=_share, help="this share of the Spot machines, such as 0.5")
            which.add_argument("--all", action="store_true", help="all Spot machines")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give a number above 0 and up to 1, such as 0.5")
    return share
