"""What an environment survives: machines, a zone and all Spot machines lost at once, in the simulation.

Machines end without notice, which is the worst; all Spot machines at once also with AWS's two minutes.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spotfleet.behaviour.spot_notice import NOTICE_SECONDS
from spotfleet.plan import fleet
from spotfleet.plan.configurations import Configuration
from spotfleet.plan.fleet import Group, Service
from spotfleet.plan.moving import Machine, Pace
from spotfleet.plan.rolls import unserved
from spotfleet.plan.simulation import Simulation

# Of many machines, these numbers of lost ones.
EACH_UP_TO = 3
Range = tuple[float, float, float]


@dataclass(frozen=True)
class Loss:
    """Machines lost at once. Ranges are least, typical and most, in AWS's seconds.

    `refused` is for how long no task of a web service answers; before that is noticed, `failing_percent` of the
    requests meet lost tasks for `failing` seconds. `halted` is for how long no task of a worker runs. `back` is when
    all tasks serve again. Each is None where it has no end. Of `tasks`, `without_spot` serve in the end where no Spot
    machine is to be had.
    """

    what: str
    full_scale: bool
    machines: int
    refused: Range | None
    failing_percent: int
    failing: Range
    halted: Range | None
    back: Range | None
    tasks: int
    without_spot: int

    @property
    def is_back_without_spot(self) -> bool:
        """Whether all tasks come back without Spot capacity."""
        return self.without_spot >= self.tasks


def of(configuration: Configuration) -> list[Loss]:
    """Return what an environment survives with its fewest tasks, and at full scale."""
    if configuration.settings is None:
        return []
    group = fleet.group_of(configuration.settings)
    return [
        loss for full in (False, True) for loss in _losses(group, fleet.services_of(configuration.services, full), full)
    ]


def _losses(group: Group, services: Sequence[Service], full: bool) -> Iterator[Loss]:
    rest = Simulation(group, services)
    rest.begin()
    for what, ids, notice in scenarios(rest):
        yield _loss(what, ids, notice, group, services, full)


def scenarios(rest: Simulation) -> Iterator[tuple[str, list[str], float]]:
    """Yield the losses of a fleet at rest: words, machines, and the notice; of machines alike those with most tasks."""
    ordered = sorted(rest.machines.values(), key=lambda machine: -_tasks_on(rest, machine))
    for kind, is_spot in (("on-demand", False), ("Spot", True)):
        own = [machine.id for machine in ordered if machine.spot is is_spot]
        for count in sorted({*range(1, min(EACH_UP_TO, len(own)) + 1), len(own)} - {0}):
            every = " (all)" if count == len(own) else ""
            yield f"{count} {kind} machine{'s' * (count > 1)}{every}", own[:count], 0
        if is_spot and own:
            yield "all Spot machines, with notice", own, NOTICE_SECONDS
    zones: dict[str, list[str]] = {}
    for machine in rest.machines.values():
        zones.setdefault(machine.zone, []).append(machine.id)
    if len(rest.group.zones) > 1 and zones:
        tasks = {zone: sum(_tasks_on(rest, rest.machines[id_]) for id_ in ids) for zone, ids in zones.items()}
        worst = max(sorted(zones), key=lambda zone: (tasks[zone], len(zones[zone])))
        yield "a zone", zones[worst], 0


def _tasks_on(rest: Simulation, machine: Machine) -> int:
    return sum(task.machine == machine.id for task in rest.tasks.values())


def _loss(what: str, ids: Sequence[str], notice: float, group: Group, services: Sequence[Service], full: bool) -> Loss:
    runs = [_run(ids, notice, group, services, pace) for pace in Pace]
    never = _run(ids, notice, group, services, Pace.TYPICAL, no_spot=True)
    wanted = sum(one.desired for one in services)
    backs = [_back(run) for run in runs]
    lost = {name for moment in runs[0].moments for name, count in moment.lost.items() if count}
    share = max(
        (
            100 * moment.lost[name] // max(1, moment.lost[name] + moment.serving[name])
            for moment in runs[0].moments
            for name in moment.lost
        ),
        default=0,
    )
    silent = [max((run.detection(one) for one in services if one.name in lost), default=0.0) for run in runs]
    return Loss(
        what=what,
        full_scale=full,
        machines=len(ids),
        refused=_range_or_none([_without(run, fleet.wanting(services, web=True)) for run in runs]),
        failing_percent=share,
        failing=_range(silent),
        halted=_range_or_none([_without(run, fleet.wanting(services, web=False)) for run in runs]),
        back=_range_or_none(backs),
        tasks=wanted,
        without_spot=sum(never.moments[-1].serving.values()),
    )


def _run(
    ids: Sequence[str],
    notice: float,
    group: Group,
    services: Sequence[Service],
    pace: Pace,
    no_spot: bool = False,
) -> Simulation:
    run = Simulation(group, services, pace, no_spot)
    run.begin()
    run.lose(ids, notice)
    run.run()
    return run


def _without(run: Simulation, names: Sequence[str]) -> float | None:
    """Return for how long one of these services had no task that serves; None where it has none in the end."""
    if any(run.moments[-1].serving[name] == 0 for name in names):
        return None
    return unserved(run.moments, names)


def _back(run: Simulation) -> float | None:
    """Return when all tasks serve for good; 0 where they always have."""
    wanted = {one.name: one.desired for one in run.services}

    def is_whole(serving: object) -> bool:
        return isinstance(serving, dict) and all(serving[name] >= count for name, count in wanted.items())

    if not is_whole(run.moments[-1].serving):
        return None
    back = 0.0
    for moment, following in itertools.pairwise(run.moments):
        if not is_whole(moment.serving):
            back = following.seconds
    return back


def _range_or_none(values: Sequence[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    return _range(known) if len(known) == len(values) else None


def _range(values: Sequence[float]) -> Range:
    least, typical, most = sorted(values)
    return least, typical, most
