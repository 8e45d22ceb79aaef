"""How long targets keep an idle connection, found out with one connection to each.

A target that closes earlier than the load balancer meets a new request now and then on AWS (rule L5). HAProxy is so
near to the targets here that it always sees the close first: so this is said instead.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from spotfleet.local.backchannel import early_closes
from spotfleet.local.backchannel.target_health import Target
from spotfleet.local.balancer.wanted import Group

logger = logging.getLogger("spotfleet.balancer")

RECEIVE = 65536
# How far two times may be apart that are the same setting of a target: looks are less than a second apart.
ALIKE_SECONDS = 1.0
# What says that a connection is not kept, which the load balancer then knows.
NOT_KEPT = (b"http/1.0", b"connection: close")


@dataclass
class Probe:
    """A connection to a target, and when the target last said something there."""

    connection: socket.socket
    asked: bool = False
    answered_at: float | None = None
    head: bytes = b""


@dataclass
class Known:
    """What is known of a target: whether it is known for good, and how long it has kept idle connections, in seconds.

    A close is believed when the next connection ends like it: a target that ends closes its connections, too.
    """

    probe: Probe | None = None
    settled: bool = False
    kept: list[float] = field(default_factory=list)

    @property
    def early(self) -> float | None:
        """After how many seconds idle connections are closed, where that is too early."""
        return min(self.kept) if self.settled and self.kept else None


class KeepAlives:
    """Looks at the targets of all groups, without ever waiting for one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Target], Known] = {}

    def forget_others(self, groups: Collection[str]) -> None:
        """Forget what is known of target groups that are not among those, by ARN."""
        for arn, target in list(self._known):
            if arn not in groups:
                _close(self._known.pop((arn, target)))
                early_closes.report(arn, None)

    def look(self, group: Group, healthy: Collection[Target], idle_timeout: float) -> None:
        """Go on with the healthy targets of a group, and say which close connections before `idle_timeout` seconds."""
        for key in [key for key in self._known if key[0] == group.arn and key[1] not in healthy]:
            _close(self._known.pop(key))
        for target in healthy:
            known = self._known.setdefault((group.arn, target), Known())
            if not known.settled:
                _go_on(known, group, target, idle_timeout)
        early = [known.early for (arn, _target), known in self._known.items() if arn == group.arn and known.early]
        text = _text(group, min(early), idle_timeout) if early else None
        if text and early_closes.now().get(group.arn) != text:
            logger.warning(text)
        early_closes.report(group.arn, text)


def _text(group: Group, seconds: float, idle_timeout: float) -> str:
    return (
        f"The targets of {group.name} close idle connections after {seconds:.0f} s, before the load balancer does "
        f"({idle_timeout:.0f} s): on AWS a request now and then meets the close, and is answered with 502. "
        "Let them keep connections for longer, or lower idle_timeout_seconds."
    )


def _go_on(known: Known, group: Group, target: Target, idle_timeout: float) -> None:
    """Do what can be done of a target's probe without waiting."""
    try:
        known.probe = known.probe or _connected(target.port)
        ended = _ended(known.probe, group)
    except OSError:
        # It refuses, or ended without an answer: that is the health checks' to find.
        _close(known)
        return
    idle = time.monotonic() - known.probe.answered_at if known.probe.answered_at else 0.0
    if _is_not_kept(known.probe) or idle >= idle_timeout:
        known.settled, known.kept = True, []
    elif ended:
        known.settled = any(abs(idle - before) <= ALIKE_SECONDS for before in known.kept)
        known.kept.append(idle)
    if ended or known.settled:
        _close(known)


def _connected(port: int) -> Probe:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))
    return Probe(connection)


def _ended(probe: Probe, group: Group) -> bool:
    """Ask once, take what has come, and return whether the target has closed an idle connection; raises OSError."""
    with contextlib.suppress(BlockingIOError):
        if not probe.asked:
            probe.connection.send(_request(group))
            probe.asked = True
        while received := probe.connection.recv(RECEIVE):
            probe.answered_at = time.monotonic()
            probe.head = (probe.head + received)[:RECEIVE]
        if probe.answered_at is None:
            raise ConnectionError("closed without an answer")
        return True
    return False


def _request(group: Group) -> bytes:
    return f"GET {group.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n".encode()


def _is_not_kept(probe: Probe) -> bool:
    head = probe.head.partition(b"\r\n\r\n")[0].lower()
    return any(sign in head for sign in NOT_KEPT)


def _close(known: Known) -> None:
    if known.probe:
        known.probe.connection.close()
        known.probe = None
