"""The targets of target groups: who is registered, who is leaving, and what the load balancer measured of each.

A target is a machine's id and a port. The embedded AWS keeps the registrations; the balancer, in the same process,
reports here what it measured, because AWS has no API for that.
"""

import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

# Seconds after which a report of a balancer that has fallen silent no longer counts.
STALE_SECONDS = 10.0


class Target(NamedTuple):
    """A machine's id and the port of it that a task answers on."""

    id: str
    port: int


@dataclass(frozen=True)
class Health:
    """What the balancer knows of a target: AWS's words for state and reason, and its requests in flight."""

    state: str
    reason: str = ""
    description: str = ""
    requests: int = 0


INITIAL = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
UNUSED = Health("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
DRAINING = Health("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
ENDED = Health("unused", "Target.InvalidState", "Target is in the terminated state")

_reports: dict[str, tuple[float, dict[Target, Health]]] = {}
_lock = threading.Lock()


def report(group: str, measured: dict[Target, Health]) -> None:
    """Take what the balancer measured of all targets of a group, which replaces its last report."""
    with _lock:
        _reports[group] = (time.monotonic(), measured)


def health(group: str, target: Target) -> Health:
    """Return what the balancer last said about a target: initial while it has said nothing."""
    with _lock:
        said_at, measured = _reports.get(group, (0.0, {}))
    if time.monotonic() - said_at > STALE_SECONDS:
        return INITIAL
    return measured.get(target, INITIAL)


def is_idle(group: str, target: Target) -> bool:
    """Return whether the balancer sends a target nothing more and waits for no answer of it."""
    known = health(group, target)
    return known.state == "draining" and known.requests == 0
