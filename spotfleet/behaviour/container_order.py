"""In which order the containers of a task start and stop: decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_dependson
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spotfleet.behaviour.container_health import Health
from spotfleet.behaviour.record import Record


class Condition(StrEnum):
    """What a container waits for of another one: its start, its end, its end without error, that it is healthy."""

    START = "START"
    COMPLETE = "COMPLETE"
    SUCCESS = "SUCCESS"
    HEALTHY = "HEALTHY"


ENDING = (Condition.COMPLETE, Condition.SUCCESS)


@dataclass(frozen=True)
class Dependency:
    """A container that has to be in a condition before another one starts."""

    name: str
    condition: Condition


@dataclass(frozen=True)
class Seen:
    """A container that has been started: how it ended, if it has, and how its checks go."""

    exit_code: int | None = None
    health: Health = Health.UNKNOWN


def dependencies(definition: Record) -> list[Dependency]:
    """Return what a container waits for: as its definition says, and the start of those that it links to."""
    said = [
        Dependency(item["containerName"], Condition(item["condition"])) for item in definition.get("dependsOn") or []
    ]
    linked = [Dependency(name, Condition.START) for name, _alias in links(definition)]
    return said + [item for item in linked if item.name not in {other.name for other in said}]


def links(definition: Record) -> list[tuple[str, str]]:
    """Return the containers that a container links to, each with the name under which it finds it."""
    return [
        (name, alias or name) for name, _, alias in (str(item).partition(":") for item in definition.get("links") or [])
    ]


def waves(definitions: Sequence[Record]) -> list[list[str]]:
    """Return the containers' names by the order in which they start: each after all that it waits for.

    They stop in the reverse order, those of a wave together. Raises ValueError when some wait for each other.
    """
    waiting = {item["name"]: {one.name for one in dependencies(item)} for item in definitions}
    found: list[list[str]] = []
    while waiting:
        wave = [name for name, needed in waiting.items() if not needed & waiting.keys()]
        if not wave:
            raise ValueError(f"the containers {', '.join(waiting)} wait for each other")
        found.append(wave)
        waiting = {name: needed for name, needed in waiting.items() if name not in wave}
    return found


def is_met(condition: Condition, seen: Seen) -> bool | None:
    """Return whether a container that was started is in a condition; None where it never will be.

    One that gets unhealthy may get healthy yet, and is waited for (aws/containers-roadmap#2379).
    """
    ended = seen.exit_code is not None
    match condition:
        case Condition.START:
            return True
        case Condition.COMPLETE:
            return ended
        case Condition.SUCCESS:
            return (True if seen.exit_code == 0 else None) if ended else False
    return None if ended else seen.health is Health.HEALTHY


def problems(definitions: Sequence[Record]) -> Iterator[str]:
    """Yield what ECS does not take of the order of a task's containers."""
    known = {item["name"]: item for item in definitions if "name" in item}
    said = [item for definition in known.values() for item in definition.get("dependsOn") or []]
    if any(not item.get("containerName") or not item.get("condition") for item in said):
        yield "each of dependsOn needs containerName and condition"
        return
    if unknown := sorted({str(item["condition"]) for item in said} - set(Condition)):
        yield f"{', '.join(unknown)} is none of {', '.join(Condition)}"
        return
    for definition in known.values():
        for needed in dependencies(definition):
            other = known.get(needed.name)
            if other is None:
                yield f"{definition['name']} waits for {needed.name}, which is no container of the task"
            elif needed.condition in ENDING and other.get("essential", True):
                yield f"{definition['name']} waits for the end of {needed.name}, which is essential, and ends the task"
            elif needed.condition is Condition.HEALTHY and not other.get("healthCheck"):
                yield f"{definition['name']} waits until {needed.name} is healthy, which has no health check"
    try:
        waves(list(known.values()))
    except ValueError as error:
        yield str(error)
