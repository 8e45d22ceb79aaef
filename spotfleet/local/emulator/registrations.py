"""Who is registered with a target group, and who is leaving."""

from collections.abc import Iterable
from typing import Any

from spotfleet.local.backchannel.target_health import Target

# The time until which a registration that is leaving is kept, in the clock of time.time().
LEAVES_AT = "LeavesAt"

# A registration is a dictionary with Id and Port, as in ELBv2's API, and LeavesAt while it is leaving.
Registration = dict[str, Any]


def key(registration: Registration) -> Target:
    """Return the target that is registered."""
    return Target(registration["Id"], int(registration["Port"]))


def registered(registrations: Iterable[Registration], new: Iterable[Target]) -> list[Registration]:
    """Return the registrations with new ones added; one that was leaving stays."""
    by_target = {key(item): item for item in registrations}
    by_target |= {target: {"Id": target.id, "Port": target.port} for target in new if _leaves(by_target.get(target))}
    return list(by_target.values())


def _leaves(registration: Registration | None) -> bool:
    return registration is None or LEAVES_AT in registration


def deregistered(registrations: Iterable[Registration], gone: Iterable[Target], leaves_at: float) -> list[Registration]:
    """Return the registrations of which some now leave, for good at `leaves_at`."""
    leaving = set(gone)
    return [
        {LEAVES_AT: leaves_at} | item if key(item) in leaving else item  # one that leaves already keeps its time
        for item in registrations
    ]


def kept(registrations: Iterable[Registration], now: float) -> list[Registration]:
    """Return the registrations without those whose time is over."""
    return [item for item in registrations if item.get(LEAVES_AT, now + 1) > now]
