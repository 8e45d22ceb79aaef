"""What is shown beside figures: how fast AWS's times pass, and which of its delays there are."""

from collections.abc import Callable

import pytest

from spotfleet.cli import launch
from spotfleet.local.api import embedded_aws
from spotfleet.local.balancer import ports
from spotfleet.local.daemon import process, server
from spotfleet.local.host import rehearsal
from spotfleet.local.host.console import Failure
from spotfleet.local.host.rehearsal import Rehearsal

FAST = "AWS's times, 10 times faster (LOCAL_SPEED=10; real with LOCAL_SPEED=1)"


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (Rehearsal(10, "typical", 7), f"{FAST}; AWS's typical delays (LOCAL_SEED=7 repeats them)"),
        (Rehearsal(1, "slow", 7), "AWS's times, real; AWS's longest delays (LOCAL_DELAYS=slow)"),
        (Rehearsal(10, "instant", 7), f"{FAST}; without AWS's delays: a test, no rehearsal"),
    ],
)
def test_a_label_names_speed_and_delays(given: Rehearsal, label: str) -> None:
    assert given.label == label


def test_what_an_embedded_aws_tells_of_itself_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "20")
    monkeypatch.setenv("LOCAL_DELAYS", "slow")
    monkeypatch.setenv("LOCAL_SEED", "12")
    assert rehearsal.told(rehearsal.own().as_json()) == rehearsal.own() == Rehearsal(20, "slow", 12)
    assert rehearsal.told({"speed": 10}).label == f"{FAST}; without AWS's delays: a test, no rehearsal"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOCAL_SPEED", "0", "LOCAL_SPEED is '0': give a number from 1 "),
        ("LOCAL_DELAYS", "fast", "LOCAL_DELAYS is 'fast': give typical, or slow for "),
        ("LOCAL_SEED", "-1", "LOCAL_SEED is '-1': give a number from 0 to "),
    ],
)
def test_a_wrong_value_ends_before_anything_starts(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(ports, "require_numbers", lambda: None)
    monkeypatch.setattr(launch, "_require_machine", lambda _name: pytest.fail("nothing is done before"))
    monkeypatch.setattr(server, "require_free_port", lambda: None)
    up: Callable[[str], None] | None = launch.up.callback
    assert up is not None
    with pytest.raises(Failure, match=f"^{said}"):
        up("dev")
    with pytest.raises(Failure, match=f"^{said}"):
        server.serve()
    assert capsys.readouterr().out == ""


def test_another_value_than_that_of_the_one_that_runs_is_mentioned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded_aws, "find", lambda: {"speed": 10.0, "delays": "typical", "seed": 7})
    monkeypatch.setenv("LOCAL_SPEED", "10")
    monkeypatch.setenv("LOCAL_DELAYS", "slow")
    monkeypatch.delenv("LOCAL_SEED", raising=False)
    process.start()
    monkeypatch.setenv("LOCAL_SEED", "8")
    process.start()

    said = capsys.readouterr().out
    assert said.count("LOCAL_SEED=7 repeats them") == said.count("Another LOCAL_DELAYS takes effect") == 2
    assert said.count("Another LOCAL_SEED takes effect when it starts again.") == 1
    assert "Another LOCAL_SPEED" not in said
