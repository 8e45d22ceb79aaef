"""The delays: within their ranges, mostly near the typical value, the same again from the same seed."""

import random
import statistics

import pytest

from spotfleet.behaviour import delays
from spotfleet.behaviour.delays import Delay, Mode


@pytest.mark.parametrize("delay", delays.ALL, ids=lambda delay: delay.name)
def test_what_is_drawn_is_within_the_range_and_mostly_near_the_typical_value(delay: Delay) -> None:
    stream = random.Random("1")  # noqa: S311

    values = [delays.drawn(delay, Mode.TYPICAL, stream) for _ in range(2000)]

    assert delay.shortest <= min(values)
    assert max(values) <= delay.longest
    mean = (delay.shortest + delays.WEIGHT * delay.typical + delay.longest) / (delays.WEIGHT + 2)
    assert statistics.mean(values) == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize("delay", delays.ALL, ids=lambda delay: delay.name)
def test_slow_is_the_far_end_and_instant_nothing(delay: Delay) -> None:
    stream = random.Random("1")  # noqa: S311

    assert delays.drawn(delay, Mode.SLOW, stream) == delay.longest
    # A limit that is over at once would give up what nobody has tried.
    assert delays.drawn(delay, Mode.INSTANT, stream) == (delay.typical if delay.is_limit else 0)


def test_an_image_of_90_mebibytes_comes_in_5_seconds() -> None:
    start, each = delays.IMAGE_PULL_START.typical, delays.IMAGE_PULL_MEBIBYTE.typical

    assert delays.image_pull(start, each, 90) == pytest.approx(5)
