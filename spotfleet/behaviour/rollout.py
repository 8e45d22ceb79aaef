"""What ECS's scheduler does about a service's tasks: which to start and which to stop now. Decisions only.

Rules E1, E2, E9 and E13. A task that is stopping still takes a place until it is gone.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

WHOLE = 100


class State(StrEnum):
    """A task as the scheduler sees it. `FAILING`: it fails health checks, and its grace period is over."""

    STARTING = "starting"
    RUNNING = "running"
    HEALTHY = "healthy"
    FAILING = "failing"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Task:
    """A task that is not stopped. `extra`: started to even out the zones, and none too many until it is healthy."""

    id: str
    deployment: str
    state: State
    draining: bool = False
    extra: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether the task fills one of the places of its deployment."""
        if self.extra and self.state is not State.HEALTHY:
            return False
        return not self.draining and self.state in (State.STARTING, State.RUNNING, State.HEALTHY)


@dataclass(frozen=True)
class Service:
    """What is wanted. `kept`: how many tasks each superseded deployment still keeps; `failed`: the primary one has."""

    desired: int
    primary: str
    minimum_percent: int = 100
    maximum_percent: int = 200
    kept: Mapping[str, int] = field(default_factory=dict)
    failed: bool = False

    @property
    def lowest(self) -> int:
        """How many healthy tasks there have to be."""
        return -(-self.desired * self.minimum_percent // WHOLE)

    @property
    def highest(self) -> int:
        """How many tasks there may be, those that are stopping included."""
        return self.desired * self.maximum_percent // WHOLE


@dataclass(frozen=True)
class Step:
    """How many tasks to start of each deployment, and which to stop; `stuck`: the bounds forbid both."""

    start: Mapping[str, int]
    stop: tuple[str, ...]
    stuck: bool = False


def next_step(service: Service, tasks: Sequence[Task]) -> Step:
    """Return what to do now. Where tasks are alike the first ones given go, which come in the order of rule E4."""
    staying = [task for task in tasks if task.state is not State.STOPPING]
    current = [task for task in staying if task.deployment == service.primary]
    old = [task for task in staying if task.deployment != service.primary]
    stop = [*_of_no_use(service, current, old)]
    budget = _count(staying, State.HEALTHY) - service.lowest
    stop += [task for task in _may_leave(service, current, old) if task not in stop][: max(0, budget)]
    room = service.highest - len(tasks)
    start = _to_start(service, current, old, room)
    missing = service.desired - len([task for task in current if task.is_wanted])
    waiting = len(staying) < len(tasks) or any(task.state in (State.STARTING, State.RUNNING) for task in current)
    if not stop and not waiting and missing > 0 and room <= 0:
        # The first is as random as any other: rule E9.
        stop = [task for task in staying if task.state is State.FAILING][:1]
    stuck = missing > 0 and not (start or stop or waiting or service.failed)
    return Step(start, tuple(task.id for task in stop), stuck)


def _of_no_use(service: Service, current: Sequence[Task], old: Sequence[Task]) -> list[Task]:
    """Return the tasks that are not healthy and not needed: without them no fewer are healthy."""
    leaving = [task for task in (*current, *old) if task.draining and task.state is State.STARTING]
    needed = max(0, service.desired - len([t for t in current if t.is_wanted and t.state is State.HEALTHY]))
    for deployment in sorted({task.deployment for task in old}):
        mine = [task for task in old if task.deployment == deployment and task not in leaving]
        keep = min(service.kept.get(deployment, 0), needed)
        leaving += [task for task in mine if task.state is not State.HEALTHY][: max(0, len(mine) - keep)]
    failing = [task for task in current if task.state is State.FAILING]
    healthy = [task for task in current if task.is_wanted and task.state is State.HEALTHY]
    leaving += failing[: max(0, len(failing) + len(healthy) - service.desired)]
    wanted = [task for task in current if task.is_wanted]
    idle = [task for task in wanted if task.state is not State.HEALTHY]
    leaving += sorted(idle, key=lambda task: task.state is State.RUNNING)[: max(0, len(wanted) - service.desired)]
    return leaving


def _may_leave(service: Service, current: Sequence[Task], old: Sequence[Task]) -> list[Task]:
    """Return the healthy tasks that leave as far as others are healthy: superseded, draining, or too many."""
    superseded = [] if service.failed else [task for task in old if task.state is State.HEALTHY]
    superseded.sort(key=lambda task: not task.draining)
    draining = [task for task in current if task.draining and task.state is not State.STARTING]
    wanted = [task for task in current if task.is_wanted]
    idle = sum(task.state is not State.HEALTHY for task in wanted)
    too_many = max(0, len(wanted) - service.desired - idle)
    return [*superseded, *draining, *[task for task in wanted if task.state is State.HEALTHY][:too_many]]


def _to_start(service: Service, current: Sequence[Task], old: Sequence[Task], room: int) -> dict[str, int]:
    """Return how many tasks of each deployment start. A lost task of a superseded one comes back as it was: rule E9."""
    wanted = [task for task in current if task.is_wanted]
    missing = {} if service.failed else {service.primary: service.desired - len(wanted)}
    needed = service.desired - _count(wanted, State.HEALTHY)
    for deployment, kept in service.kept.items():
        present = [task for task in old if task.deployment == deployment and task.is_wanted]
        missing[deployment] = min(kept, needed) - len(present)
    start = {}
    for deployment, count in missing.items():
        start[deployment] = max(0, min(count, room))
        room -= start[deployment]
    return {deployment: count for deployment, count in start.items() if count}


def kept_after(kept: Mapping[str, int], tasks: Iterable[Task], step: Step) -> dict[str, int]:
    """Return how many tasks each superseded deployment still keeps after a step: none comes back that it stops."""
    stopped = [task.deployment for task in tasks if task.id in step.stop]
    return {deployment: max(0, count - stopped.count(deployment)) for deployment, count in kept.items()}


def _count(tasks: Iterable[Task], state: State) -> int:
    return sum(task.state is state for task in tasks)


def is_done(service: Service, tasks: Sequence[Task]) -> bool:
    """Return whether a deployment has all its tasks healthy and those of others are gone (rule E2)."""
    current = [task for task in tasks if task.deployment == service.primary]
    wanted = [task for task in current if task.is_wanted]
    return len(current) == len(tasks) and len(wanted) == _count(wanted, State.HEALTHY) == service.desired
