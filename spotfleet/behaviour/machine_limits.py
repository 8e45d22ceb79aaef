"""What a machine as a whole gives its containers: its CPU divided among them, and memory that is not enough.

Each container has limits of its own, which say nothing of their sum. Rules M2 and M3.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
https://github.com/aws/amazon-ecs-agent/blob/master/README.md
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spotfleet.behaviour.usage import CPU_UNITS

# System, Docker and ECS agent use so much of a machine, in MiB, whatever ECS_RESERVED_MEMORY says: rule M2.
SYSTEM_MIB = 200

# As ECS tells that a container was ended for memory.
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"

# A container that uses less of what it got than this would not use more.
BUSY_SHARE = 0.9

# What a container that is not busy may use of a machine without room more than it just did, as factor and in vCPUs, so
# that its next request does not wait for the next measurement.
GROWTH = 1.5
SPARE_VCPUS = 0.005

# From this share of a machine's CPU or memory on it is measured often.
NEAR = 0.8

# Factors by which a limit may be too high, and too low: each change is a call of Docker's.
SLIGHTLY = 1.01
CLEARLY = 1.05

# Microseconds: Docker takes no shorter quota, nor a longer period.
SHORTEST_QUOTA = 1000
LONGEST_PERIOD = 1_000_000


@dataclass(frozen=True)
class Container:
    """A container as its machine's kernel sees it: `shares` weigh it against others, `most` is its own limit.

    `demand` and `most` are in vCPUs. The containers of a `task` with a CPU size share that: `most` is the task's then.
    """

    demand: float
    shares: float
    most: float = math.inf
    task: str = ""


def divide(containers: Sequence[Container], vcpus: float) -> list[float]:
    """Return the vCPUs that each container gets, which are never more than `vcpus` together.

    Who wants less than its share of them gets that; the others divide the rest by their shares, as the kernel does.
    """
    wanted = [min(one.demand, one.most) for one in containers]
    given = [0.0] * len(containers)
    hungry, left = set(range(len(containers))), vcpus
    while hungry:
        weight = sum(containers[index].shares for index in hungry)
        full = {index for index in hungry if wanted[index] * weight <= left * containers[index].shares}
        if not full:
            for index in hungry:
                given[index] = left * containers[index].shares / weight
            break
        for index in full:
            given[index] = wanted[index]
        left = max(0.0, left - sum(wanted[index] for index in full))
        hungry -= full
    return given


def limits(containers: Sequence[Container], allowed: float, vcpus: float) -> list[float]:
    """Return the vCPUs to limit each container to: what it wants, and its part of what nobody wants.

    Together they are at most what the machine is allowed of its `vcpus`. Where that is all of them and the containers
    want less, each may have as much as it gets alone. Tasks share the machine, the containers of each task its size.
    """
    groups = _by_size(containers)
    found = [0.0] * len(containers)
    for group, part in zip(
        groups, _limits([_together(containers, group) for group in groups], allowed, vcpus), strict=True
    ):
        inside = [containers[index] for index in group]
        for index, vcpu in zip(group, _limits(inside, part, part) if len(group) > 1 else [part], strict=True):
            found[index] = vcpu
    return found


def _by_size(containers: Sequence[Container]) -> list[list[int]]:
    """Return the places of the containers that share a size, and of each that has none or all of one to itself."""
    groups: dict[object, list[int]] = {}
    for index, one in enumerate(containers):
        groups.setdefault(one.task if one.task and one.most < math.inf else index, []).append(index)
    return list(groups.values())


def _together(containers: Sequence[Container], group: Sequence[int]) -> Container:
    """Return the containers of a group as their machine's kernel sees them together."""
    first = containers[group[0]]
    if len(group) == 1:
        return first
    wanted = sum(min(containers[index].demand, first.most) for index in group)
    return Container(wanted, first.most * CPU_UNITS, first.most)


def _limits(containers: Sequence[Container], allowed: float, vcpus: float) -> list[float]:
    if allowed >= vcpus and sum(min(one.demand, one.most) for one in containers) < vcpus:
        return [min(one.most, vcpus) for one in containers]
    given = divide(containers, allowed)
    room = [replace(one, demand=math.inf, most=one.most - part) for one, part in zip(containers, given, strict=True)]
    more = divide(room, allowed - sum(given))
    return [part + extra for part, extra in zip(given, more, strict=True)]


def demand(used: float, limit: float) -> float:
    """Return how many vCPUs a container wants that used so many of its limit: no end of them when it was held back."""
    return math.inf if used >= BUSY_SHARE * limit else used * GROWTH + SPARE_VCPUS


def quota(vcpus: float, period: int) -> tuple[int, int]:
    """Return the period and the quota, in microseconds, that limit a container to so many vCPUs.

    `period` is the agent's, which is kept unless it would make the quota shorter than Docker takes.
    """
    vcpus = max(vcpus, SHORTEST_QUOTA / LONGEST_PERIOD)
    period = max(period, math.ceil(SHORTEST_QUOTA / vcpus))
    return period, int(period * vcpus)


def over_memory(used: Mapping[str, float], total_mib: float) -> str | None:
    """Return the container that the kernel ends, or None while the memory of a machine is enough.

    `used` is in MiB by container, `total_mib` what the machine's kernel says it has. It is the largest one, as the
    kernel takes who frees most.
    """
    if sum(used.values()) + SYSTEM_MIB <= total_mib:
        return None
    return max(used, key=lambda name: used[name], default=None)


def over_size(used: Mapping[str, float], size_mib: float) -> str | None:
    """Return the container that the kernel ends when those of a task use more MiB together than the task's size."""
    return max(used, key=lambda name: used[name], default=None) if sum(used.values()) > size_mib else None


def is_near(
    containers: Sequence[Container], used_mib: float, *, allowed: float, vcpus: float, total_mib: float
) -> bool:
    """Return whether a machine may need other limits, or memory that it has not, before long: it is measured often.

    `allowed` is what it may use for the next minute. Who has little but whose containers may use no more is at ease.
    """
    groups = [(group, _together(containers, group)) for group in _by_size(containers)]
    if any(len(group) > 1 and one.demand >= NEAR * one.most for group, one in groups):
        return True
    most = sum(min(one.most, vcpus) for _group, one in groups)
    wanted = sum(min(one.demand, one.most, vcpus) for _group, one in groups)
    if most > allowed and (allowed < vcpus or wanted >= NEAR * vcpus):
        return True
    return used_mib + SYSTEM_MIB >= NEAR * total_mib


def must_change(limit: float, wanted: float) -> bool:
    """Return whether a container's limit is to be set anew: at once when it is too high, else when it is worth it."""
    return wanted < limit / SLIGHTLY or wanted > limit * CLEARLY
