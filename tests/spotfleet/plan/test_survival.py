"""What an environment survives, against an exhaustive search on small fleets."""

import itertools
import random

import pytest

from spotfleet.behaviour import delays
from spotfleet.behaviour.fleet_mix import Distribution
from spotfleet.behaviour.placement import Need
from spotfleet.plan import scheduling, survival
from spotfleet.plan.configurations import Configuration
from spotfleet.plan.fleet import Group, Service
from spotfleet.plan.moving import NEVER, Pace
from spotfleet.plan.simulation import Simulation
from spotfleet.plan.survival import Loss
from tests.spotfleet.plan.test_rolls import group, service
from tests.support.planned import configuration, with_services

TYPES = {"micro": (2048, 716), "small": (2048, 1701), "medium": (2048, 3628)}


def losses(environment: str, full: bool, **changed: object) -> dict[str, Loss]:
    """Return what an environment survives, by what is lost."""
    return by_what(configuration(environment, **changed), full)


def by_what(planned: Configuration, full: bool) -> dict[str, Loss]:
    """Return what a configuration survives, by what is lost."""
    return {loss.what: loss for loss in survival.of(planned) if loss.full_scale is full}


def test_the_only_machine_takes_all_requests_with_it_until_the_next_has_booted() -> None:
    lost = losses("dev", full=False)["1 on-demand machine (all)"]
    assert lost.refused
    least = delays.LOSS_NOTICED.shortest + delays.BOOT.shortest
    most = delays.LOSS_NOTICED.longest + delays.BOOT.longest
    assert least < lost.refused[0] < lost.refused[1] < lost.refused[2]
    assert most < lost.refused[2] < most + 60
    assert lost.failing_percent == 100
    assert lost.is_back_without_spot


def test_a_zone_of_three_takes_a_third_of_the_requests_until_the_checks_fail() -> None:
    lost = losses("prod", full=False)["a zone"]
    assert lost.refused == (0, 0, 0)
    # Rule E22: 20 to 35 s with three checks ten seconds apart.
    assert (lost.failing_percent, lost.failing[0], lost.failing[2]) == (33, 20, 35)
    assert lost.is_back_without_spot


def test_tasks_that_only_spot_machines_hold_do_not_come_back_without_them() -> None:
    found = losses("dev", full=True)
    assert not found["1 Spot machine (all)"].is_back_without_spot
    assert found["1 Spot machine (all)"].without_spot == 2
    assert found["1 on-demand machine (all)"].is_back_without_spot


def test_a_notice_lets_tasks_move_where_there_is_room() -> None:
    warned = losses("prod", full=False)["all Spot machines, with notice"]
    assert warned.failing == (0, 0, 0)
    assert warned.refused == (0, 0, 0)


def test_each_number_of_machines_of_each_kind_is_lost_once() -> None:
    found = losses("prod", full=False)
    assert list(found) == [
        "1 on-demand machine (all)",
        "1 Spot machine",
        "2 Spot machines (all)",
        "all Spot machines, with notice",
        "a zone",
    ]


def best(machines: list[str], tasks: int, need: Need) -> int:
    """Return how many of so many tasks these machines can hold, by trying every number on every machine."""
    held = 0
    for numbers in itertools.product(range(tasks + 1), repeat=len(machines)):
        fits = all(
            number * need.memory <= TYPES[type_][1] and number * need.cpu <= TYPES[type_][0]
            for number, type_ in zip(numbers, machines, strict=True)
        )
        if fits:
            held = max(held, min(tasks, sum(numbers)))
    return held


@pytest.mark.parametrize("seed", range(40))
def test_small_fleets_keep_as_many_tasks_as_an_exhaustive_search_finds_room_for(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311  # the same each time
    count, tasks = draw.randint(1, 6), draw.randint(1, 8 if seed % 2 else 4)
    base = draw.randint(0, count)
    need = Need(draw.choice([256, 700, 1024]), draw.choice([256, 512, 716, 1500]), group="web")
    fleet = group(
        count + 1,
        least=count,
        distribution=Distribution(base, 0),
        types=tuple(TYPES),
        sizes=TYPES,
        zones=("a", "b", "c"),
    )
    web = Service("web", tasks, need, 50, 200, 10, 30, (5, 30))
    run = with_types(fleet, web, draw)
    lost = draw.sample(sorted(run.machines), draw.randint(1, len(run.machines)))
    survivors = [one.type for one in run.machines.values() if one.id not in lost]
    replaced = [fleet.types[0] for one in run.machines.values() if one.id in lost and not one.spot]
    run.lose(lost)
    run.run()
    serving = sum(task.serves(run.now) for task in run.tasks.values())
    # Of the machines that are there in the end no other placement would have held more.
    there = [one.type for one in run.machines.values() if not one.leaving]
    assert serving == best(there, tasks, need)
    # On-demand machines come back whatever Spot capacity there is; Spot ones do not.
    assert sorted(there) == sorted([*survivors, *replaced])


def with_types(fleet: Group, web: Service, draw: random.Random) -> Simulation:
    """Return a fleet at rest without Spot capacity, each of whose machines has a type of its own."""
    run = Simulation(fleet, [web], Pace.TYPICAL, no_spot=True)
    run.begin()
    run.there.clear()
    for task in run.tasks.values():
        task.machine = None
        task.runs = task.healthy = task.noticed = NEVER
        run.queue[task.id] = task
    for machine in run.machines.values():
        machine.type = draw.choice(sorted(TYPES))
    scheduling.place(run)
    for task in run.tasks.values():
        if task.machine:
            task.runs = task.healthy = task.noticed = -1
    return run


def test_a_service_without_any_task_left_is_refused_until_somebody_acts() -> None:
    only_spot = group(2, distribution=Distribution(0, 0))
    run = Simulation(only_spot, [service(2)], no_spot=True)
    run.begin()
    run.lose(list(run.machines))
    run.run()
    assert survival._without(run, ["web"]) is None
    assert survival._back(run) is None
    assert run.stuck


def test_a_service_that_wants_no_task_is_not_missed() -> None:
    found = losses("dev", full=False, min_tasks=0)
    assert found
    assert {loss.refused for loss in found.values()} == {(0, 0, 0)}
    assert {loss.back for loss in found.values()} == {(0, 0, 0)}


def test_a_target_is_out_after_as_many_failures_as_the_settings_say() -> None:
    checks = {"health_check_interval_seconds": 10, "health_check_unhealthy_count": 5, "health_check_timeout_seconds": 8}
    lost = losses("prod", full=False, **checks)["a zone"]
    assert (lost.failing[0], lost.failing[2]) == (40, 58)


def test_of_workers_no_request_fails_but_their_work_stands_still() -> None:
    planned = with_services(mailer={"kind": "worker", "min_tasks": 1, "max_tasks": 1})
    lost = by_what(planned, full=False)["1 on-demand machine (all)"]
    assert (lost.tasks, lost.failing_percent, lost.failing, lost.refused) == (1, 0, (0, 0, 0), (0, 0, 0))
    assert lost.halted
    assert lost.halted[0] > delays.LOSS_NOTICED.shortest


def test_a_first_service_without_a_stack_is_no_part_of_the_fleet() -> None:
    planned = with_services(shop={"min_tasks": 1, "max_tasks": 3})
    assert {(loss.full_scale, loss.tasks) for loss in survival.of(planned)} == {(False, 1), (True, 3)}


def test_an_environment_without_services_loses_nothing() -> None:
    assert {(loss.refused, loss.halted, loss.tasks) for loss in survival.of(with_services())} == {
        ((0, 0, 0),) * 2 + (0,)
    }
