"""How instance refreshes have ended, from the controller that decides to the API that tells.

AWS has no API for it: its own Auto Scaling both decides and tells.
"""

import threading

from spotfleet.behaviour.instance_refresh import Outcome
from spotfleet.local.backchannel import changes

_outcomes: dict[str, Outcome] = {}
_recording = threading.Lock()


def end(refresh_id: str, outcome: Outcome) -> None:
    """Keep how a refresh has ended; it ends only once."""
    with _recording:
        _outcomes.setdefault(refresh_id, outcome)
    changes.note()


def outcome_of(refresh_id: str) -> Outcome | None:
    """Return how a refresh has ended, or None while it goes on."""
    with _recording:
        return _outcomes.get(refresh_id)
