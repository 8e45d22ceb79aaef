"""Which machine leaves a group that shrinks, by AWS's default termination policy: decisions only.

Rule G6: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
Tasks are not looked at: managed draining moves them.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spotfleet.behaviour.fleet_mix import Distribution, is_spot_to_leave

BILLING_HOUR = 3600


@dataclass(frozen=True)
class Candidate:
    """A machine that may leave: how well it fits the allocation strategy, its launch template's version, its age.

    `age` is in AWS's seconds.
    """

    id: str
    zone: str
    spot: bool
    fits: float = 0
    version: int = 1
    age: float = 0


def first_to_leave(members: Sequence[Candidate], distribution: Distribution, stream: random.Random) -> Candidate:
    """Return the member that leaves: of the kind above its share, from the fullest zone that has one.

    Of several there: the one that fits the allocation strategy least, then the oldest launch template, then the one
    that is nearest to its next billing hour, then any.
    """
    on_demand = sum(not item.spot for item in members)
    spot = is_spot_to_leave(distribution, on_demand, len(members) - on_demand)
    of_kind = [item for item in members if item.spot == spot]
    sizes = Counter(item.zone for item in members)
    most = max(sizes[item.zone] for item in of_kind)
    there = [item for item in of_kind if sizes[item.zone] == most]

    def order(item: Candidate) -> tuple[float, int, float]:
        return item.fits, item.version, BILLING_HOUR - item.age % BILLING_HOUR

    first = min(map(order, there))
    return stream.choice([item for item in there if order(item) == first])
