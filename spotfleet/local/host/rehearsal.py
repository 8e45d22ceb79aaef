"""What every figure depends on: how fast AWS's times pass here, and which of AWS's delays there are."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spotfleet.behaviour.delays import Mode
from spotfleet.local.host import clock, delays


@dataclass(frozen=True)
class Rehearsal:
    """LOCAL_SPEED, LOCAL_DELAYS and LOCAL_SEED of an embedded AWS."""

    speed: float
    delays: str
    seed: int

    @property
    def label(self) -> str:
        """What to show beside figures."""
        return f"{clock.label(self.speed)}; {delays.label(self.delays, self.seed)}"

    def as_json(self) -> dict[str, Any]:
        """Return what an embedded AWS tells of it: `told` makes the same of that."""
        return asdict(self)


def own() -> Rehearsal:
    """Return this process's; raises Failure when one of the variables says something that is none."""
    return Rehearsal(clock.speed(), delays.mode(), delays.seed())


def told(identity: Mapping[str, Any]) -> Rehearsal:
    """Return that of the embedded AWS that says who it is; one that an earlier version started has no delays."""
    return Rehearsal(float(identity["speed"]), identity.get("delays", Mode.INSTANT), int(identity.get("seed", 0)))


def require() -> None:
    """Raise Failure when a variable says something that is none; no seed is drawn, for one may run already."""
    clock.speed()
    delays.mode()
    if os.environ.get(delays.SEED_VARIABLE):
        delays.seed()
