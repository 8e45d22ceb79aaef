"""Which targets start slowly: rule L9."""

import pytest

from spotfleet.behaviour.slow_start import starts_slowly


@pytest.mark.parametrize(
    ("duration", "warm", "slowly"),
    [(60, 2, True), (60, 1, True), (60, 0, False), (0, 2, False)],
    ids=["two warm ones", "one", "an empty group", "no slow start"],
)
def test_a_target_starts_slowly_beside_warm_ones_only(duration: float, warm: int, slowly: bool) -> None:
    assert starts_slowly(duration, warm) is slowly
