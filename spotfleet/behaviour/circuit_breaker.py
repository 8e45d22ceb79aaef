"""When a deployment has failed: by its tasks, by its alarms. Decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html (rules E5 and E6)
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html (rule E7)
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from spotfleet.behaviour.record import Record

WHOLE = 100
FEWEST = 3
MOST = 200


class Failure(StrEnum):
    """How a task failed: it never ran, it failed its health checks, or it ended by itself after it ran."""

    START = "start"
    HEALTH = "health"
    EXIT = "exit"


def threshold(configuration: Record, desired: int) -> int:
    """Return how many failures end a deployment: half of the desired count, from 3 to 200, or as configured.

    `configuration` is deploymentCircuitBreaker of the deployment configuration.
    """
    configured: dict[str, Any] = configuration.get("thresholdConfiguration") or {}
    value = float(configured.get("value", 50))
    match configured.get("type", "BOUNDED_PERCENT"):
        case "COUNT":
            return max(1, int(value))
        case "UNBOUNDED_PERCENT":
            return max(1, math.ceil(value * desired / WHOLE))
    return min(MOST, max(FEWEST, math.ceil(value * desired / WHOLE)))


def counts(failure: Failure, *, has_run: bool) -> bool:
    """Return whether a failure counts; `has_run` is whether any task of the deployment has been RUNNING.

    A container that ends by itself counts never (aws/containers-roadmap#1206), and one that cannot start no more once
    another has run: the second stage looks at health checks alone.
    """
    return failure is Failure.HEALTH or (failure is Failure.START and not has_run)


def bake_seconds(configured_minutes: float | None, windows: Iterable[float]) -> float:
    """Return how long a finished deployment is watched: as configured, or the longest of its alarms' windows.

    A window is an alarm's period times its evaluation periods, in seconds. AWS works its default out from the alarms as
    well, does not say how, and keeps it below 5 minutes or so: the longest window is an estimate.
    """
    if configured_minutes is not None:
        return 60 * configured_minutes
    return max(windows, default=0.0)
