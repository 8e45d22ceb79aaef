"""What fits into the two minutes of a Spot notice: the worked example of rule S3, by the decisions of each part."""

from dataclasses import dataclass, field, replace

import pytest

from spotfleet.behaviour import delays, rollout
from spotfleet.behaviour.machine_life import Machine, has_booted, is_due, must_drain
from spotfleet.behaviour.rollout import State, Task
from spotfleet.behaviour.spot_notice import NOTICE_SECONDS, START_SECONDS

DEREGISTRATION, STOP, FIRST_CHECK = 30, 10, 10
HEEDED, SCHEDULER, BOOT = (delay.typical for delay in (delays.NOTICE_HEEDED, delays.SCHEDULER, delays.BOOT))
# The notice comes 15 s into a minute: a task that waits is in the value of that minute (rule C6).
MACHINE_ASKED_FOR = 45 + delays.RESERVATION_PUBLISHED.typical + delays.RESERVATION_LOOKED_AT.typical
SPOT = Machine("i-1", "group", "t3.micro", "eu-west-1a", spot=True, running=True, leaving=False, launched=0)


@dataclass
class Notice:
    """A service of two tasks, one on a machine that gets its notice at 0; moments in AWS's seconds from then.

    `joins` is when a machine with room for another task has joined.
    """

    minimum_percent: int
    joins: float
    tasks: dict[str, Task] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)

    def run(self, until: int) -> None:
        """Let the scheduler look whenever something it knows has changed, as late as it does."""
        agent = {"ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true"}
        registered = {"status": "ACTIVE", "runningTasksCount": 1, "pendingTasksCount": 0}
        machine = replace(SPOT, agent=agent, ecs=registered, notice=NOTICE_SECONDS)
        self.tasks = {name: Task(name, "web", State.HEALTHY) for name in ("moved", "other")}
        looks: set[float] = set()
        due: dict[float, list[tuple[str, State | None]]] = {}
        for now in range(until):
            changed = due.pop(now, [])
            for name, state in changed:
                self._become(name, state, now)
            if must_drain(machine, now, HEEDED):
                machine = replace(machine, ecs=registered | {"status": "DRAINING"})
                self.tasks["moved"] = replace(self.tasks["moved"], draining=True)
                self.told["drains"] = now
                changed = [("moved", State.HEALTHY)]
            if is_due(machine, now):
                machine = replace(machine, running=False)
                if self.tasks.pop("moved", None):
                    self.told.setdefault("cut off", now)
            looks |= {now + SCHEDULER} if changed else set()
            if now in looks:
                self._look(now, due)

    def _become(self, name: str, state: State | None, now: float) -> None:
        if state is None:
            self.told["gone"] = now
            self.tasks.pop(name, None)
        elif name in self.tasks:
            self.tasks[name] = replace(self.tasks[name], state=state)
            self.told["replacement serves"] = now

    def _look(self, now: int, due: dict[float, list[tuple[str, State | None]]]) -> None:
        service = rollout.Service(2, "web", self.minimum_percent)
        step = rollout.next_step(service, list(self.tasks.values()))
        for _ in range(step.start.get("web", 0)):
            self.tasks["new"] = Task("new", "web", State.STARTING)
            serves = max(now, self.joins) + START_SECONDS + FIRST_CHECK
            due.setdefault(serves, []).append(("new", State.HEALTHY))
        for name in step.stop:
            self.tasks[name] = replace(self.tasks[name], state=State.STOPPING)
            self.told |= {"leaves": now, "SIGTERM": now + DEREGISTRATION}
            due.setdefault(now + DEREGISTRATION + STOP, []).append((name, None))


def noticed(minimum_percent: int, joins: float = 0) -> dict[str, float]:
    """Return when what happens to the task on the machine that is taken, and to its replacement."""
    notice = Notice(minimum_percent, joins)
    notice.run(300)
    return notice.told


def test_with_room_elsewhere_a_task_is_gone_43_seconds_before_its_machine() -> None:
    assert noticed(100) == {"drains": 2, "replacement serves": 27, "leaves": 37, "SIGTERM": 67, "gone": 77}


def test_without_room_its_machine_is_taken_from_under_it_while_the_next_one_boots() -> None:
    booting = replace(SPOT, launched=MACHINE_ASKED_FOR, boot=BOOT)
    joins = next(now for now in range(300) if has_booted(booting, now - booting.launched))
    assert (MACHINE_ASKED_FOR, joins) == (120, 195)
    told = noticed(100, joins)
    assert told == {"drains": 2, "cut off": NOTICE_SECONDS, "replacement serves": joins + START_SECONDS + FIRST_CHECK}


@pytest.mark.parametrize("joins", [0, 195])
def test_with_half_of_them_needed_a_task_leaves_at_once_room_or_not(joins: float) -> None:
    told = noticed(50, joins)
    assert [told[name] for name in ("leaves", "SIGTERM", "gone")] == [12, 42, 52]
    assert "cut off" not in told
