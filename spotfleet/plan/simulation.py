"""A fleet and its services over time, from one event to the next: what decides is in spotfleet/behaviour/.

Times are AWS's seconds. What AWS promises no time for comes from the table of delays, at one end of its ranges or in
between. Managed scaling adds machines here and takes none, which would be a quarter of an hour later.
"""

import heapq
from collections.abc import Iterable

from spotfleet.behaviour import delays
from spotfleet.plan import machine_group, scheduling
from spotfleet.plan.moving import NEVER, Task
from spotfleet.plan.state import MINUTE, NEW, OLD, State

# Looks of managed scaling without any change, after which nothing will change any more.
QUIET_LOOKS = 4
# A simulation that has not ended after so long for each machine stands still: an hour is what a refresh waits for one.
LONGEST = 3600.0


class Simulation(State):
    """A fleet that goes on from one event to the next until nothing moves."""

    def begin(self) -> None:
        """Start the fleet as it is at rest: its fewest machines, and more until every task has its place."""
        self.desired = min(self.group.most, max(self.group.least, 1))
        machine_group.launch(self, self.desired, joined=True)
        for service in self.services:
            self.primary[service.name] = OLD
            for _ in range(service.desired):
                scheduling.start(self, service, OLD)
        scheduling.place(self)
        while self.waiting() and self.desired < self.group.most:
            self.desired += 1
            machine_group.launch(self, 1, joined=True)
            scheduling.place(self)
        for task in self.tasks.values():
            if task.machine:
                task.runs = task.healthy = task.noticed = -1
        self.desired_before = self.desired

    def roll_machines(self) -> None:
        """Let every machine be one that its group would launch differently now."""
        self.refreshing = True
        for machine in self.machines.values():
            machine.outdated = True

    def roll_tasks(self, names: Iterable[str]) -> None:
        """Begin a deployment of these services."""
        for service in self.services:
            if service.name in names:
                self.primary[service.name] = NEW
                self.kept[service.name] = {OLD: service.desired}
                self.due[service.name] = 0

    def lose(self, ids: Iterable[str], notice: float = 0) -> None:
        """Let machines end now, or so long after their notice, which ECS hears and drains them for."""
        for name in ids:
            machine = self.machines[name]
            machine.ended = self.now + notice
            if notice:
                machine.draining = self.now + self.pace.of(delays.NOTICE_HEEDED)
            self.at(machine.ended, machine.draining)
            self.look(self.on(name))

    def run(self) -> None:
        """Go on until all is at rest, or nothing moves any more."""
        self.at(self.now)
        next_minute, looks = 0.0, 0
        while not self._is_at_rest():
            if not self.events or self.events[0] >= next_minute:
                # Managed scaling looks once a minute, when the minute's value can be read.
                heapq.heappush(self.events, next_minute)
                next_minute += MINUTE
                only_looks = len(self.events) == 1
            else:
                only_looks = False
            self.now = heapq.heappop(self.events)
            while self.events and self.events[0] <= self.now:
                heapq.heappop(self.events)
            changed = self._settle()
            looks = looks + 1 if only_looks and not changed else 0
            if looks > QUIET_LOOKS or self.now > LONGEST * (1 + len(self.machines)):
                self.stuck = True
                return
        self.done = self.now

    def _settle(self) -> bool:
        changed = False
        while (
            self._end()
            | scheduling.schedule(self)
            | scheduling.place(self)
            | machine_group.renew(self)
            | machine_group.scale(self)
        ):
            changed = True
        self.record()
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
            self.look(self.on(machine.id))
            for task in self.on(machine.id):
                self._lose(task, noticed)
            self.at(noticed)
        for name in [one.id for one in self.machines.values() if one.gone <= self.now]:
            self.look(self.on(name))
            for task in self.on(name):
                task.stopped = task.gone = self.now
                self.at(self.now + self.pace.of(delays.SCHEDULER))
            del self.machines[name]
            changed = True
        return changed

    def _lose(self, task: Task, noticed: float) -> None:
        if task.stopped is not None:
            task.gone = min(task.gone, self.now)
            self.at(task.gone + self.pace.of(delays.SCHEDULER))
            return
        task.lost = self.now
        failing = self.now + self.detection(task.service) + self.pace.of(delays.SCHEDULER)
        # ECS hears of it when the group does, if health checks have not found it before.
        task.failing = min(failing, noticed + self.pace.of(delays.SCHEDULER))
        self.at(task.failing, self.now + self.detection(task.service))

    def _is_at_rest(self) -> bool:
        if not self.moments:
            return False
        if any(one.outdated or one.leaving or one.joins > self.now for one in self.machines.values()):
            return False
        # After a notice that is not over yet.
        if any(one.ended is not None or one.draining < NEVER for one in self.machines.values()):
            return False
        if self.refreshing and any(one.joins + self.group.warmup > self.now for one in self.machines.values()):
            return False
        if any(task.stopped is not None or task.noticed > self.now or task.lost for task in self.tasks.values()):
            return False
        return len(machine_group.members(self)) >= self.desired and all(
            sum(task.service.name == one.name for task in self.tasks.values()) == one.desired for one in self.services
        )
