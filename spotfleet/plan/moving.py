"""What moves in a simulation, and what is seen of it: tasks, machines, a moment of both. Times are AWS's seconds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spotfleet.behaviour.delays import Delay
from spotfleet.plan.fleet import Service

NEVER = math.inf


class Pace(StrEnum):
    """Which end of each delay's range a simulation uses."""

    SHORTEST = "shortest"
    TYPICAL = "typical"
    LONGEST = "longest"

    def of(self, delay: Delay) -> float:
        """Return a delay in AWS's seconds."""
        return float(getattr(delay, self.value))


@dataclass
class Task:
    """A task: when what becomes of it happens; `lost` is when its machine ended under it."""

    id: str
    service: Service
    deployment: str
    asked: float = 0
    machine: str | None = None
    runs: float = NEVER
    healthy: float = NEVER
    noticed: float = NEVER
    stopped: float | None = None
    gone: float = NEVER
    lost: float | None = None
    failing: float = NEVER

    def serves(self, now: float) -> bool:
        """Return whether it answers requests."""
        return self.healthy <= now and self.stopped is None and self.lost is None


@dataclass
class Machine:
    """A machine: when it joins, drains and is gone; `outdated` ones are to be replaced."""

    id: str
    type: str
    zone: str
    spot: bool
    joins: float
    outdated: bool = False
    succeeded: bool = False
    leaving: bool = False
    draining: float = NEVER
    ended: float | None = None
    gone: float = NEVER
    replaced: bool = False


@dataclass(frozen=True)
class Moment:
    """What there is from a moment on: machines that joined, and by service old, new, serving and lost tasks."""

    seconds: float
    machines: int
    tasks: Mapping[str, tuple[int, int]]
    serving: Mapping[str, int]
    lost: Mapping[str, int]
    waiting: int
