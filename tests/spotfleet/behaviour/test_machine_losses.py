"""How a group replaces machines that it lost or is to lose: the worked examples of AWS's rules."""

import pytest

from spotfleet.behaviour import machine_losses
from spotfleet.behaviour.machine_losses import Member, Step


def test_ended_machines_are_replaced_one_at_a_time_until_each_has_passed() -> None:
    lost = ["m1", "m2", "m3", "m4"]
    assert machine_losses.replaced_now(lost, desired=4, pending=0) == ["m1"]
    assert machine_losses.replaced_now(lost[1:], desired=4, pending=1) == []
    assert machine_losses.replaced_now(lost[1:], desired=4, pending=0) == ["m2"]
    assert machine_losses.replaced_now(lost, desired=20, pending=0) == ["m1", "m2"]


def members(*states: str) -> list[Member]:
    """Return members: old, begun (its successor is asked for), new (not in service yet), in-service."""
    return [Member(str(number), state != "new", state == "begun") for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "leaving", "step"),
    [
        # A recommendation: five machines for a moment with a desired capacity and a maximum of four.
        (["old", "old", "old", "old"], ["0"], Step(succeed=("0",))),
        (["begun", "old", "old", "old", "new"], ["0"], Step()),
        (["begun", "old", "old", "old", "in-service"], ["0"], Step(end=("0",))),
        # Without capacity the successor does not come, and the machine stays.
        (["begun", "old", "old", "old"], ["0"], Step()),
        # A second one waits until there is room above the maximum.
        (["old", "old", "old", "old"], ["0", "1"], Step(succeed=("0",))),
        (["begun", "old", "old", "old"], ["0", "1"], Step()),
        (["begun", "old", "old", "old", "in-service"], ["0", "1"], Step(end=("0",))),
        # One that has left meanwhile.
        (["old", "old", "old"], ["9"], Step()),
        # Another machine was lost meanwhile: the successor stands in for that one.
        (["begun", "old", "old", "in-service"], ["0"], Step()),
    ],
)
def test_a_successor_comes_first(states: list[str], leaving: list[str], step: Step) -> None:
    assert machine_losses.launch_first(members(*states), leaving, desired=4, maximum=4) == step


def test_below_the_maximum_all_successors_are_launched_together() -> None:
    step = machine_losses.launch_first(members("old", "old", "old"), ["0", "1", "2"], desired=3, maximum=6)
    assert step == Step(succeed=("0", "1", "2"))
