"""The nodes of a load balancer, which check and balance each by itself: decisions only."""

from collections.abc import Sequence

DECIDED = ("healthy", "unhealthy")


def count(zones: int) -> int:
    """Return how many nodes a load balancer with so many zones has: one in each, the least that AWS has (rule L2)."""
    return max(1, zones)


def told(before: str, by_node: Sequence[str]) -> str:
    """Return the state of a target that the API tells, from those that the nodes know, of which there is at least one.

    AWS does not say how it makes one of them. Here a change is told once the last node has found it: a new target is
    healthy when requests come from every node, and an unhealthy one is missed when it gets no more (rule L2).
    `before` was told last.
    """
    if len(set(by_node)) == 1:
        return by_node[0]
    return before if before in DECIDED else "initial"


def first_check(phase: float, interval: float, earliest: float) -> float:
    """Return the seconds from a target's registration to a node's first check: `earliest` to `interval` (rule L1).

    Each node checks in a rhythm of its own, which `phase`, from 0 to 1, is drawn for.
    """
    return earliest + phase * max(0.0, interval - earliest)
