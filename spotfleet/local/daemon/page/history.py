"""What the charts of the live page show of the past: figures over time, in a buffer that does not grow."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from spotfleet.local.host import clock

# An hour of AWS's time: scaling in takes up to half of it. At high speeds more, for the eye to follow.
HOUR_SECONDS = 3600.0
LEAST_SECONDS = 300.0
# A chart is seldom wider than so many pixels.
POINTS = 600

Figures = Mapping[str, float | None]


def window() -> float:
    """Return the real seconds that are kept and shown."""
    return max(clock.seconds(HOUR_SECONDS), LEAST_SECONDS)


@dataclass(frozen=True)
class Kept:
    """The figures that were kept at a moment; what the page is sent is made of them when somebody asks."""

    looks: tuple[tuple[float, Figures], ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the times, and by name the figures at each of them; None where there was none."""
        names = sorted({name for _, figures in self.looks for name in figures})
        series = {name: [figures.get(name) for _, figures in self.looks] for name in names}
        return {"times": [round(moment, 3) for moment, _ in self.looks], "series": series}


class History:
    """The figures of an environment over the last `seconds`, at most `points` times."""

    def __init__(self, seconds: float, points: int = POINTS) -> None:
        self._seconds = seconds
        self._step = seconds / points
        self._kept: deque[tuple[float, Figures]] = deque(maxlen=points)

    def add(self, moment: float, figures: Figures) -> None:
        """Keep the figures of a moment, in seconds since 1970, in the place of an earlier one of the same step."""
        if self._kept and moment <= self._kept[-1][0]:
            # The computer's clock was set back: what was before would come after.
            self._kept.clear()
        if self._kept and self._number(self._kept[-1][0]) == self._number(moment):
            self._kept.pop()
        self._kept.append((moment, dict(figures)))
        while moment - self._kept[0][0] > self._seconds:
            self._kept.popleft()

    def kept(self) -> Kept:
        """Return what is kept now."""
        return Kept(tuple(self._kept))

    def _number(self, moment: float) -> int:
        return int(moment // self._step)
