"""Whether anything has changed since a moment: what the APIs tell of it is the same until then.

The controllers look many times a minute at an AWS in which nothing happens for hours. AWS has no API for that; here the
emulator, in the same process, says what a look at its tables gives, and the gate says when a call has changed them.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable

# Real seconds for which a look at the tables counts.
LOOK_SECONDS = 0.2

Version = tuple[int, int]

_calls = itertools.count()
_count = next(_calls)
_published = next(_calls)
_look: Callable[[], int | None] | None = None
_looked: tuple[float, int | None] = (-math.inf, None)
_lock = threading.Lock()


def watch(look: Callable[[], int | None] | None) -> None:
    """Take what looks at the tables: it returns a number that is another one after a change, None amid changes."""
    global _look, _looked  # one embedded AWS a process
    with _lock:
        _look, _looked = look, (-math.inf, None)


def note() -> None:
    """Say that a call has changed something, or may have."""
    global _count, _looked
    with _lock:
        _count, _looked = next(_calls), (-math.inf, None)


def note_metrics() -> None:
    """Say that a metric has been published: of all that is told, only the metrics are other ones."""
    global _published  # noqa: PLW0603  # one embedded AWS a process
    with _lock:
        _published = next(_calls)


def version_of_metrics() -> tuple[Version, int] | None:
    """Return what is the same as long as nothing changes and no metric is published; None as `version` does."""
    known = version()
    return None if known is None else (known, _published)


def version() -> Version | None:
    """Return what is the same as long as nothing changes; None where that is not known, as in any other process."""
    global _looked  # noqa: PLW0603  # one embedded AWS a process
    with _lock:
        if _look is None:
            return None
        looked_at, number = _looked
        if time.monotonic() - looked_at > LOOK_SECONDS:
            number = _look()
            _looked = (time.monotonic(), number)
        return None if number is None else (_count, number)
