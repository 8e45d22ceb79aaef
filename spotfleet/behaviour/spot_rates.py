"""How often AWS takes Spot machines back, by the frequencies that it publishes: what one day does to a fleet.

AWS publishes shares per type and month, and takes capacity by pools, a type in a zone each, so that neighbours often go
together (rule S4). Each by itself is the kindest reading of a share, each pool at once the harshest.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from spotfleet.behaviour.spot_pools import Pool

# The upper end of the share of machines that AWS took back in a month, in eu-west-1, July 2025:
# https://aws.amazon.com/ec2/spot/instance-advisor/
MONTHLY_SHARES = {"t3.micro": 0.10, "t3a.micro": 0.10, "t3.small": 0.05, "t4g.micro": 0.25}
# AWS's average over all types and regions, for a type that is not listed.
AVERAGE_SHARE = 0.05
DAYS_OF_MONTH = 30
# The share of the days that are no worse than what is called a bad one.
BAD_DAY = 0.99


def daily_share(name: str) -> float:
    """Return the chance that AWS takes a Spot machine of a type back on one day."""
    staying = 1 - MONTHLY_SHARES.get(name, AVERAGE_SHARE)
    return 1 - math.pow(staying, 1 / DAYS_OF_MONTH)


def day(pools: Sequence[Pool]) -> dict[str, Any]:
    """Return what one day does to Spot machines, each given by its pool.

    `monthly` is the upper end of the published range and `daily` what it means for one day. `each` is for machines that
    are taken independently of each other, `together` for whole pools at once: `bad_day` is the number of machines that
    99 of 100 days do not exceed, and `several` the chance of two or more on a day.
    """
    types = sorted({pool.type for pool in pools})
    sizes = Counter(pools)
    each = _days([(1, daily_share(pool.type)) for pool in pools])
    together = _days([(count, daily_share(pool.type)) for pool, count in sizes.items()])
    return {
        "types": [
            {
                "type": name,
                "machines": sum(pool.type == name for pool in pools),
                "monthly": MONTHLY_SHARES.get(name, AVERAGE_SHARE),
                "daily": daily_share(name),
                "published": name in MONTHLY_SHARES,
            }
            for name in types
        ],
        "pools": [
            {"pool": str(pool), "machines": count, "daily": daily_share(pool.type)}
            for pool, count in sorted(sizes.items())
        ],
        "expected": sum(daily_share(pool.type) for pool in pools),
        "each": {"bad_day": most_on(each, BAD_DAY), "several": sum(each[2:])},
        "together": {"bad_day": most_on(together, BAD_DAY), "several": sum(together[2:])},
    }


def _days(events: Sequence[tuple[int, float]]) -> list[float]:
    """Return, by the number of machines lost, what share of the days loses so many; events take several at once."""
    days = [1.0]
    for count, chance in events:
        without, with_it = [*days, *[0.0] * count], [*[0.0] * count, *days]
        days = [stays * (1 - chance) + comes * chance for stays, comes in zip(without, with_it, strict=True)]
    return days


def most_on(days: Sequence[float], share: float) -> int:
    """Return the number that this share of all days does not exceed; `days` has the share of each number."""
    return next((number for number, upto in enumerate(accumulate(days)) if upto >= share), len(days) - 1)
