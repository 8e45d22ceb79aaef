"""LOCAL_DELAYS and LOCAL_SEED: which delays a rehearsal has, and what a wrong one says."""

import pytest

from spotfleet.behaviour.delays import BOOT, LOSS_NOTICED, Mode
from spotfleet.local.host import delays
from spotfleet.local.host.console import Failure


def test_the_same_seed_draws_the_same_for_what_occurs_in_the_same_order() -> None:
    first, second = delays.Draws(Mode.TYPICAL, 7), delays.Draws(Mode.TYPICAL, 7)

    drawn = [first.of(BOOT, "i-1"), first.of(BOOT, "i-2"), first.of(LOSS_NOTICED, "i-1")]
    # Another delay in between, and other names, change nothing.
    again = [second.of(LOSS_NOTICED, "i-8"), second.of(BOOT, "i-9"), second.of(BOOT, "i-7")]

    assert [again[1], again[2], again[0]] == drawn
    assert drawn[0] != drawn[1]


def test_an_occurrence_keeps_its_delay() -> None:
    draws = delays.Draws(Mode.TYPICAL, 7)

    assert draws.of(BOOT, "i-1") == draws.of(BOOT, "i-1")


def test_another_seed_draws_something_else() -> None:
    assert delays.Draws(Mode.TYPICAL, 7).of(BOOT, "i-1") != delays.Draws(Mode.TYPICAL, 8).of(BOOT, "i-1")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOCAL_DELAYS", "fast", "LOCAL_DELAYS is 'fast': give typical, or slow for the far end of each range."),
        ("LOCAL_SEED", "-1", "LOCAL_SEED is '-1': give a number from 0 to 999999."),
        ("LOCAL_SEED", "x", "LOCAL_SEED is 'x': give a number from 0 to 999999."),
    ],
)
def test_a_wrong_value_is_said(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(Failure) as failure:
        delays.of(BOOT, "i-1")

    assert str(failure.value) == said


def test_a_seed_that_is_not_given_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_SEED", raising=False)
    monkeypatch.setenv("LOCAL_DELAYS", "typical")

    assert delays.seed() == delays.seed()
    assert str(delays.seed()) in delays.label()


def test_slow_and_instant_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DELAYS", "slow")
    assert delays.of(BOOT, "i-1") == BOOT.longest
    assert "slow" in delays.label()
    monkeypatch.setenv("LOCAL_DELAYS", "instant")
    assert "no rehearsal" in delays.label()
