"""How CloudFormation's rolling update replaces machines, by the worked example of rule F4."""

from dataclasses import replace

import pytest

from spotfleet.behaviour import template_text
from spotfleet.behaviour.rolling_update import (
    Member,
    Policy,
    Step,
    longest_wait,
    next_step,
    policy_in,
    problem,
    refusal,
)

POLICY = Policy(keep=2, batch=1, pause=120)


@pytest.mark.parametrize(
    ("ages", "desired", "most", "step"),
    [
        # Age of each machine in seconds; an outdated one's is negative.
        ([-900, -800], 2, 2, Step(replace=("0",))),
        ([-800, -900], 2, 4, Step(capacity=3)),
        ([-800, -900, 119], 3, 4, Step()),
        ([-800, -900, 120], 3, 4, Step(end=("1",))),
        ([-800, 500], 3, 4, Step()),
        ([-800, 500, 400], 3, 4, Step(end=("0",))),
        ([500, 400, 300], 3, 4, Step()),
    ],
)
def test_a_roll_keeps_machines_in_service(ages: list[int], desired: int, most: int, step: Step) -> None:
    members = [Member(str(n), abs(age), current=age > 0) for n, age in enumerate(ages)]
    assert next_step(members, POLICY, desired, most, 2) == step


SIGNALS = Policy(keep=1, batch=1, pause=900, signals=True)


@pytest.mark.parametrize(
    ("members", "step"),
    [
        # The new machine is there for five minutes, but its agent has not joined.
        ([("old", 999, False, None), ("new", 300, True, None)], Step()),
        ([("old", 999, False, None), ("new", 20, True, True)], Step(replace=("old",))),
        ([("new", 20, True, True), ("newer", 10, True, True)], Step()),
        # It says itself that it cannot do, or says nothing in its time.
        ([("old", 999, False, None), ("new", 20, True, False)], Step()),
        ([("old", 999, False, None), ("new", 900, True, None)], Step()),
    ],
)
def test_a_roll_with_signals_goes_on_when_the_new_machine_has_signalled(
    members: list[tuple[str, int, bool, bool | None]], step: Step
) -> None:
    found = [Member(name, age, current, signalled, age) for name, age, current, signalled in members]
    assert next_step(found, SIGNALS, 2, 4, 2) == step


def test_machines_may_fail_as_far_as_the_percentage_lets_them() -> None:
    """Rule F5: of five machines with 50 percent three must signal."""
    half = replace(SIGNALS, successful_percent=50)
    old = [Member(f"old-{number}", 999, current=False) for number in range(3)]
    failed = [Member("late", 900, True, None, 900), Member("bad", 100, True, False, 100)]
    assert next_step([*old, *failed], half, 5, 6, 5).replace == ("old-0",)
    third = [*old[1:], *failed, Member("worse", 100, True, False, 100)]
    assert next_step(third, half, 5, 6, 5) == Step()
    requirement = "Unable to satisfy 50% MinSuccessfulInstancesPercent requirement"
    assert refusal(half, 5, 3) == f"Received 3 FAILURE signal(s) out of 5. {requirement}"
    assert not refusal(half, 5, 2)
    assert not refusal(POLICY, 5, 5)


GROUP = """
Resources:
  Group:
    UpdatePolicy:
      AutoScalingRollingUpdate:
        WaitOnResourceSignals: true
        PauseTime: !Ref Pause
        MinSuccessfulInstancesPercent: 75
        SuspendProcesses: [HealthCheck, AZRebalance]
  Bare:
    UpdatePolicy:
      AutoScalingRollingUpdate: {WaitOnResourceSignals: true}
"""


def test_a_template_tells_how_its_machines_signal() -> None:
    template = template_text.read(GROUP)
    told = policy_in(template, "Group", {"Pause": "PT15M"})
    assert told == Policy(0, 1, 900, signals=True, successful_percent=75, suspended=("HealthCheck", "AZRebalance"))
    assert policy_in(template, "Bare", {}) == Policy(0, 1, 300, signals=True)
    with pytest.raises(ValueError, match=r"PauseTime \(PT2H\) must be at most PT1H"):
        policy_in(template, "Group", {"Pause": "PT2H"})


def test_three_machines_are_rolled_by_three_launches_and_end_as_three() -> None:
    policy = Policy(keep=3, batch=1, pause=120)
    members = [Member(f"old-{number}", 999, current=False) for number in range(3)]
    sizes, desired = [3], 3
    while (step := next_step(members, policy, desired, 6, 3)) != Step():
        if step.capacity is not None:
            launched = step.capacity - desired
            members += [Member(f"new-{len(sizes)}-{number}", 120, current=True) for number in range(launched)]
            desired = step.capacity
        assert step.replace == ()
        members = [item for item in members if item.id not in step.end]
        desired -= len(step.end)
        sizes.append(len(members))
    assert sizes == [3, 4, 3, 4, 3, 4, 3]
    assert all(item.current for item in members)


def test_what_scaling_adds_during_a_roll_stays() -> None:
    members = [Member("old", 999, current=False), *(Member(f"new-{number}", 120, current=True) for number in range(4))]
    assert next_step(members, POLICY, desired=5, most=6, before=2) == Step(end=("old",))
    both = [Member("old-2", 998, current=False), *members]
    assert next_step(both, Policy(keep=2, batch=2, pause=120), desired=3, most=6, before=2).replace == ("old-2",)


def test_the_minimum_in_service_must_be_below_the_maximum() -> None:
    assert problem(Policy(keep=3, batch=1, pause=0), most=3)
    assert not problem(Policy(keep=2, batch=1, pause=0), most=3)


def test_with_signals_the_pause_is_how_long_a_machine_may_take() -> None:
    assert longest_wait(SIGNALS) == 900
    assert longest_wait(POLICY) == 3600
