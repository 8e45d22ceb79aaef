"""Which alarms call their actions, from the controller that judges them to those that scale.

An alarm of Auto Scaling calls its policy each time that it is judged and is in ALARM, not only when its state changes
(rules W2 and T11). CloudWatch has no API that tells of this.
"""

import threading

# By region and alarm: when it was judged last, in seconds since 1970, where it was in ALARM then.
_called: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def report(region: str, alarm: str, moment: float, *, in_alarm: bool) -> None:
    """Keep that an alarm was judged at a moment, and calls its actions if it is in ALARM."""
    with _lock:
        if in_alarm:
            _called[region, alarm] = moment
        else:
            _called.pop((region, alarm), None)


def forget(region: str, present: set[str]) -> None:
    """Let go of the alarms of a region that are not among those that are there."""
    with _lock:
        for key in [key for key in _called if key[0] == region and key[1] not in present]:
            del _called[key]


def called(region: str) -> dict[str, float]:
    """Return the alarms of a region that call their actions, with when they were judged last."""
    with _lock:
        return {alarm: moment for (where, alarm), moment in _called.items() if where == region}


class Calls:
    """The calls that one who follows them has not answered yet."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str], float] = {}

    def new(self, region: str) -> dict[str, float]:
        """Return the alarms of a region that have called since this was asked last, with when they were judged."""
        calls = called(region)
        fresh = {alarm: moment for alarm, moment in calls.items() if self._answered.get((region, alarm)) != moment}
        kept = {key: moment for key, moment in self._answered.items() if key[0] != region}
        self._answered = kept | {(region, alarm): moment for alarm, moment in calls.items()}
        return fresh
