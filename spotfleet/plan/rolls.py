"""What rolls in a launch, how long it takes, and whether it fits, at both ends of every delay's range."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spotfleet.behaviour import placement
from spotfleet.plan import fleet
from spotfleet.plan.changes import StackChange
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.configurations import Configuration
from spotfleet.plan.fleet import Group, Service
from spotfleet.plan.moving import Moment, Pace
from spotfleet.plan.simulation import Simulation

MACHINES, TASKS = "machines", "tasks"
# What starts a deployment of an ECS service (rule E23).
DEPLOYS = ("TaskDefinition", "LoadBalancers", "CapacityProviderStrategy", "Monitoring", "NetworkConfiguration")
# So many more machines are tried until a roll fits.
FURTHER = 50
Range = tuple[float, float, float]


@dataclass(frozen=True)
class Roll:
    """One roll at one scale; `seconds`, `refused` and `halted` are least, typical and most, None without an end.

    `refused` is for how long no task of a web service answers, `halted` for how long no task of a worker runs.

    `services` are those that roll, or whose tasks move; `highest_tasks` and `highest_machines` are the most at once,
    `fewest_serving` the fewest tasks of a service that serve. `stands_still` says where it stops, `fits_with` what
    would let it go on. `if_looked_up` tells that it happens only if a value that is looked up has changed.
    """

    what: str
    full_scale: bool
    services: tuple[str, ...]
    seconds: Range | None
    highest_tasks: int
    highest_machines: int
    max_machines: int
    fewest_serving: int
    refused: Range | None
    halted: Range | None
    timeline: tuple[Moment, ...]
    stands_still: str = ""
    fits_with: str = ""
    if_looked_up: bool = False


def of(before: Configuration, after: Configuration, stacks: Sequence[StackChange]) -> list[Roll]:
    """Return the rolls of a launch in their order: machines first, as their stack comes before the services'."""
    if after.settings is None:
        return []
    group = fleet.group_of(after.settings)
    found = []
    machines = [one for stack in stacks for one in stack.changed if one.does is Does.ROLLED]
    services = {stack.layer: change for stack in stacks if (change := _deployment(stack))}
    for full in (False, True):
        running = fleet.services_of(after.services, full)
        if machines:
            roll = _roll(before, group, running, full, MACHINES, ())
            found.append(replace(roll, if_looked_up=all(one.open for one in machines)))
        if services:
            roll = _roll(before, group, running, full, TASKS, tuple(services))
            found.append(replace(roll, if_looked_up=all(is_open for is_open, _ in services.values())))
    return sorted(found, key=lambda roll: roll.what != MACHINES)


def _deployment(stack: StackChange) -> tuple[bool, str] | None:
    """Return whether a deployment of a stack's service is open, and its service; None where there is none."""
    for one in stack.changed:
        if one.kind == "AWS::ECS::Service" and one.does is Does.UPDATED:
            starts = [item for item in one.properties if item.path.partition(".")[0] in DEPLOYS]
            if starts:
                return all(item.open for item in starts), one.resource
    return None


def _roll(
    before: Configuration,
    group: Group,
    services: Sequence[Service],
    full: bool,
    what: str,
    names: tuple[str, ...],
) -> Roll:
    runs = [_run(before, group, services, full, what, names, pace) for pace in Pace]
    slowest, typical = runs[-1], runs[1]
    bake = max((one.bake for one in services if one.name in names), default=0.0)
    seconds = tuple(sorted((run.done or 0) + bake for run in runs))
    concerned = [one for one in services if not names or one.name in names]
    web, workers = (fleet.wanting(concerned, web=kind) for kind in (True, False))
    stuck = next((run for run in runs if run.stuck), None)
    moments = [moment for run in runs for moment in run.moments]
    fits_with = _smallest_change(before, group, services, full, what, names) if stuck else ""
    wanting = [*fleet.wanting(services, web=True), *fleet.wanting(services, web=False)]
    return Roll(
        what=what,
        full_scale=full,
        services=names or tuple(one.name for one in services),
        seconds=None if stuck else seconds,  # type: ignore[arg-type]  # one of each pace
        highest_tasks=max(sum(map(sum, moment.tasks.values())) for moment in moments),
        highest_machines=max(moment.machines for moment in moments),
        max_machines=group.most,
        fewest_serving=min(
            (moment.serving[name] for moment in slowest.moments + typical.moments for name in wanting), default=0
        ),
        refused=_without(runs, stuck, web),
        halted=_without(runs, stuck, workers),
        timeline=tuple(_shortened(typical.moments)),
        stands_still=standing(stuck) if stuck else "",
        fits_with=fits_with,
    )


