"""The memory that the bodies of all requests under way may take together."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from service.settings import Settings

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
# What the service takes without any body, and the part of the rest that bodies may take as they arrive: a handler has
# them twice for a moment, as bytes and as text, and makes something of them.
BASE_BYTES = 48 * 1024 * 1024
PART = 4
SECONDS_BETWEEN_WARNINGS = 60

logger = logging.getLogger("service")


def most_body_bytes(settings: Settings) -> int:
    """Return how many bytes all bodies may take together: as set, or a part of the task's memory. One always fits."""
    if settings.body_memory_bytes:
        return settings.body_memory_bytes
    return max((task_memory() - BASE_BYTES) // PART, settings.max_body_bytes)


def task_memory(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """Return the least of the limits that hold for this process and of what the machine has, in bytes.

    The files are those of version 2 and 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files).
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *limits(cgroups, own_cgroup)])


def limits(cgroups: Path, own_cgroup: Path) -> Iterator[int]:
    """Yield the limits of the process's groups and of those that these are in."""
    for folder, name in ((cgroups, "memory.max"), (cgroups / "memory", "memory.limit_in_bytes")):
        for group in own_groups(own_cgroup):
            for part in (group, *group.parents):
                text = content(folder / part / name)
                if text.isdigit():
                    yield int(text)


def own_groups(own_cgroup: Path) -> list[Path]:
    """Return the groups that the process is in; a container sees its own as the root, or not at all."""
    paths = [line.rpartition(":")[2].lstrip("/") for line in content(own_cgroup).splitlines()]
    return [Path(), *(Path(path) for path in paths if ".." not in path)]


def content(file: Path) -> str:
    """Return what is in `file`, nothing if it cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


class Holder(Protocol):
    """Who has a part of the memory."""

    held_bytes: int
    held_since: float

    def can_give_way(self) -> bool:
        """Return whether its body is still arriving, so that it can be refused."""

    def give_way(self) -> None:
        """Refuse the body, and give back what it holds."""


class BodyMemory:
    """Counts the bytes of all bodies under way, and keeps their sum within a limit.

    When it is used up, the body gives way that has taken most of it for longest: many slow or stalled clients cannot
    keep out those who send theirs at once, and nobody has to wait for them.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.holders: set[Holder] = set()
        self.warned_at = -float(SECONDS_BETWEEN_WARNINGS)

    def take(self, holder: Holder, size: int) -> bool:
        """Count `size` bytes more for `holder`; return whether it may have them, or has to do without any more."""
        now = time.monotonic()
        while self.used + size > self.limit:
            self.warn(now)
            victim = max(
                (one for one in self.holders if one.can_give_way()),
                key=lambda one: one.held_bytes * (now - one.held_since),
                default=None,
            )
            if victim is None:
                return False
            victim.give_way()
            if victim is holder:
                return False
        if not holder.held_bytes:
            holder.held_since = now
            self.holders.add(holder)
        holder.held_bytes += size
        self.used += size
        return True

    def give_back(self, holder: Holder) -> None:
        """Count nothing for `holder` any more."""
        self.used -= holder.held_bytes
        holder.held_bytes = 0
        self.holders.discard(holder)

    def warn(self, now: float) -> None:
        """Log that bodies are refused, once in a while."""
        if now - self.warned_at >= SECONDS_BETWEEN_WARNINGS:
            self.warned_at = now
            details = {"bytes": self.limit}
            logger.warning("request bodies are refused: their memory is used up", extra={"details": details})
