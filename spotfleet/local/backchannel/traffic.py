"""What the load balancer sees just now, for the live page: AWS has no call for it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Now:
    """A target group's last seconds: requests per second, and response times in seconds."""

    requests_per_second: float
    p50: float | None
    p99: float | None
    errors_per_second: float


NOTHING = Now(0.0, None, None, 0.0)
_now: dict[str, Now] = {}
_lock = threading.Lock()


def report(groups: Mapping[str, Now]) -> None:
    """Keep the last seconds of every target group, by its name as in CloudWatch's dimensions."""
    with _lock:
        _now.clear()
        _now.update(groups)


def now() -> dict[str, Now]:
    """Return what was reported last."""
    with _lock:
        return dict(_now)
