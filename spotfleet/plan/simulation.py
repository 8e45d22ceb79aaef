"""A fleet and its services over time, from one event to the next: what decides is in spotfleet/behaviour/.

Times are AWS's seconds. What AWS promises no time for comes from the table of delays, at one end of its ranges or in
between. Managed scaling adds machines here and takes none, which would be a quarter of an hour later.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spotfleet.behaviour import (
    delays,
    fleet_mix,
    instance_refresh,
    machine_losses,
    placement,
    rolling_update,
    rollout,
    scale_in,
    spot_notice,
)
from spotfleet.behaviour.rollout import State
from spotfleet.plan.fleet import IMAGE_MIB, Group, Service
from spotfleet.plan.moving import NEVER, Machine, Moment, Pace, Task

MINUTE = 60
# A container's start, from the service's own half second to what a Spot notice reckons with.
START = {"shortest": 1.0, "typical": 2.0, "longest": float(spot_notice.START_SECONDS)}
# Looks of managed scaling without any change, after which nothing will change any more.
QUIET_LOOKS = 4
# A simulation that has not ended after so long for each machine stands still: an hour is what a refresh waits for one.
LONGEST = 3600.0
OLD, NEW = "old", "new"


@dataclass
class Simulation:
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

    def __post_init__(self) -> None:
        self._events: list[float] = []
        # Tasks by service, by machine, and those without one; and when ECS next sees something else of a service.
        self._of: dict[str, dict[str, Task]] = {}
        self._there: dict[str, dict[str, Task]] = {}
        self._queue: dict[str, Task] = {}
        self._due: dict[str, float] = {}
        self._pulled: dict[tuple[str, str], float] = {}
        self._count = 0
        self._before = 0
        self._refreshing = False
        self._youngest = -NEVER
        self.stuck = False
        self.done: float | None = None

    def begin(self) -> None:
        """Start the fleet as it is at rest: its fewest machines, and more until every task has its place."""
        self.desired = min(self.group.most, max(self.group.least, 1))
        self._launch(self.desired, joined=True)
        for service in self.services:
            self.primary[service.name] = OLD
            for _ in range(service.desired):
                self._start(service, OLD)
        self._place()
        while self._waiting() and self.desired < self.group.most:
            self.desired += 1
            self._launch(1, joined=True)
            self._place()
        for task in self.tasks.values():
            if task.machine:
                task.runs = task.healthy = task.noticed = -1
        self._before = self.desired

    def roll_machines(self) -> None:
        """Let every machine be one that its group would launch differently now."""
        self._refreshing = True
        for machine in self.machines.values():
            machine.outdated = True

    def roll_tasks(self, names: Iterable[str]) -> None:
        """Begin a deployment of these services."""
        for service in self.services:
            if service.name in names:
                self.primary[service.name] = NEW
                self.kept[service.name] = {OLD: service.desired}
                self._due[service.name] = 0

    def lose(self, ids: Iterable[str], notice: float = 0) -> None:
        """Let machines end now, or so long after their notice, which ECS hears and drains them for."""
        for name in ids:
            machine = self.machines[name]
            machine.ended = self.now + notice
            if notice:
                machine.draining = self.now + self.pace.of(delays.NOTICE_HEEDED)
            self._at(machine.ended, machine.draining)
            self._look(self._on(name))

    def run(self) -> None:
        """Go on until all is at rest, or nothing moves any more."""
        self._at(self.now)
        next_minute, looks = 0.0, 0
        while not self._is_at_rest():
            if not self._events or self._events[0] >= next_minute:
                # Managed scaling looks once a minute, when the minute's value can be read.
                heapq.heappush(self._events, next_minute)
                next_minute += MINUTE
                only_looks = len(self._events) == 1
            else:
                only_looks = False
            self.now = heapq.heappop(self._events)
            while self._events and self._events[0] <= self.now:
                heapq.heappop(self._events)
            changed = self._settle()
            looks = looks + 1 if only_looks and not changed else 0
            if looks > QUIET_LOOKS or self.now > LONGEST * (1 + len(self.machines)):
                self.stuck = True
                return
        self.done = self.now

    # --- what happens at a moment

    def _settle(self) -> bool:
        changed = False
        while self._end() | self._schedule() | self._place() | self._replace() | self._scale():
            changed = True
        self._record()
        return changed

    def _end(self) -> bool:
        """End the machines whose time has come, with the tasks on them."""
        changed = False
        for machine in self.machines.values():
            if machine.ended is None or machine.ended > self.now or machine.leaving:
                continue
            machine.leaving = True
            machine.draining = NEVER
            changed = True
            noticed = self.now + self.pace.of(delays.LOSS_NOTICED)
            machine.gone = noticed
            self._look(self._on(machine.id))
            for task in self._on(machine.id):
                self._lose(task, noticed)
            self._at(noticed)
        for name in [one.id for one in self.machines.values() if one.gone <= self.now]:
            self._look(self._on(name))
            for task in self._on(name):
                task.stopped = task.gone = self.now
                self._at(self.now + self.pace.of(delays.SCHEDULER))
            del self.machines[name]
            changed = True
        return changed

    def _lose(self, task: Task, noticed: float) -> None:
        if task.stopped is not None:
            task.gone = min(task.gone, self.now)
            self._at(task.gone + self.pace.of(delays.SCHEDULER))
            return
        task.lost = self.now
        failing = self.now + self.detection(task.service) + self.pace.of(delays.SCHEDULER)
        # ECS hears of it when the group does, if health checks have not found it before.
        task.failing = min(failing, noticed + self.pace.of(delays.SCHEDULER))
        self._at(task.failing, self.now + self.detection(task.service))

    def detection(self, service: Service) -> float:
        """Return how long the load balancer sends requests to a target that is silent (rule E22); to workers none."""
        if not service.web:
            return NEVER
        least = service.interval * (service.unhealthy - 1)
        most = service.interval * service.unhealthy + service.timeout
        return {Pace.SHORTEST: least, Pace.TYPICAL: (least + most) / 2, Pace.LONGEST: most}[self.pace]

    def _schedule(self) -> bool:
        changed = False
        for service in self.services:
            if self.now < self._due.get(service.name, 0):
                continue
            own = list(self._of.setdefault(service.name, {}).values())
            for task in own:
                if task.gone + self._late(task) <= self.now:
                    self._forget(task)
                    changed = True
            own = list(self._of[service.name].values())
            wanted = rollout.Service(
                service.desired,
                self.primary[service.name],
                service.minimum_percent,
                service.maximum_percent,
                self.kept.get(service.name, {}),
            )
            seen = [self._seen(task) for task in own]
            step = rollout.next_step(wanted, seen)
            if step.stop:
                order = scale_in.in_order([self._placed(task) for task in own], service.strategies)
                seen.sort(key=lambda task: order.index(task.id))
                step = rollout.next_step(wanted, seen)
            self.kept[service.name] = rollout.kept_after(wanted.kept, seen, step)
            for id_ in step.stop:
                self._stop(self.tasks[id_])
            for deployment, count in step.start.items():
                for _ in range(count):
                    self._start(service, deployment)
            changed = changed or bool(step.stop or step.start)
            # What it has just done may let it do more at once.
            self._due[service.name] = 0 if step.stop or step.start else self._next_change(own)
        return changed

    def _forget(self, task: Task) -> None:
        del self.tasks[task.id], self._of[task.service.name][task.id]
        self._queue.pop(task.id, None)
        self._there.get(task.machine or "", {}).pop(task.id, None)

    def _next_change(self, tasks: Iterable[Task]) -> float:
        """Return when ECS sees something else of a service's tasks, as far as it is known yet."""
        moments = [
            moment
            for task in tasks
            for moment in (task.runs, task.noticed, task.failing, task.gone + self._late(task), self._drains(task))
            if moment > self.now
        ]
        return min(moments, default=NEVER)

    def _drains(self, task: Task) -> float:
        machine = self.machines.get(task.machine or "")
        return machine.draining if machine else NEVER

    def _look(self, tasks: Iterable[Task]) -> None:
        """Let ECS look at the services of these tasks at this moment."""
        for task in tasks:
            self._due[task.service.name] = 0

    def _late(self, task: Task) -> float:
        return self.pace.of(delays.SCHEDULER) if task.gone < NEVER and task.machine else 0.0

    def _seen(self, task: Task) -> rollout.Task:
        if task.stopped is not None:
            state = State.STOPPING
        elif task.failing <= self.now:
            state = State.FAILING
        elif task.noticed <= self.now:
            state = State.HEALTHY
        else:
            state = State.RUNNING if task.runs <= self.now else State.STARTING
        machine = self.machines.get(task.machine or "")
        return rollout.Task(task.id, task.deployment, state, bool(machine and machine.draining <= self.now))

    def _placed(self, task: Task) -> scale_in.Placed:
        machine = self.machines.get(task.machine or "")
        if machine is None:
            return scale_in.Placed(task.id, "", "")
        room = self._room(machine)
        return scale_in.Placed(task.id, machine.id, machine.zone, machine.type, room.cpu, room.memory)

    def _start(self, service: Service, deployment: str) -> None:
        self._count += 1
        task = Task(f"{service.name}-{self._count}", service, deployment, self.now)
        self.tasks[task.id] = self._queue[task.id] = self._of.setdefault(service.name, {})[task.id] = task

    def _stop(self, task: Task) -> None:
        task.stopped = self.now
        self._queue.pop(task.id, None)
        ends = task.service.stop[1] if self.pace is Pace.LONGEST else task.service.stop[0]
        if task.machine is None or task.lost is not None:
            task.gone = self.now
        elif task.runs <= self.now:
            task.gone = self.now + task.service.deregistration + ends
        else:
            task.gone = self.now + ends
        self._at(task.gone, task.gone + self.pace.of(delays.SCHEDULER))

    def _place(self) -> bool:
        changed = False
        waiting = self._waiting()
        if not waiting:
            return False
        rooms = [self._room(machine) for machine in self.machines.values() if self._takes_tasks(machine)]
        # Of tasks alike, the first that finds no room speaks for the others.
        without: set[placement.Need] = set()
        for task in waiting:
            if task.service.need in without:
                continue
            found = placement.choose(task.service.need, rooms, task.service.strategies)
            if found is None:
                without.add(task.service.need)
                continue
            rooms = [room.with_task(task.service.need) if room is found else room for room in rooms]
            task.machine = found.id
            del self._queue[task.id]
            self._there.setdefault(found.id, {})[task.id] = task
            self._look([task])
            task.runs = self._pulled_at(found.id, task) + START[self.pace.value]
            task.healthy = task.runs + self._registered(task.service)
            passed = max(task.healthy, task.runs + task.service.container_check)
            task.noticed = passed + self.pace.of(delays.SCHEDULER)
            self._at(task.runs, task.healthy, task.noticed)
            changed = True
        return changed

    def _registered(self, service: Service) -> float:
        """Return how long it takes until the load balancer sends a task that runs requests; of a worker, nothing."""
        if not service.web:
            return 0
        checks = service.interval if self.pace is Pace.LONGEST else 0
        return self.pace.of(delays.TARGET_REGISTERED) + checks

    def _pulled_at(self, machine: str, task: Task) -> float:
        """Return when a machine has a release's image: its first task of it waits for the pull (rule E10)."""
        key = (machine, f"{task.service.name} {task.deployment}")
        if key not in self._pulled:
            start, each = self.pace.of(delays.IMAGE_PULL_START), self.pace.of(delays.IMAGE_PULL_MEBIBYTE)
            self._pulled[key] = self.now + delays.image_pull(start, each, IMAGE_MIB)
        return max(self.now, self._pulled[key])

    # --- the group

    def _replace(self) -> bool:
        """Launch what the group misses, and take a refresh one step further."""
        changed = self._refresh() if self._refreshing else False
        for machine in self.machines.values():
            # ECS lets a machine go that drains and is empty.
            if machine.leaving and machine.ended is None and not self._on(machine.id):
                machine.ended = self.now
                machine.gone = self.now + self.pace.of(delays.MACHINE_ENDED)
                self._at(machine.gone)
                changed = True
        missing = self.desired - len(self._members())
        pending = sum(machine.joins > self.now for machine in self.machines.values())
        if any(machine.leaving and not machine.outdated for machine in self.machines.values()) and missing > 0:
            # Ended ones are replaced a tenth of the group at a time, one at least (rule G3).
            missing = len(machine_losses.replaced_now([""] * missing, self.desired, pending))
        return self._launch(missing) or changed

    def _members(self) -> list[Machine]:
        return [
            machine
            for machine in self.machines.values()
            if not machine.succeeded and not (machine.leaving and (machine.ended is None or machine.outdated))
        ]

    def _refresh(self) -> bool:
        if self.group.refreshes:
            members = [
                instance_refresh.Member(
                    one.id,
                    NEVER if one.outdated else (self.now - one.joins if one.joins <= self.now else None),
                    one.outdated,
                    one.succeeded,
                    one.leaving,
                )
                for one in self.machines.values()
            ]
            preferences = instance_refresh.Preferences(100, 100, self.group.warmup)
            step = instance_refresh.next_step(members, preferences, self.desired)
            return self._apply(step.succeed, step.end)
        there = [one for one in self.machines.values() if not one.leaving]
        rolled = [
            rolling_update.Member(one.id, NEVER if one.outdated else self.now - one.joins, not one.outdated, True)
            for one in there
        ]
        policy = rolling_update.Policy(self.group.least, 1, self.group.warmup)
        if any(one.leaving for one in self.machines.values()):
            return False
        todo = rolling_update.next_step(rolled, policy, self.desired, self.group.most, self._before)
        if todo.capacity is not None and todo.capacity != self.desired:
            self.desired = todo.capacity
            return True
        if todo.end:
            self.desired -= len(todo.end)
        return self._apply((), (*todo.replace, *todo.end))

    def _apply(self, succeeded: Iterable[str], ended: Iterable[str]) -> bool:
        changed = False
        for name in succeeded:
            self.machines[name].succeeded = True
            changed = True
        for name in ended:
            machine = self.machines[name]
            machine.leaving, machine.draining = True, self.now + self.pace.of(delays.SCHEDULER)
            self._at(machine.draining)
            self._look(self._on(name))
            changed = True
        return changed

    def _launch(self, count: int, joined: bool = False) -> bool:
        members = self._members()
        spot = sum(machine.spot for machine in members)
        kinds = fleet_mix.launches(self.group.distribution, len(members) - spot, spot, max(0, count))
        launched = False
        for is_spot, number in zip((False, True), kinds, strict=True):
            for _ in range(0 if is_spot and self.no_spot and not joined else number):
                zone = fleet_mix.zones_by_members(self.group.zones, [one.zone for one in self._members()])[0]
                self._count += 1
                type_ = self.group.smallest if is_spot else self.group.types[0]
                joins = -1.0 if joined else self.now + self.pace.of(delays.BOOT)
                machine = Machine(f"m{self._count}", type_, zone, is_spot, joins)
                self.machines[machine.id] = machine
                if not joined:
                    self._youngest = self.now
                    self._at(joins, joins + self.group.warmup)
                launched = True
        return launched

    def _scale(self) -> bool:
        """Let managed scaling add machines for tasks that wait, as of the last minute that it can read."""
        readable = self.now - self.pace.of(delays.RESERVATION_PUBLISHED) - self.pace.of(delays.RESERVATION_LOOKED_AT)
        waiting = [task for task in self._waiting() if task.asked <= readable]
        if not self.group.managed or not waiting or self.now % MINUTE:
            return False
        rooms = [self._room(one) for one in self.machines.values() if self._takes_tasks(one)]
        largest, smallest = (self.group.machine("", name, "") for name in (self.group.largest, self.group.smallest))
        needed = placement.machines_needed(rooms, [task.service.need for task in waiting], largest, smallest)
        running = max(1, len(rooms))
        wanted = max(self.desired, self.group.wanted(needed, running, self.desired, self.now - self._youngest))
        changed = wanted != self.desired
        self.desired = wanted
        return changed

    # --- what is

    def _room(self, machine: Machine) -> placement.Machine:
        room = self.group.machine(machine.id, machine.type, machine.zone)
        for task in self._on(machine.id):
            room = room.with_task(task.service.need)
        return room

    def _on(self, machine: str) -> list[Task]:
        return [task for task in self._there.get(machine, {}).values() if task.gone > self.now]

    def _takes_tasks(self, machine: Machine) -> bool:
        return machine.joins <= self.now and not machine.leaving and machine.draining > self.now

    def _waiting(self) -> list[Task]:
        return list(self._queue.values())

    def _is_at_rest(self) -> bool:
        if not self.moments:
            return False
        if any(one.outdated or one.leaving or one.joins > self.now for one in self.machines.values()):
            return False
        # After a notice that is not over yet.
        if any(one.ended is not None or one.draining < NEVER for one in self.machines.values()):
            return False
        if self._refreshing and any(one.joins + self.group.warmup > self.now for one in self.machines.values()):
            return False
        if any(task.stopped is not None or task.noticed > self.now or task.lost for task in self.tasks.values()):
            return False
        return len(self._members()) >= self.desired and all(
            sum(task.service.name == one.name for task in self.tasks.values()) == one.desired for one in self.services
        )

    def _at(self, *moments: float) -> None:
        for moment in moments:
            if self.now <= moment < NEVER:
                heapq.heappush(self._events, moment)

    def _record(self) -> None:
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
                len(self._waiting()),
            )
        )
