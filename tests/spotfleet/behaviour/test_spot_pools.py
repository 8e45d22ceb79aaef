"""From which pool a group launches, and what happens without capacity: the worked examples of AWS's rules."""

from itertools import accumulate

import pytest

from spotfleet.behaviour import fleet_mix, spot_pools
from spotfleet.behaviour.spot_pools import Kind, Pool

TYPES = ["t3.micro", "t3a.micro", "t3.small"]
ZONES = ["eu-west-1a", "eu-west-1b"]
SCORES = {"t3a.micro": 9.0, "t3.small": 5.0, "t3.micro": 3.0}


def score_of(pool: Pool) -> float:
    """Return the score of the worked example."""
    return SCORES[pool.type]


def launch(kind: Kind, count: int, *closed: str) -> list[str]:
    """Return the pools of so many launches, one after the other, while some are closed."""
    made: list[Pool] = []
    for _ in range(count):
        zones = fleet_mix.zones_by_members(ZONES, [pool.zone for pool in made])
        pool = spot_pools.chosen(kind, TYPES, zones, score_of, lambda _kind, pool: str(pool) not in closed)
        if pool:
            made.append(pool)
    return [str(pool) for pool in made]


def test_spot_machines_are_all_of_the_best_pool() -> None:
    made = launch(Kind.SPOT, 4)
    assert made == ["t3a.micro/eu-west-1a", "t3a.micro/eu-west-1b"] * 2


def test_on_demand_machines_are_of_the_first_type_with_capacity() -> None:
    assert launch(Kind.ON_DEMAND, 2) == ["t3.micro/eu-west-1a", "t3.micro/eu-west-1b"]
    assert launch(Kind.ON_DEMAND, 1, "t3.micro/eu-west-1a") == ["t3a.micro/eu-west-1a"]


def test_a_closed_pool_leads_to_the_next_one_then_to_another_zone_then_nowhere() -> None:
    closed = ["t3a.micro/eu-west-1a"]
    assert launch(Kind.SPOT, 1, *closed) == ["t3.small/eu-west-1a"]
    closed += ["t3.small/eu-west-1a", "t3.micro/eu-west-1a"]
    assert launch(Kind.SPOT, 2, *closed) == ["t3a.micro/eu-west-1b"] * 2
    assert launch(Kind.SPOT, 1, *closed, *(f"{name}/eu-west-1b" for name in TYPES)) == []


def test_scores_are_of_the_seed() -> None:
    pools = [Pool(name, zone) for name in TYPES for zone in ZONES]
    first = [spot_pools.score(1, pool) for pool in pools]
    assert first == [spot_pools.score(1, pool) for pool in pools]
    assert first != [spot_pools.score(2, pool) for pool in pools]
    assert all(spot_pools.WORST <= value <= spot_pools.BEST for value in first)
    assert len(set(first)) > 1


def test_a_machine_fits_by_its_pool_and_not_at_all_when_its_type_is_dropped() -> None:
    best, worst, dropped = (Pool(name, "eu-west-1a") for name in ("t3a.micro", "t3.micro", "m5.large"))
    spot = [spot_pools.fits(Kind.SPOT, pool, TYPES, score_of) for pool in (dropped, worst, best)]
    assert spot == sorted(spot)
    on_demand = [spot_pools.fits(Kind.ON_DEMAND, pool, TYPES, score_of) for pool in (dropped, best, worst)]
    assert on_demand == sorted(on_demand)


def test_failed_launches_are_tried_at_growing_distances() -> None:
    distances = [spot_pools.retry_after(number) for number in range(1, 7)]
    assert distances == [60, 120, 240, 300, 300, 300]
    # Closed for 600 s from the loss on: the first try that succeeds.
    assert next(moment for moment in accumulate(distances) if moment >= 600) == 720


def test_a_failed_launch_says_it_in_awss_words() -> None:
    text = spot_pools.no_capacity(Kind.SPOT, TYPES, ZONES)
    assert "There is no Spot capacity available that matches your request" in text
    assert "sufficient t3.micro capacity in the Availability Zone you requested (eu-west-1a)" in spot_pools.no_capacity(
        Kind.ON_DEMAND, TYPES[:1], ZONES[:1]
    )


def test_a_tag_closes_a_pool_for_a_while() -> None:
    pool = Pool("t3.micro", "eu-west-1a")
    tags = {spot_pools.tag_of(Kind.SPOT, pool): "600.0", "Name": "machines"}
    assert spot_pools.closed_pools(tags, 599.0) == {(Kind.SPOT, pool): 600.0}
    assert spot_pools.closed_pools(tags, 600.0) == {}


@pytest.mark.parametrize("name", ["t3.micro", "t3.micro/eu-west-1", "eu-west-1a/t3.micro", "t3.micro/eu-west-1a/"])
def test_what_is_no_pool_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no pool: give a type and a zone, such as t3\.micro/eu-west-1a"):
        spot_pools.pool_named(name)
    assert spot_pools.pool_named("m5.large/us-gov-west-1b") == Pool("m5.large", "us-gov-west-1b")
