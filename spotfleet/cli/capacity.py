"""spotfleet capacity: the pools that an environment's machines come from, closed and opened by hand."""

import fnmatch
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from spotfleet.behaviour import spot_pools
from spotfleet.behaviour.machine_life import Machine, launched_types
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.spot_pools import Kind, Pool
from spotfleet.cli import fleet
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.api import clients
from spotfleet.local.host.console import Failure, say

# How long a pool is closed when nobody says how long, in AWS's seconds.
CLOSED_SECONDS = 600


@click.command(cls=Verb)
@environment_argument
@click.option(
    "--close",
    multiple=True,
    metavar="POOL",
    help="No Spot capacity here; such as t3.micro/eu-west-1a, or '*/eu-west-1a'.",
)
@click.option("--open", "open_", multiple=True, metavar="POOL", help="Capacity here again.")
@click.option(
    "--for",
    "seconds",
    type=click.IntRange(min=1),
    default=CLOSED_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long a pool is closed, in AWS's time.",
)
@click.option("--on-demand", is_flag=True, help="Close on-demand capacity instead.")
@json_option()
def capacity(
    environment: str, close: tuple[str, ...], open_: tuple[str, ...], seconds: int, on_demand: bool, as_json: bool
) -> None:
    """Show the pools that machines come from, and close some.

    A pool is a type in a zone. Where one has no capacity a launch fails, and its group tries the others, then all of
    them again after 60, 120, 240 and each 300 s of AWS's time. Spot machines come from the zone's pool with the highest
    score; AWS publishes none, so that here LOCAL_SEED draws them.
    """
    identity = fleet.identity()
    found = fleet.read(environment)
    kind = Kind.ON_DEMAND if on_demand else Kind.SPOT
    until = time.time() + seconds / float(identity["speed"])
    autoscaling = clients.client("autoscaling", found.region)
    for group in found.groups:
        tags = [_tag(group, spot_pools.tag_of(kind, pool), str(until)) for pool in _matching(group, close)]
        if tags:
            autoscaling.create_or_update_tags(Tags=tags)
        tags = [_tag(group, spot_pools.tag_of(one, pool)) for one in Kind for pool in _matching(group, open_)]
        if tags:
            autoscaling.delete_tags(Tags=tags)
    if close or open_:
        found = fleet.read(environment)
    rows = [row for group in found.groups for row in _rows(group, found.machines, int(identity["seed"]))]
    if as_json:
        say(json.dumps({"seed": identity["seed"], "pools": rows}, indent=2))
    else:
        _show(rows, float(identity["speed"]), int(identity["seed"]))


def _tag(group: Record, key: str, value: str = "") -> dict[str, Any]:
    kept = {"ResourceId": group["AutoScalingGroupName"], "ResourceType": "auto-scaling-group", "Key": key}
    return kept | {"Value": value, "PropagateAtLaunch": False}


def pools_of(group: Record) -> list[Pool]:
    """Return the pools that a group launches from: its types in its zones."""
    overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    types = launched_types(overrides, sorted({item["InstanceType"] for item in group["Instances"]}))
    return [Pool(name, zone) for zone in group["AvailabilityZones"] for name in types]


def _matching(group: Record, patterns: Sequence[str]) -> list[Pool]:
    pools = pools_of(group)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(str(pool), pattern) for pool in pools):
            known = ", ".join(str(pool) for pool in pools)
            raise Failure(f"There is no pool {pattern!r}. Pools: {known}.")
    return [pool for pool in pools if any(fnmatch.fnmatchcase(str(pool), pattern) for pattern in patterns)]


def _rows(group: Record, machines: Sequence[Machine], seed: int) -> list[dict[str, Any]]:
    closed = spot_pools.closed_pools({tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}, time.time())
    mine = [one for one in machines if one.group == group["AutoScalingGroupName"] and one.running]
    return [
        {
            "pool": str(pool),
            "score": spot_pools.score(seed, pool),
            "closed_until": {kind.value: _moment(closed.get((kind, pool))) for kind in Kind},
            "machines": {
                kind.value: [
                    one.id for one in mine if Pool(one.type, one.zone) == pool and one.spot == (kind is Kind.SPOT)
                ]
                for kind in Kind
            },
        }
        for pool in pools_of(group)
    ]


def _moment(until: float | None) -> str | None:
    return None if until is None else datetime.fromtimestamp(until, UTC).isoformat()


def _show(rows: Sequence[dict[str, Any]], speed: float, seed: int) -> None:
    say(f"{'pool':<24} {'score':>5}  {'Spot':<18} {'on-demand':<18} machines")
    for row in rows:
        states = [_state(row["closed_until"][kind], speed) for kind in (Kind.SPOT, Kind.ON_DEMAND)]
        counts = [f"{len(ids)} {kind}" for kind, ids in row["machines"].items() if ids]
        say(f"{row['pool']:<24} {row['score']:>5}  {states[0]:<18} {states[1]:<18} {', '.join(counts) or '-'}")
    say(f"Scores are drawn by LOCAL_SEED={seed}: AWS publishes none.")


def _state(until: str | None, speed: float) -> str:
    if until is None:
        return "open"
    left = (datetime.fromisoformat(until).timestamp() - time.time()) * speed
    return f"closed, {max(0, left):.0f} s left"
