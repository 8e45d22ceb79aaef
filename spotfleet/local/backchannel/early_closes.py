"""Which target groups have targets that close idle connections before the load balancer does (rule L5), in words.

On AWS nothing tells of them but the 502 that they cause.
"""

import threading

_known: dict[str, str] = {}
_lock = threading.Lock()


def report(group: str, text: str | None) -> None:
    """Keep what is to be said of a target group, by its ARN; None where nothing is."""
    with _lock:
        if text:
            _known[group] = text
        else:
            _known.pop(group, None)


def now() -> dict[str, str]:
    """Return what was reported last, by group."""
    with _lock:
        return dict(_known)
