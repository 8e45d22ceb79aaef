"""Where ECS places a task, and how many machines its tasks need: decisions only, on numbers.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-strategies.html
https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

ZONE = "attribute:ecs.availability-zone"
INSTANCE_TYPE = "attribute:ecs.instance-type"
# What a service without placement strategies gets.
DEFAULT_STRATEGY: tuple[Mapping[str, str], ...] = ({"type": "spread", "field": ZONE},)
FULL_PERCENT = 100
# Ports of a machine that no task gets: SSH, Docker and the ECS agent have them (rule M4).
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
RESERVED_PORTS = frozenset({22, 2375, 2376, 51678, 51679, 51680})
# Ports of a machine that may be taken, those included; what Docker chooses by itself is none of them.
MOST_PORTS = 100
# Tasks of a cluster that may wait for a machine of a capacity provider; ECS creates no more (rule C10).
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
MOST_PROVISIONING = 500


@dataclass(frozen=True)
class Need:
    """What a task reserves: CPU units, memory in MiB, and ports of the machine. `group` is its service."""

    cpu: int = 0
    memory: int = 0
    ports: frozenset[int] = frozenset()
    group: str = ""


@dataclass(frozen=True)
class Machine:
    """What a machine has left for tasks, and the tasks on it."""

    id: str
    zone: str
    type: str
    cpu: int
    memory: int
    tasks: tuple[Need, ...] = field(default=())

    def holds(self, need: Need) -> bool:
        """Return whether a task finds room here."""
        return need.cpu <= self.cpu and need.memory <= self.memory and self._has_ports(need)

    def _has_ports(self, need: Need) -> bool:
        taken = RESERVED_PORTS.union(*(task.ports for task in self.tasks))
        return not need.ports or (not need.ports & taken and len(need.ports | taken) <= MOST_PORTS)

    def with_task(self, need: Need) -> "Machine":
        """Return the machine with one task more."""
        return replace(self, cpu=self.cpu - need.cpu, memory=self.memory - need.memory, tasks=(*self.tasks, need))


def need_of(definition: Mapping[str, Any], group: str = "") -> Need:
    """Return what a task of a task definition reserves: the task's own sizes, or the sums of its containers'."""
    containers = definition.get("containerDefinitions", [])
    ports = {mapping.get("hostPort", 0) for item in containers for mapping in item.get("portMappings", [])}
    return Need(
        cpu=int(definition.get("cpu") or sum(int(item.get("cpu") or 0) for item in containers)),
        memory=int(definition.get("memory") or sum(_container_memory(item) for item in containers)),
        ports=frozenset(ports - {0}),
        group=group,
    )


def _container_memory(container: Mapping[str, Any]) -> int:
    return int(container.get("memoryReservation") or container.get("memory") or 0)


def choose(
    need: Need,
    machines: Iterable[Machine],
    strategies: Sequence[Mapping[str, str]] = DEFAULT_STRATEGY,
    *,
    distinct: bool = False,
) -> Machine | None:
    """Return the machine for a task, or None when none has room.

    Each strategy leaves the best machines of those before it; `distinct` allows one task of the group per machine.
    """
    everywhere = list(machines)
    candidates = [machine for machine in everywhere if machine.holds(need)]
    if distinct:
        candidates = [item for item in candidates if not _tasks_of(need.group, [item])]
    for strategy in strategies:
        candidates = _best(need, candidates, strategy, everywhere)
    return candidates[0] if candidates else None


class Lack(StrEnum):
    """What the machines lack for a task, in the words of EventBridge's SERVICE_TASK_PLACEMENT_FAILURE (rule E18)."""

    MACHINES = "AGENT"
    MEMORY = "RESOURCE:MEMORY"
    CPU = "RESOURCE:CPU"
    PORTS = "RESOURCE:PORTS"
    CONSTRAINTS = "MEMBER_OF"


def lacking(need: Need, machines: Sequence[Machine]) -> Lack:
    """Return what a task finds too little of on machines none of which has room for it."""
    if not machines:
        return Lack.MACHINES
    if all(machine.memory < need.memory for machine in machines):
        return Lack.MEMORY
    if all(machine.cpu < need.cpu for machine in machines):
        return Lack.CPU
    if any(machine.cpu >= need.cpu and machine.memory >= need.memory for machine in machines):
        return Lack.PORTS if need.ports else Lack.CONSTRAINTS
    return Lack.MEMORY


def _best(
    need: Need, candidates: list[Machine], strategy: Mapping[str, str], everywhere: list[Machine]
) -> list[Machine]:
    kind, name = strategy.get("type"), strategy.get("field", "")
    if kind == "spread":
        counts = {
            place: _tasks_of(need.group, [m for m in everywhere if _place(m, name) == place])
            for place in {_place(machine, name) for machine in candidates}
        }
        return [machine for machine in candidates if counts[_place(machine, name)] == min(counts.values())]
    if kind == "binpack":
        left = {machine.id: machine.cpu if name.lower() == "cpu" else machine.memory for machine in candidates}
        return [machine for machine in candidates if left[machine.id] == min(left.values())]
    # "random" prefers none: here always the first, so that tests and trials repeat.
    return candidates


def _place(machine: Machine, name: str) -> str:
    """Return what a machine has for the field of a spread strategy."""
    return {ZONE: machine.zone, INSTANCE_TYPE: machine.type}.get(name, machine.id)


def _tasks_of(group: str, machines: Iterable[Machine]) -> int:
    return sum(task.group == group for machine in machines for task in machine.tasks)


def machines_needed(machines: Iterable[Machine], waiting: Iterable[Need], largest: Machine, smallest: Machine) -> int:
    """Return the number of machines that hold all tasks: those with tasks, and what the waiting tasks need besides.

    ECS counts each group of waiting tasks with equal needs for itself, packed onto empty machines of the group's
    largest type; a task that its smallest type does not hold asks for none, and waits (rule C2).
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-scaling-behavior.html
    """
    used = sum(bool(machine.tasks) for machine in machines)
    groups = Counter(need for need in waiting if smallest.holds(need))
    return used + sum(_machines_for(need, count, largest) for need, count in groups.items())


def _machines_for(need: Need, count: int, new: Machine) -> int:
    """Return how many machines like `new` hold so many equal tasks."""
    held = 0
    while held < count and new.holds(need):
        new = new.with_task(need)
        held += 1
    return -(-count // held) if held else 0


def capacity_provider_reservation(needed: int, running: int) -> float:
    """Return the metric by which ECS scales machines: how many are needed, in percent of how many there are."""
    if running == 0:
        return 2.0 * FULL_PERCENT if needed else FULL_PERCENT
    return FULL_PERCENT * needed / running


def machines_wanted(needed: int, target_percent: int) -> int:
    """Return the number of machines at which so many needed ones are the target's share of all."""
    return -(-needed * FULL_PERCENT // target_percent)
