"""What a day of Spot interruptions does: the worked example of AWS's rates, and arithmetic."""

import pytest

from spotfleet.behaviour import spot_rates
from spotfleet.behaviour.spot_pools import Pool

POOL = Pool("t3.micro", "eu-west-1a")


def test_a_whole_pool_at_once_is_much_worse_than_its_machines_one_by_one() -> None:
    forecast = spot_rates.day([POOL] * 4)
    assert forecast["pools"] == [
        {"pool": "t3.micro/eu-west-1a", "machines": 4, "daily": pytest.approx(0.00351, abs=5e-6)}
    ]
    assert forecast["each"]["several"] == pytest.approx(0.000074, abs=1e-6)
    assert forecast["together"]["several"] == pytest.approx(0.00351, abs=5e-6)
    assert forecast["together"]["several"] / forecast["each"]["several"] == pytest.approx(47, abs=1)
    assert forecast["expected"] == pytest.approx(4 * 0.00351, abs=2e-5)


def test_a_day_follows_the_published_frequencies() -> None:
    pools = [POOL] * 100 + [Pool("t3.small", "eu-west-1b")] * 100 + [Pool("x9.huge", "eu-west-1a")]
    forecast = spot_rates.day(pools)
    assert [(row["type"], row["machines"], row["published"]) for row in forecast["types"]] == [
        ("t3.micro", 100, True),
        ("t3.small", 100, True),
        ("x9.huge", 1, False),
    ]
    # A tenth and a twentieth of 100 machines in 30 days, a little more than a thirtieth of that in one.
    assert forecast["expected"] == pytest.approx(0.35 + 0.17, abs=0.01)
    assert forecast["each"]["bad_day"] == 3
    nothing = {"bad_day": 0, "several": 0}
    assert spot_rates.day([]) == {"types": [], "pools": [], "expected": 0, "each": nothing, "together": nothing}


@pytest.mark.parametrize(("share", "number"), [(0.25, 0), (0.26, 1), (0.75, 1), (0.76, 2), (1, 2)])
def test_two_coins_show_so_many_heads_at_most(share: float, number: int) -> None:
    assert spot_rates.most_on([0.25, 0.5, 0.25], share) == number
