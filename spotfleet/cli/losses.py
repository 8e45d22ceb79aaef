"""spotfleet interrupt, kill, rates: machines lost on purpose, with notice or without, and how often AWS does it."""

import json
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import click

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.machine_life import Machine
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.machines import read_machines
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import paths, rehearsal
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
# The share of the days that are no worse than what is called a bad one.
BAD_DAY = 0.99


class Share(click.ParamType[float]):
    """A share of machines, above 0 and up to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number that a text says."""
        try:
            share = float(value)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share: give a number above 0 and up to 1, such as 0.5", param, ctx)
        return share


@click.command(cls=Verb)
@environment_argument
@click.option("--machine", metavar="ID", help="This machine; by default the one with most tasks.")
@click.option("--share", type=Share(), metavar="SHARE", help="This share of the Spot machines, such as 0.5.")
@click.option("--all", "take_all", is_flag=True, help="All Spot machines.")
@json_option()
def interrupt(environment: str, machine: str | None, share: float | None, take_all: bool, as_json: bool) -> None:
    """Give Spot machines their two-minute notice.

    EC2 does so when it takes machines back. They drain, their group replaces them, and they end when the two minutes
    are over, of AWS's time.
    """
    if sum((machine is not None, share is not None, take_all)) > 1:
        raise click.UsageError("--machine, --share and --all exclude each other")
    terms = rehearsal.told(_identity())
    region, machines = _machines(environment)
    chosen = choose_spot(machines, machine, share, take_all=take_all)
    real_seconds = NOTICE_SECONDS / terms.speed
    moment = datetime.fromtimestamp(time.time() + real_seconds, UTC).isoformat()
    ids = [one.id for one in chosen]
    clients.client("ec2", region).create_tags(Resources=ids, Tags=[{"Key": machine_life.NOTICE_TAG, "Value": moment}])
    if as_json:
        say(json.dumps({"machines": [_as_json(one) for one in chosen], "taken_at": moment, **terms.as_json()}))
        return
    for one in chosen:
        say(f"{one.id} ({one.type}, {one.zone}, {_tasks(one)}) got its notice.")
    say(f"EC2 takes {'it' if len(ids) == 1 else 'them'} in {real_seconds:.0f} s ({terms.label}).")


def choose_spot(machines: Sequence[Machine], name: str | None, share: float | None, *, take_all: bool) -> list[Machine]:
    """Return the Spot machines that an interruption takes: the named one, a share, all, or the one with most tasks.

    Raises Failure when there is none, or when the name is not that of one.
    """
    present = [machine for machine in machines if machine.running and not machine.leaving and machine.notice is None]
    spot = sorted((machine for machine in present if machine.spot), key=_task_count, reverse=True)
    if name:
        machine = _named(present, name)
        if not machine.spot:
            raise Failure(f"{name} is on-demand: EC2 takes back Spot machines only. Take any with: spotfleet kill")
        return [machine]
    if not spot:
        raise Failure("There is no Spot machine to interrupt: see spotfleet status")
    if take_all:
        return spot
    return spot[: math.ceil(len(spot) * share) if share else 1]


@click.command(cls=Verb)
@environment_argument
@click.option("--machine", metavar="ID", help="This machine; by default the one with most tasks.")
@json_option()
def kill(environment: str, machine: str | None, as_json: bool) -> None:
    """End a machine without notice.

    It may be of either kind, on-demand or Spot. Its group replaces it.
    """
    region, machines = _machines(environment)
    present = [one for one in machines if one.running]
    if not present:
        raise Failure("There is no machine to kill: see spotfleet status")
    chosen = _named(present, machine) if machine else max(present, key=_task_count)
    clients.client("ec2", region).terminate_instances(InstanceIds=[chosen.id])
    if as_json:
        say(json.dumps({"machines": [_as_json(chosen)]}))
    else:
        say(f"{chosen.id} ({chosen.type}, {chosen.zone}, {_tasks(chosen)}) is gone; its group replaces it.")


@click.command(cls=Verb)
@environment_argument
@json_option()
def rates(environment: str, as_json: bool) -> None:
    """Show what a day of Spot interruptions would do.

    By the frequencies that AWS has published for the types of the Spot machines that run now.
    """
    _region, machines = _machines(environment)
    forecast = day([one.type for one in machines if one.running and one.spot])
    if as_json:
        say(json.dumps(forecast, indent=2))
        return
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


def day(types: Sequence[str]) -> dict[str, Any]:
    """Return what one day does to Spot machines of these types, each taken independently of the others.

    `monthly` is the upper end of the published range and `daily` what it means for one day; `bad_day` is the number of
    interruptions that 99 of 100 days do not exceed.
    """
    daily = {name: 1 - (1 - MONTHLY_SHARES.get(name, AVERAGE_SHARE)) ** (1 / DAYS_OF_MONTH) for name in types}
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
        "bad_day": most_on([daily[name] for name in types], BAD_DAY),
    }


def most_on(chances: Sequence[float], share: float) -> int:
    """Return the number of events, each with a chance of its own, that this share of all days does not exceed."""
    # By the number of events, what share of the days has so many.
    days = [1.0]
    for chance in chances:
        without, with_it = [*days, 0.0], [0.0, *days]
        days = [stays * (1 - chance) + comes * chance for stays, comes in zip(without, with_it, strict=True)]
    return next((number for number, upto in enumerate(accumulate(days)) if upto >= share), len(chances))


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


def _as_json(machine: Machine) -> dict[str, Any]:
    return {"id": machine.id, "type": machine.type, "zone": machine.zone, "tasks": _task_count(machine)}


def _identity() -> dict[str, Any]:
    identity = embedded_aws.find()
    if identity is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: spotfleet up")
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
    raise Failure(f"{name} has no machines: launch it with: spotfleet up {name}")