def _without(runs: Sequence[Simulation], stuck: Simulation | None, names: Sequence[str]) -> Range | None:
    """Return for how long one of these services has no task that serves; None where it has none in the end."""
    if stuck and any(stuck.moments[-1].serving[name] == 0 for name in names):
        return None
    least, typical, most = sorted(unserved(run.moments, names) for run in runs)
    return least, typical, most


def _run(
    before: Configuration | None,
    group: Group,
    services: Sequence[Service],
    full: bool,
    what: str,
    names: Sequence[str],
    pace: Pace,
) -> Simulation:
    run = started(before, group, services, full, pace)
    if what == MACHINES:
        run.roll_machines()
    else:
        run.roll_tasks(names)
    run.run()
    return run


def started(
    before: Configuration | None, group: Group, services: Sequence[Service], full: bool, pace: Pace
) -> Simulation:
    """Return a fleet at rest with what ran before, and with what is wanted now."""
    if before is None or before.settings is None:
        run = Simulation(group, services, pace)
        run.begin()
        return run
    was = fleet.group_of(before.settings)
    wanted = {one.name: one.desired for one in services}
    olds = [
        replace(one, desired=wanted[one.name]) for one in fleet.services_of(before.services, full) if one.name in wanted
    ]
    run = Simulation(replace(was, least=group.least, most=group.most), olds, pace)
    run.begin()
    # Machines that run keep their types, which need not be among those that are launched now.
    run.group = replace(group, sizes=was.sizes | group.sizes)
    run.services = [one for one in services if one.name in {old.name for old in olds}]
    return run


def unserved(moments: Sequence[Moment], names: Iterable[str]) -> float:
    """Return for how many seconds a service had no task that serves, the worst of these services."""
    worst = 0.0
    for name in names:
        total = 0.0
        for moment, following in itertools.pairwise(moments):
            total += (following.seconds - moment.seconds) if moment.serving.get(name) == 0 else 0.0
        worst = max(worst, total)
    return worst


def standing(run: Simulation) -> str:
    """Say where a simulation stands still."""
    waiting = [task for task in run.tasks.values() if task.machine is None and task.stopped is None]
    machines = [run.group.machine(one.id, one.type, one.zone) for one in run.machines.values()]
    if not waiting:
        return f"after {run.now:.0f} s, with {len(machines)} machines: neither a task nor a machine may go"
    need = waiting[0].service.need
    rooms = []
    for machine in machines:
        room = machine
        for task in run.tasks.values():
            if task.machine == machine.id:
                room = room.with_task(task.service.need)
        rooms.append(room)
    return (
        f"after {run.now:.0f} s: {len(waiting)} tasks of {waiting[0].service.name} ({need.memory} MiB, {need.cpu} CPU "
        f"units) find no room on {len(machines)} machines ({placement.lacking(need, rooms).value})"
    )


def _smallest_change(
    before: Configuration | None,
    group: Group,
    services: Sequence[Service],
    full: bool,
    what: str,
    names: Sequence[str],
) -> str:
    """Return the setting that lets a roll end with the least change, or nothing where none of those tried does."""
    for further in range(1, FURTHER + 1):
        larger = replace(group, most=group.most + further)
        key = "max_machines"
        if not group.managed:
            # Nothing adds a machine for a task that waits.
            larger, key = (
                replace(larger, least=group.least + further, most=max(group.most, group.least + further + 1)),
                "min_machines",
            )
        run = _run(before, larger, services, full, what, names, Pace.LONGEST)
        if not run.stuck:
            return f"{key}: {larger.most if group.managed else larger.least}"
    for percent in range(99, -1, -1):
        fewer = [replace(one, minimum_percent=min(one.minimum_percent, percent)) for one in services]
        if not _run(before, group, fewer, full, what, names, Pace.LONGEST).stuck:
            return f"min_healthy_percent: {percent}"
    return ""


def _shortened(moments: Sequence[Moment]) -> Iterable[Moment]:
    """Return the moments at which something is another than before."""
    last = None
    for moment in moments:
        now = replace(moment, seconds=0)
        if now != last:
            yield moment
        last = now
