"""Which delays of AWS this rehearsal has: LOCAL_DELAYS and LOCAL_SEED say, and each is drawn once.

An occurrence (this machine's boot, this alarm's phase) keeps what was drawn for it. What occurs in the same order draws
the same again from the same seed, whatever names it gets.
"""

import os
import random
import threading
from collections import OrderedDict

from spotfleet.behaviour.delays import Delay, Mode, drawn
from spotfleet.local.host.console import Failure

VARIABLE = "LOCAL_DELAYS"
SEED_VARIABLE = "LOCAL_SEED"
HIGHEST_SEED = 999_999
# Occurrences that are remembered of one delay: far more than are ever under way together.
KEPT = 10_000


def mode() -> Mode:
    """Return which end of the ranges is used: LOCAL_DELAYS, by default typical.

    Raises Failure when LOCAL_DELAYS is something else.
    """
    value = os.environ.get(VARIABLE) or Mode.TYPICAL
    try:
        return Mode(value)
    except ValueError:
        raise Failure(f"{VARIABLE} is {value!r}: give typical, or slow for the far end of each range.") from None


def seed() -> int:
    """Return the seed of the ranges: LOCAL_SEED, or one that is drawn now and stays this process's.

    Raises Failure when LOCAL_SEED is no number from 0 to 999999.
    """
    value = os.environ.get(SEED_VARIABLE)
    if not value:
        value = os.environ[SEED_VARIABLE] = str(random.SystemRandom().randint(0, HIGHEST_SEED))
    if not value.isdecimal() or int(value) > HIGHEST_SEED:
        raise Failure(f"{SEED_VARIABLE} is {value!r}: give a number from 0 to {HIGHEST_SEED}.")
    return int(value)


def label(mode_name: str | None = None, seed_number: int | None = None) -> str:
    """Return what to show beside figures, of another process's delays or of this one's."""
    kind = Mode(mode_name) if mode_name else mode()
    if kind is Mode.INSTANT:
        return "without AWS's delays: a test, no rehearsal"
    if kind is Mode.SLOW:
        return f"AWS's longest delays ({VARIABLE}=slow)"
    return f"AWS's typical delays ({SEED_VARIABLE}={seed() if seed_number is None else seed_number} repeats them)"


class Draws:
    """What was drawn for each occurrence of each delay. Safe for threads."""

    def __init__(self, mode: Mode, seed: int) -> None:
        self._mode = mode
        self._seed = seed
        self._streams: dict[str, random.Random] = {}
        self._drawn: dict[str, OrderedDict[str, float]] = {}
        self._lock = threading.Lock()

    def of(self, delay: Delay, occurrence: str) -> float:
        """Return an occurrence's delay in AWS's seconds, the same each time it is asked for."""
        with self._lock:
            known = self._drawn.setdefault(delay.name, OrderedDict())
            if occurrence not in known:
                stream = self._streams.setdefault(delay.name, random.Random(f"{self._seed}/{delay.name}"))  # noqa: S311
                known[occurrence] = drawn(delay, self._mode, stream)
                if len(known) > KEPT:
                    known.popitem(last=False)
            return known[occurrence]


_draws: dict[tuple[Mode, int], Draws] = {}


def of(delay: Delay, occurrence: str) -> float:
    """Return an occurrence's delay in AWS's seconds, by LOCAL_DELAYS and LOCAL_SEED."""
    key = (mode(), seed())
    return _draws.setdefault(key, Draws(*key)).of(delay, occurrence)
