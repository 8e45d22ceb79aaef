"""Of what kind and in which zone a group launches: the worked examples of AWS's rules."""

import pytest

from spotfleet.behaviour import fleet_mix
from spotfleet.behaviour.fleet_mix import Distribution


@pytest.mark.parametrize(
    ("base", "percent", "total", "on_demand"),
    [(12, 0, 20, 12), (1, 25, 6, 3), (1, 0, 6, 1), (2, 0, 1, 1), (0, 100, 3, 3)],
)
def test_base_and_share_are_on_demand(base: int, percent: int, total: int, on_demand: int) -> None:
    assert Distribution(base, percent).on_demand(total) == on_demand


@pytest.mark.parametrize(
    ("distribution", "present", "missing", "launched"),
    [
        (Distribution(1, 0), (0, 0), 4, (1, 3)),
        (Distribution(0, 50), (0, 0), 4, (2, 2)),
        (Distribution(1, 100), (0, 0), 4, (4, 0)),
        (Distribution(1, 25), (0, 0), 6, (3, 3)),
        (Distribution(1, 0), (1, 2), 1, (0, 1)),
        # The on-demand machine that goes later still counts: its successor is Spot. The next launch fills the base.
        (Distribution(1, 0), (1, 0), 1, (0, 1)),
        (Distribution(1, 0), (0, 1), 1, (1, 0)),
        # More on-demand than their share, after a change of the settings.
        (Distribution(1, 0), (3, 0), 1, (0, 1)),
    ],
)
def test_the_kind_is_decided_at_the_launch(
    distribution: Distribution, present: tuple[int, int], missing: int, launched: tuple[int, int]
) -> None:
    assert fleet_mix.launches(distribution, *present, missing) == launched


@pytest.mark.parametrize(
    ("distribution", "on_demand", "spot", "leaves"),
    [
        (Distribution(1, 0), 1, 3, True),
        (Distribution(1, 0), 2, 1, False),
        (Distribution(1, 25), 3, 3, False),
        (Distribution(1, 25), 2, 3, True),
        (Distribution(1, 0), 1, 0, False),
        (Distribution(1, 0), 0, 2, True),
    ],
)
def test_the_kind_above_its_share_leaves(distribution: Distribution, on_demand: int, spot: int, leaves: bool) -> None:
    assert fleet_mix.is_spot_to_leave(distribution, on_demand, spot) is leaves


def test_a_group_says_how_it_mixes() -> None:
    policy = {"InstancesDistribution": {"OnDemandBaseCapacity": "2", "OnDemandPercentageAboveBaseCapacity": 0}}
    assert fleet_mix.distribution_of({"MixedInstancesPolicy": policy}) == Distribution(2, 0)
    assert fleet_mix.distribution_of({}) == Distribution(0, 100)


def test_the_zone_with_fewest_is_first() -> None:
    assert fleet_mix.zones_by_members(["a", "b", "c"], ["a", "a", "c"]) == ["b", "c", "a"]
    assert fleet_mix.zones_by_members(["a", "b"], []) == ["a", "b"]


@pytest.mark.parametrize(
    ("members", "launchable", "zone"),
    [
        ({"a": 3, "b": 1}, ["a", "b"], "a"),
        ({"a": 2, "b": 1}, ["a", "b"], None),
        ({"a": 2, "b": 0, "c": 1}, ["a", "b", "c"], "a"),
        # Nothing can come into the empty zone.
        ({"a": 3, "b": 0}, ["a"], None),
        ({"a": 3, "b": 0}, [], None),
        ({}, ["a"], None),
    ],
)
def test_uneven_zones_are_balanced(members: dict[str, int], launchable: list[str], zone: str | None) -> None:
    if members:
        assert fleet_mix.zone_to_relieve(members, launchable) == zone
    else:
        assert fleet_mix.zone_to_relieve({"a": 0}, launchable) is None


@pytest.mark.parametrize(("size", "more"), [(0, 1), (4, 1), (10, 1), (20, 2), (29, 2)])
def test_a_tenth_and_one_at_least(size: int, more: int) -> None:
    assert fleet_mix.margin(size) == more
