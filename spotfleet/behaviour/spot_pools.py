"""Pools of capacity, a type in a zone each, and which of them a group launches from: decisions only.

Allocation (rule G5): https://docs.aws.amazon.com/autoscaling/ec2/userguide/allocation-strategies.html
Without capacity (rule G9): https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

# A pool's score for price-capacity-optimized, AWS's mix of capacity and price, from worst to best. AWS publishes none;
# its Spot placement scores have the same range.
WORST, BEST = 1, 10

NAME = re.compile(r"(?P<type>[a-z0-9-]+\.[a-z0-9-]+)/(?P<zone>[a-z]{2}(-[a-z]+)+-\d[a-z])")

# After how many of AWS's seconds a group tries a failed launch again; the last one stays. An estimate (rule G9): users
# tell of minutes to hours.
RETRIES = (60, 120, 240, 300)

# The tag by which `spotfleet capacity` closes a pool for a group: kind and pool follow, the value says until when.
CLOSED_TAG = "spotfleet:closed:"


class Kind(StrEnum):
    """How a machine is bought."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class Pool(NamedTuple):
    """The capacity of a type in a zone."""

    type: str
    zone: str

    def __str__(self) -> str:
        return f"{self.type}/{self.zone}"


def pool_named(text: str) -> Pool:
    """Return the pool of a name such as t3.micro/eu-west-1a; ValueError when it is none."""
    match = NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no pool: give a type and a zone, such as t3.micro/eu-west-1a")
    return Pool(match["type"], match["zone"])


def score(seed: int, pool: Pool) -> float:
    """Return the score of a pool in the rehearsal of this seed, the same each time."""
    stream = random.Random(f"{seed}/score/{pool}")  # noqa: S311  # nothing is kept secret by it
    return round(stream.uniform(WORST, BEST), 1)


def chosen(
    kind: Kind,
    types: Sequence[str],
    zones: Iterable[str],
    score_of: Callable[[Pool], float],
    is_open: Callable[[Kind, Pool], bool],
) -> Pool | None:
    """Return the pool that a machine is launched from, or None where no pool has capacity.

    `zones` come in the order in which they are tried, `types` in that of the group. On-demand machines are of the first
    type that has capacity (prioritized; lowest-price where the types come cheapest first); Spot machines of the zone's
    best pool, whatever the order (price-capacity-optimized). Nothing is rotated.
    """
    for zone in zones:
        pools = [pool for name in types if is_open(kind, pool := Pool(name, zone))]
        if pools:
            return max(pools, key=score_of) if kind is Kind.SPOT else pools[0]
    return None


def fits(kind: Kind, pool: Pool, types: Sequence[str], score_of: Callable[[Pool], float]) -> float:
    """Return how well a machine fits what its group would launch today; the lowest leaves first."""
    if pool.type not in types:
        return -len(types) - 1.0
    return score_of(pool) if kind is Kind.SPOT else -float(types.index(pool.type))


def retry_after(failures: int) -> int:
    """Return the AWS seconds from the last of so many failed launches to the next try."""
    return RETRIES[min(failures, len(RETRIES)) - 1]


def no_capacity(kind: Kind, types: Sequence[str], zones: Sequence[str]) -> str:
    """Return what AWS says of a launch that no pool had capacity for."""
    if kind is Kind.SPOT:
        return (
            "Could not launch Spot Instances. UnfulfillableCapacity - There is no Spot capacity available that matches "
            "your request. Launching EC2 instance failed."
        )
    return (
        "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient "
        f"{', '.join(types)} capacity in the Availability Zone you requested ({', '.join(zones)}). Our system will be "
        "working on provisioning additional capacity. Launching EC2 instance failed."
    )


def tag_of(kind: Kind, pool: Pool) -> str:
    """Return the tag that closes a pool for machines of a kind."""
    return f"{CLOSED_TAG}{kind}:{pool}"


def closed_pools(tags: Mapping[str, str], now: float) -> dict[tuple[Kind, Pool], float]:
    """Return which pools a group's tags close at a moment, and until when; moments are seconds since 1970."""
    found = {}
    for key, value in tags.items():
        if key.startswith(CLOSED_TAG) and float(value) > now:
            kind, _, name = key.removeprefix(CLOSED_TAG).partition(":")
            found[Kind(kind), pool_named(name)] = float(value)
    return found
