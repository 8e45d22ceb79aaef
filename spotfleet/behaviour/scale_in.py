"""Which task of a service goes when it has too many. Decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-strategies.html (rule E4)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour.placement import INSTANCE_TYPE, ZONE


@dataclass(frozen=True)
class Placed:
    """A task and its machine, with what CPU units and MiB other tasks leave there."""

    id: str
    machine: str
    zone: str
    type: str = ""
    cpu: int = 0
    memory: int = 0


def in_order(tasks: Sequence[Placed], strategies: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the tasks in the order in which they would go: zones stay even, then machines get empty.

    Among equals AWS chooses at random: here the first given.
    """
    left, order = list(tasks), []
    while left:
        goes = _next(left, strategies)
        left.remove(goes)
        order.append(goes.id)
    return order


def _next(tasks: Sequence[Placed], strategies: Sequence[Mapping[str, str]]) -> Placed:
    # Zones come first even where no strategy names them.
    candidates = _fullest(tasks, [task.zone for task in tasks])
    for strategy in strategies:
        name = strategy.get("field", "")
        if strategy.get("type") == "spread":
            candidates = _fullest(candidates, [_place(task, name) for task in candidates])
        elif strategy.get("type") == "binpack":
            room = [task.cpu if name.lower() == "cpu" else task.memory for task in candidates]
            candidates = [task for task, free in zip(candidates, room, strict=True) if free == max(room)]
    return candidates[0]


def _fullest(tasks: Sequence[Placed], places: Sequence[str]) -> list[Placed]:
    counts = Counter(places)
    return [task for task, place in zip(tasks, places, strict=True) if counts[place] == max(counts.values())]


def _place(task: Placed, name: str) -> str:
    return {ZONE: task.zone, INSTANCE_TYPE: task.type}.get(name, task.machine)
