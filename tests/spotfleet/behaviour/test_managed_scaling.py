"""How many machines a capacity provider wants, by the worked examples of rules C1 to C9."""

import math
from typing import Any

import pytest

from spotfleet.behaviour.managed_scaling import Seen, protects_tasks, wanted_machines
from spotfleet.behaviour.placement import Machine, Need, capacity_provider_reservation, machines_needed

QUIET = (50.0,) * 15
TASK = Need(cpu=256, memory=256)
# What is left of 916 and 1901 MiB with 64 reserved: room for 3 and 7 tasks.
MICRO = Machine("new", "", "t3.micro", 2048, 852)
SMALL = Machine("new", "", "t3.small", 2048, 1837)
FULL = Machine("full", "a", "t3.micro", 1280, 84, (TASK,) * 3)


def provider(target: int = 100, **scaling: int) -> dict[str, Any]:
    """Return the description of a capacity provider with managed scaling."""
    return {"autoScalingGroupProvider": {"managedScaling": {"status": "ENABLED", "targetCapacity": target, **scaling}}}


def group(desired: int, least: int = 0, most: int = 9) -> dict[str, int]:
    """Return the description of a group."""
    return {"MinSize": least, "MaxSize": most, "DesiredCapacity": desired}


def above(percent: float = 200.0) -> tuple[float, ...]:
    """Return a metric whose last minute is above the target."""
    return (*QUIET[1:], percent)


def test_machines_are_counted_with_the_largest_type_for_each_group_of_equal_tasks() -> None:
    assert machines_needed([FULL], [TASK] * 4, SMALL, MICRO) == 2
    assert capacity_provider_reservation(2, 1) == 200
    assert wanted_machines(provider(), group(1), Seen(2, above())) == 2
    # The new one was a micro: one task still waits.
    assert machines_needed([FULL, FULL], [TASK], SMALL, MICRO) == 3
    # Two groups, which ECS does not put onto one machine.
    assert machines_needed([], [TASK, Need(cpu=128, memory=128)], SMALL, MICRO) == 2


def test_a_task_that_the_smallest_type_does_not_hold_asks_for_no_machine() -> None:
    assert machines_needed([FULL], [Need(cpu=256, memory=1000)] * 9, SMALL, MICRO) == 1


def test_a_machine_that_still_boots_has_no_task_and_is_not_counted() -> None:
    assert machines_needed([FULL, MICRO], [TASK] * 4, SMALL, MICRO) == 2


@pytest.mark.parametrize(("most", "wanted"), [(4, 2), (1, 1)])
def test_a_scale_out_from_no_machine_begins_with_two_but_within_the_maximum(most: int, wanted: int) -> None:
    assert wanted_machines(provider(), group(0, most=most), Seen(1, above())) == wanted


def test_the_second_machine_goes_when_one_is_enough() -> None:
    assert wanted_machines(provider(), group(2), Seen(1, QUIET, since_scale_out=899)) == 2
    assert wanted_machines(provider(), group(2), Seen(1, QUIET, since_scale_out=900)) == 1


@pytest.mark.parametrize(("youngest", "wanted"), [(119, 2), (120, 4)])
def test_no_machine_is_added_while_one_warms_up(youngest: float, wanted: int) -> None:
    seen = Seen(4, above(), youngest=youngest)
    assert wanted_machines(provider(instanceWarmupPeriod=120), group(2), seen) == wanted


def test_the_warm_up_is_five_minutes_unless_set() -> None:
    assert wanted_machines(provider(), group(1), Seen(2, above(), youngest=299)) == 1
    assert wanted_machines(provider(), group(1), Seen(2, above(), youngest=300)) == 2


def test_a_maximum_step_takes_its_steps_and_a_minimum_one_adds_more_than_needed() -> None:
    sizes, desired = [], 1
    while (more := wanted_machines(provider(maximumScalingStepSize=2), group(desired), Seen(6, above()))) > desired:
        sizes.append(more)
        desired = more
    assert sizes == [3, 5, 6]
    assert wanted_machines(provider(minimumScalingStepSize=2), group(3), Seen(4, above())) == 5


def test_a_quiet_fleet_shrinks_by_less_than_half_each_minute() -> None:
    sizes = [6]
    while (fewer := wanted_machines(provider(), group(sizes[-1]), Seen(1, QUIET))) < sizes[-1]:
        sizes.append(fewer)
    assert sizes == [6, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("reservations", "since"),
    [
        ((None,) * 14 + (50.0,), math.inf),
        ((50.0,) * 7 + (100.0,) + (50.0,) * 7, math.inf),
        ((100.0,) * 15, math.inf),
        (QUIET, 899),
        (QUIET[1:], math.inf),
    ],
)
def test_nothing_goes_before_15_minutes_below_the_target_and_after_a_scale_out(
    reservations: tuple[float | None, ...], since: float
) -> None:
    assert wanted_machines(provider(), group(3), Seen(1, reservations, since_scale_out=since)) == 3


def test_the_size_stays_within_the_groups_bounds() -> None:
    assert wanted_machines(provider(), group(3, most=6), Seen(9, above(300.0))) == 6
    assert wanted_machines(provider(), group(2, least=1), Seen(0, QUIET)) == 1
    assert wanted_machines(provider(minimumScalingStepSize=3), group(3, least=2), Seen(1, QUIET)) == 2


def test_a_target_below_100_keeps_machines_spare_and_grows_with_spread_tasks() -> None:
    assert wanted_machines(provider(80), group(2), Seen(2, above(100.0))) == 3
    assert wanted_machines(provider(80), group(3), Seen(3, above(100.0))) == 4
    assert wanted_machines(provider(80), group(4), Seen(3, (75.0,) * 15)) == 4


def test_only_managed_termination_protection_keeps_tasks_from_moving() -> None:
    protected = {"autoScalingGroupProvider": {"managedTerminationProtection": "ENABLED"}}
    assert protects_tasks(protected)
    assert not protects_tasks(provider())
