"""Which targets start slowly: rule L9."""

import pytest

from spotfleet.behaviour.slow_start import share, starts_slowly


@pytest.mark.parametrize(
    ("duration", "warm", "slowly"),
    [(60, 2, True), (60, 1, True), (60, 0, False), (0, 2, False)],
    ids=["two warm ones", "one", "an empty group", "no slow start"],
)
def test_a_target_starts_slowly_beside_warm_ones_only(duration: float, warm: int, slowly: bool) -> None:
    assert starts_slowly(duration, warm) is slowly


@pytest.mark.parametrize(("elapsed", "of_a_warm_one"), [(0, 0), (30, 0.5), (60, 1), (90, 1)])
def test_a_target_gets_half_of_its_share_halfway(elapsed: float, of_a_warm_one: float) -> None:
    assert share(elapsed, 60) == of_a_warm_one


def test_without_a_slow_start_a_target_gets_all_at_once() -> None:
    assert share(0, 0) == 1
