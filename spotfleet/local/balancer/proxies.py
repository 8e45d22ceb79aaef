"""How HAProxy's backends are named: one of each target group for each node of the load balancer (rule L2).

Each has a second one, which has the group's targets, unchecked, while the node finds all of them unhealthy (rule L3).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN = ".open"
_NODE = re.compile(r"\.node\d+(\.open)?$")


@dataclass(frozen=True)
class Backend:
    """What one node knows of a target group, `name`; nodes are counted from 0."""

    group: str
    node: int

    @property
    def name(self) -> str:
        """The backend with checked targets."""
        return f"{self.group}.node{self.node}"

    @property
    def open(self) -> str:
        """The backend for the time without a healthy target."""
        return self.name + OPEN


def of_group(name: str, nodes: int) -> Iterator[Backend]:
    """Yield the backends of a group, which is named as in HAProxy, by node."""
    yield from (Backend(name, node) for node in range(nodes))


def group_of(proxy: str) -> str:
    """Return the group that a backend is of, by their names in HAProxy; any other proxy's own name."""
    return _NODE.sub("", proxy)
