"""spotfleet interrupt, kill: machines lost on purpose, with notice or without."""

import json
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from spotfleet.behaviour.machine_life import NOTICE_TAG, Machine
from spotfleet.behaviour.machine_losses import RECOMMENDATION_TAG
from spotfleet.behaviour.spot_notice import NOTICE_SECONDS
from spotfleet.behaviour.spot_pools import Pool
from spotfleet.cli import fleet
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.api import clients
from spotfleet.local.host import rehearsal
from spotfleet.local.host.console import Failure, say


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
@click.option("--pool", metavar="POOL", help="All Spot machines of a type in a zone, such as t3.micro/eu-west-1a.")
@click.option("--share", type=Share(), metavar="SHARE", help="This share of the Spot machines, such as 0.5.")
@click.option("--all", "take_all", is_flag=True, help="All Spot machines.")
@click.option(
    "--lead",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long before the notice EC2 recommends to replace them, in AWS's time.",
)
@click.option(
    "--no-recommendation", is_flag=True, help="Only the notice: groups that rebalance do nothing before the end."
)
@json_option()
def interrupt(
    environment: str,
    machine: str | None,
    pool: str | None,
    share: float | None,
    take_all: bool,
    lead: int,
    no_recommendation: bool,
    as_json: bool,
) -> None:
    """Give Spot machines their two-minute notice.

    EC2 does so when it takes machines back, and recommends to replace them at the same time or before. A group that
    rebalances launches their successors then; otherwise it replaces them when they have ended. They drain, and they end
    when the two minutes are over, of AWS's time.
    """
    if sum((machine is not None, pool is not None, share is not None, take_all)) > 1:
        raise click.UsageError("--machine, --pool, --share and --all exclude each other")
    if lead and no_recommendation:
        raise click.UsageError("--lead and --no-recommendation exclude each other")
    terms = rehearsal.told(fleet.identity())
    found = fleet.read(environment)
    chosen = choose_spot(found.machines, machine, share, take_all=take_all, pool=pool)
    now = time.time()
    noticed, taken = now + lead / terms.speed, now + (lead + NOTICE_SECONDS) / terms.speed
    tags = [{"Key": NOTICE_TAG, "Value": _moment(taken)}]
    if not no_recommendation:
        tags.append({"Key": RECOMMENDATION_TAG, "Value": _moment(now)})
    clients.client("ec2", found.region).create_tags(Resources=[one.id for one in chosen], Tags=tags)
    if as_json:
        moments = {"noticed_at": _moment(noticed), "taken_at": _moment(taken)}
        say(json.dumps({"machines": [_as_json(one) for one in chosen], **moments, **terms.as_json()}))
        return
    for one in chosen:
        got = "EC2's recommendation to replace it" if lead else "its notice"
        say(f"{one.id} ({one.type}, {one.zone}, {_tasks(one)}) got {got}.")
    them = "it" if len(chosen) == 1 else "them"
    notice = f"The notice comes in {lead / terms.speed:.0f} s, and " if lead else ""
    say(f"{notice}EC2 takes {them} in {taken - now:.0f} s ({terms.label}).")


def choose_spot(
    machines: Sequence[Machine], name: str | None, share: float | None, *, take_all: bool, pool: str | None = None
) -> list[Machine]:
    """Return the Spot machines that an interruption takes: the named one, those of a pool, a share, or all.

    By default it is the one with most tasks. Raises Failure when there is none, or when the name is not that of one.
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
    if pool:
        return _of_pool(spot, pool)
    if take_all:
        return spot
    return spot[: math.ceil(len(spot) * share) if share else 1]


def _of_pool(spot: Sequence[Machine], name: str) -> list[Machine]:
    pools = {machine.id: str(Pool(machine.type, machine.zone)) for machine in spot}
    found = [machine for machine in spot if pools[machine.id] == name]
    if not found:
        raise Failure(f"No Spot machine is of the pool {name!r}. Pools: {', '.join(sorted(set(pools.values())))}.")
    return found


@click.command(cls=Verb)
@environment_argument
@click.option("--machine", metavar="ID", help="This machine; by default the one with most tasks.")
@json_option()
def kill(environment: str, machine: str | None, as_json: bool) -> None:
    """End a machine without notice.

    It may be of either kind, on-demand or Spot. It falls silent, and requests to it wait in vain, until health checks
    fail or its group finds out, which takes half a minute to two; then the group replaces it.
    """
    found = fleet.read(environment)
    present = [one for one in found.machines if one.running]
    if not present:
        raise Failure("There is no machine to kill: see spotfleet status")
    chosen = _named(present, machine) if machine else max(present, key=_task_count)
    clients.client("ec2", found.region).terminate_instances(InstanceIds=[chosen.id])
    if as_json:
        say(json.dumps({"machines": [_as_json(chosen)]}))
    else:
        say(f"{chosen.id} ({chosen.type}, {chosen.zone}, {_tasks(chosen)}) is silent; its group has yet to find out.")


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


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
