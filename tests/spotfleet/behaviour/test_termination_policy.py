"""Which machine leaves a group that shrinks: the worked examples of AWS's default termination policy."""

import random
from dataclasses import replace

import pytest

from spotfleet.behaviour.fleet_mix import Distribution
from spotfleet.behaviour.termination_policy import Candidate, first_to_leave

ALL_SPOT = Distribution(0, 0)


def leaving(members: list[Candidate], distribution: Distribution = ALL_SPOT, seed: int = 1) -> str:
    """Return who leaves."""
    return first_to_leave(members, distribution, random.Random(seed)).id  # noqa: S311


def test_the_fullest_zone_gives_whatever_runs_there() -> None:
    # Two busy machines in zone a, an empty one in b: nobody looks at the tasks.
    members = [Candidate("m1", "a", spot=True), Candidate("m2", "a", spot=True), Candidate("m3", "b", spot=True)]
    assert {leaving(members, seed=seed) for seed in range(20)} == {"m1", "m2"}


def test_the_outdated_one_of_the_fullest_zone_goes() -> None:
    members = [
        Candidate("new", "a", spot=True, version=2),
        Candidate("old", "a", spot=True, version=1),
        Candidate("other", "b", spot=True, version=1),
    ]
    assert leaving(members) == "old"


@pytest.mark.parametrize(("base", "gone"), [(1, "spot"), (0, "on-demand")])
def test_the_kind_above_its_share_goes_first(base: int, gone: str) -> None:
    members = [Candidate("on-demand", "a", spot=False), Candidate("spot", "b", spot=True)]
    assert leaving(members, Distribution(base, 0)) == gone


def test_of_one_zone_the_worst_fit_goes_then_the_oldest_template_then_the_next_billing_hour() -> None:
    one = Candidate("one", "a", spot=True, fits=5, version=2, age=100)
    assert leaving([one, replace(one, id="misfit", fits=4, version=3)]) == "misfit"
    assert leaving([one, replace(one, id="older", version=1)]) == "older"
    assert leaving([one, replace(one, id="billed", age=2 * 3600 - 1)]) == "billed"
