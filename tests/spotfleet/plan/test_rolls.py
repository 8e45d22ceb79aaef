"""What rolls, how long, and whether it fits: worked examples, and what must hold whatever the settings."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotfleet.behaviour import delays
from spotfleet.behaviour.fleet_mix import Distribution
from spotfleet.behaviour.placement import Need
from spotfleet.plan import changes, rolls
from spotfleet.plan.fleet import Group, Service, group_of, services_of
from spotfleet.plan.moving import Pace
from spotfleet.plan.rolls import MACHINES, TASKS, Roll
from spotfleet.plan.simulation import Simulation
from tests.support.planned import configuration, with_services

SIZES = {"small": (1024, 1000), "large": (2048, 4000)}


def group(most: int = 4, **others: Any) -> Group:  # noqa: ANN401  # a group's fields
    """Return a group of one machine of 1,000 MiB, on demand, that managed scaling lets grow."""
    given_: dict[str, Any] = {
        **{"least": 1, "most": most, "distribution": Distribution(1, 0), "zones": ("a", "b"), "types": ("small",)},
        **{"sizes": SIZES, "warmup": 120.0, "managed": True, "target_percent": 100, "refreshes": True},
    }
    return Group(**given_ | others)


def service(desired: int, minimum: int = 100, maximum: int = 200, memory: int = 250, **others: Any) -> Service:  # noqa: ANN401
    """Return a service whose tasks need a quarter of a machine, and are gone 30 s after they are told to stop."""
    given_: dict[str, Any] = {"interval": 10.0, "deregistration": 30.0, "stop": (0.0, 30.0)} | others
    return Service("web", desired, Need(128, memory, group="web"), minimum, maximum, **given_)


def rolled(group_: Group, service_: Service, what: str = TASKS, pace: Pace = Pace.TYPICAL) -> Simulation:
    """Return a simulation of a roll at its end."""
    run = Simulation(group_, [service_], pace)
    run.begin()
    if what == TASKS:
        run.roll_tasks(["web"])
    else:
        run.roll_machines()
    run.run()
    return run


def test_a_deployment_takes_a_round_for_each_task_that_the_maximum_lets_start() -> None:
    # Rule E1: 4 tasks, 100 to 125 %: one more at a time, so four rounds, each of a start and a deregistration.
    four = rolled(group(most=8, least=2), service(4, 100, 125))
    sums = [sum(moment.tasks["web"]) for moment in four.moments]
    assert max(sums) == 5
    assert min(moment.serving["web"] for moment in four.moments) == 4
    two_at_a_time = rolled(group(most=8, least=2), service(4, 100, 150))
    assert four.done
    assert two_at_a_time.done
    late = delays.SCHEDULER.typical
    # A start, its noticing, deregistration, and the noticing of its end.
    assert four.done >= 4 * (30 + 2 * late)
    assert two_at_a_time.done < 0.7 * four.done


def test_old_tasks_leave_as_new_ones_become_healthy() -> None:
    # Rule E2: serving never above the count and what the scheduler has not noticed yet.
    run = rolled(group(most=8), service(3))
    last = run.moments[-1]
    assert last.tasks["web"] == (0, 3)
    assert min(moment.serving["web"] for moment in run.moments) == 3


def test_a_refresh_goes_one_machine_after_the_other_each_after_its_successor() -> None:
    # Rule F7 at 100 and 100 %.
    run = rolled(group(most=6, least=4), service(4), MACHINES)
    counts = [moment.machines for moment in run.moments]
    assert max(counts) == 5
    assert min(counts) == 4
    each = delays.BOOT.typical + 120
    assert run.done
    assert run.done >= 4 * each
    assert all(not machine.outdated for machine in run.machines.values())


def test_a_rolling_update_grows_by_one_and_ends_with_as_many() -> None:
    # Rule F4: 3 machines, minimum 3, batch 1, maximum 6: three launches, sizes 3-4-3-4-3-4-3.
    run = rolled(group(most=6, least=3, refreshes=False), service(3), MACHINES)
    assert run.desired == 3
    assert max(moment.machines for moment in run.moments) == 4
    assert not run.stuck


def test_a_full_fleet_that_may_not_grow_stands_still_and_names_what_would_do() -> None:
    full, four = group(most=1), service(4)
    run = rolled(full, four)
    assert run.stuck
    assert rolls.standing(run).endswith("find no room on 1 machines (RESOURCE:MEMORY)")
    assert rolls._smallest_change(None, full, [four], False, TASKS, ["web"]) == "max_machines: 2"
    # Where tasks may leave first it goes on within the same machine.
    assert not rolled(full, service(4, minimum=50)).stuck


def test_scaling_by_cpu_adds_no_machine_for_a_task_that_waits() -> None:
    by_cpu = group(most=4, managed=False)
    assert rolled(by_cpu, service(4)).stuck
    assert rolls._smallest_change(None, by_cpu, [service(4)], False, TASKS, ["web"]) == "min_machines: 2"


def test_one_task_that_must_leave_first_leaves_requests_unanswered() -> None:
    run = rolled(group(), service(1, 0, 150))
    assert rolls.unserved(run.moments, ["web"]) > 30
    assert rolls.unserved(rolled(group(), service(1)).moments, ["web"]) == 0


def planned(full: bool, what: str, **changed: Any) -> Roll:  # noqa: ANN401  # values of settings
    """Return a roll of dev with other settings."""
    before, after = configuration(), configuration(**changed)
    assert after.settings
    found = rolls.of(before, after, changes.between(before, after))
    (one,) = [roll for roll in found if roll.what == what and roll.full_scale is full]
    return one


def test_a_larger_volume_rolls_the_machines_and_no_deployment() -> None:
    roll = planned(False, MACHINES, root_volume_gib=40)
    assert roll.seconds
    least, typical, most = roll.seconds
    assert least < typical < most
    # The successor has joined and is warm before the old one goes, whose tasks take their time as well.
    assert least > delays.BOOT.shortest + 120
    assert (roll.highest_machines, roll.max_machines) == (2, 4)
    before, after = configuration(), configuration(root_volume_gib=40)
    assert after.settings
    assert {one.what for one in rolls.of(before, after, changes.between(before, after))} == {MACHINES}


def test_another_revision_rolls_the_tasks_at_both_scales() -> None:
    few, many = (planned(full, TASKS, task_memory_mib=200) for full in (False, True))
    assert (few.highest_tasks, many.highest_tasks) == (4, 8)
    assert few.refused == (0, 0, 0)
    assert few.timeline[0].tasks["service"] == (2, 2)
    assert few.timeline[-1].tasks["service"] == (0, 2)


def test_a_roll_that_hangs_on_what_is_looked_up_says_so() -> None:
    before = configuration(machine_image="newest")
    assert before.settings
    found = rolls.of(before, before, changes.between(before, before))
    assert [(roll.what, roll.if_looked_up) for roll in found] == [(MACHINES, True)] * 2


@settings(max_examples=100, deadline=None, print_blob=True)
@given(
    desired=st.integers(1, 12),
    minimum=st.integers(0, 100),
    maximum=st.integers(101, 400),
    memory=st.integers(100, 1000),
    least=st.integers(1, 4),
    further=st.integers(1, 8),
    base=st.integers(0, 3),
    what=st.sampled_from([MACHINES, TASKS]),
    pace=st.sampled_from(list(Pace)),
    refreshes=st.booleans(),
)
def test_a_roll_keeps_its_bounds_whatever_the_settings(
    desired: int,
    minimum: int,
    maximum: int,
    memory: int,
    least: int,
    further: int,
    base: int,
    what: str,
    pace: Pace,
    refreshes: bool,
) -> None:
    group_ = group(least + further, least=least, distribution=Distribution(base, 0), refreshes=refreshes)
    service_ = service(desired, minimum, maximum, memory)
    rest = Simulation(group_, [service_], pace)
    rest.begin()
    placed = sum(task.machine is not None for task in rest.tasks.values())
    run = rolled(group_, service_, what, pace)
    # Rule E1, and of machines one more than there may be while one is replaced.
    highest = max(desired, desired * maximum // 100)
    assert all(sum(moment.tasks["web"]) <= highest for moment in run.moments)
    assert max(moment.machines for moment in run.moments) <= group_.most + 1
    lowest = -(-desired * minimum // 100)
    if placed == desired:
        assert all(moment.serving["web"] >= lowest for moment in run.moments)
    if not run.stuck:
        assert sum(task.serves(run.now) for task in run.tasks.values()) == desired
        # A machine never holds more than it has.
        assert all(run.room(machine).memory >= 0 for machine in run.machines.values())


def test_settings_make_the_fleet_that_the_templates_make() -> None:
    found = configuration("prod").settings
    assert found
    made = group_of(found)
    assert made.sizes["t3.small"] == (2048, 1901 - 200)
    assert made.zones == ("a", "b", "c")
    assert made.smallest in {"t3.small", "t3a.small"}
    (one,) = services_of(configuration("prod").services, full=True)
    assert (one.desired, one.stop) == (12, (5, 30))


@pytest.mark.parametrize("pace", list(Pace))
def test_slower_ends_of_the_delays_are_slower(pace: Pace) -> None:
    done = rolled(group(), service(2), MACHINES, pace).done
    slowest = rolled(group(), service(2), MACHINES, Pace.LONGEST).done
    assert done
    assert slowest
    assert done <= slowest


def test_a_service_that_wants_no_task_is_not_refused_while_it_rolls() -> None:
    before, after = configuration(min_tasks=0), configuration(min_tasks=0, task_memory_mib=200, root_volume_gib=40)
    found = [roll for roll in rolls.of(before, after, changes.between(before, after)) if not roll.full_scale]
    assert [(roll.what, roll.refused, roll.highest_tasks) for roll in found] == [
        (MACHINES, (0, 0, 0), 0),
        (TASKS, (0, 0, 0), 0),
    ]


def test_a_worker_is_neither_registered_nor_baked_and_only_its_work_stands_still() -> None:
    only: dict[str, Any] = {"kind": "worker", "min_tasks": 1, "max_tasks": 1, "max_percent": 100}
    before = with_services(mailer=only | {"min_healthy_percent": 0})
    after = with_services(mailer=only | {"min_healthy_percent": 0, "task_memory_mib": 200})
    (one,) = services_of(after.services, full=False)
    assert (one.web, one.deregistration, one.bake) == (False, 0, 0)
    roll = next(one for one in rolls.of(before, after, changes.between(before, after)) if one.what == TASKS)
    assert roll.refused == (0, 0, 0)
    assert roll.halted
    assert 0 < roll.halted[0] < roll.halted[2]
    web, worker = (rolled(group(), service(1, deregistration=0.0, web=kind)) for kind in (True, False))
    assert web.done
    assert worker.done
    assert web.done - worker.done >= delays.TARGET_REGISTERED.typical


def test_a_deployment_waits_for_the_containers_own_check() -> None:
    plain, checked = (rolled(group(), service(1, web=False, container_check=seconds)) for seconds in (0, 60))
    assert plain.done
    assert checked.done
    assert checked.done >= plain.done + 55
