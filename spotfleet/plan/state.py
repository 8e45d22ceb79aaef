"""A fleet and its services at one moment of a simulation, and what has been seen of them so far."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spotfleet.behaviour import placement
from spotfleet.plan.fleet import Group, Service
from spotfleet.plan.moving import NEVER, Machine, Moment, Pace, Task

MINUTE = 60
OLD, NEW = "old", "new"


@dataclass
class State:
    """A fleet with its tasks; `no_spot` tells that no Spot machine is to be had."""

    group: Group
    services: Sequence[Service]
    pace: Pace = Pace.TYPICAL
    no_spot: bool = False
    now: float = 0
    machines: dict[str, Machine] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    desired: int = 0
    # By service which deployment is wanted, and what of the old one still keeps its places.
    primary: dict[str, str] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    # Moments at which something happens.
    events: list[float] = field(default_factory=list)
    # Tasks by service, by machine, and those without one; and when ECS next sees something else of a service.
    of_service: dict[str, dict[str, Task]] = field(default_factory=dict)
    there: dict[str, dict[str, Task]] = field(default_factory=dict)
    queue: dict[str, Task] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    # When a machine has the image of a service's release.
    pulled: dict[tuple[str, str], float] = field(default_factory=dict)
    count: int = 0
    # Of a roll of the machines; and when the youngest of them was launched.
    refreshing: bool = False
    desired_before: int = 0
    youngest: float = -NEVER
    stuck: bool = False
    done: float | None = None

    def detection(self, service: Service) -> float:
        """Return how long the load balancer sends requests to a target that is silent (rule E22); to workers none."""
        if not service.web:
            return NEVER
        least = service.interval * (service.unhealthy - 1)
        most = service.interval * service.unhealthy + service.timeout
        return {Pace.SHORTEST: least, Pace.TYPICAL: (least + most) / 2, Pace.LONGEST: most}[self.pace]

    def look(self, tasks: Iterable[Task]) -> None:
        """Let ECS look at the services of these tasks at this moment."""
        for task in tasks:
            self.due[task.service.name] = 0

    def room(self, machine: Machine) -> placement.Machine:
        """Return a machine with what its tasks leave free."""
        room = self.group.machine(machine.id, machine.type, machine.zone)
        for task in self.on(machine.id):
            room = room.with_task(task.service.need)
        return room

    def on(self, machine: str) -> list[Task]:
        """Return the tasks that are on a machine."""
        return [task for task in self.there.get(machine, {}).values() if task.gone > self.now]

    def takes_tasks(self, machine: Machine) -> bool:
        """Return whether ECS places tasks on a machine."""
        return machine.joins <= self.now and not machine.leaving and machine.draining > self.now

    def waiting(self) -> list[Task]:
        """Return the tasks that have no machine yet."""
        return list(self.queue.values())

    def at(self, *moments: float) -> None:
        """Let something happen at these moments, those in the future."""
        for moment in moments:
            if self.now <= moment < NEVER:
                heapq.heappush(self.events, moment)

    def record(self) -> None:
        """Keep what there is now."""
        found = {one.name: [0, 0, 0, 0] for one in self.services}
        for task in self.tasks.values():
            own = found[task.service.name]
            own[task.deployment == NEW] += task.gone > self.now and task.lost is None
            own[2] += task.serves(self.now)
            # The load balancer does not know yet.
            own[3] += task.service.web and task.lost is not None and self.now < task.lost + self.detection(task.service)
        self.moments.append(
            Moment(
                self.now,
                sum(one.joins <= self.now and one.ended is None for one in self.machines.values()),
                {name: (own[0], own[1]) for name, own in found.items()},
                {name: own[2] for name, own in found.items()},
                {name: own[3] for name, own in found.items()},
                len(self.waiting()),
            )
        )
