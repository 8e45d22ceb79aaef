"""What machines of groups have signalled to CloudFormation, from the API that is told to whoever waits for it.

AWS has no API that tells of it but the stack's events.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from spotfleet.local.backchannel import changes


@dataclass
class _Wait:
    """A wait for a group's signals: `present` are the machines that have been there before, and signal no more."""

    present: frozenset[str]
    signals: dict[str, bool] = field(default_factory=dict)


# By group.
_waits: dict[str, _Wait] = {}
_recording = threading.Lock()


def begin(group: str, present: Iterable[str] = ()) -> None:
    """Wait for the signals of the machines that a group launches from now on."""
    with _recording:
        _waits[group] = _Wait(frozenset(present))


def end(group: str) -> None:
    """Wait for a group's signals no more, and forget those that came."""
    with _recording:
        _waits.pop(group, None)


def note(group: str, machine: str, *, success: bool) -> bool:
    """Keep a signal, and return whether it is the first one of its machine: AWS takes each once."""
    with _recording:
        wait = _waits.get(group)
        if wait is None or machine in wait.signals:
            return False
        wait.signals[machine] = success
    changes.note()
    return True


def of(group: str) -> dict[str, bool]:
    """Return what has been signalled to a group that is waited for, by machine: whether it was SUCCESS.

    Those that were there before have done that in their time.
    """
    with _recording:
        wait = _waits.get(group)
        return dict.fromkeys(wait.present, True) | wait.signals if wait else {}


def is_awaited(group: str, machine: str) -> bool:
    """Return whether CloudFormation waits for the signal of a machine."""
    with _recording:
        wait = _waits.get(group)
        return wait is not None and machine not in wait.present and machine not in wait.signals
