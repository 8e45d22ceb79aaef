"""What the health checks of container definitions say of a task: decisions only (rule E3).

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from spotfleet.behaviour.record import Record

# As a service's event, and a task's reason to stop, says it.
FAILED = "failed container health checks"
SHELLS = ("CMD", "CMD-SHELL")

# In AWS's seconds but for the retries: the least, the most, and what counts where the definition does not say.
LIMITS = {"interval": (5, 300, 30), "timeout": (2, 60, 5), "retries": (1, 10, 3), "startPeriod": (0, 300, 0)}


class Health(StrEnum):
    """What ECS says of a container and of a task."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Check:
    """A container's health check. `interval`, `timeout` and `start_period` are AWS's seconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    retries: int
    start_period: int


@dataclass(frozen=True)
class Container:
    """A container of a task as its health goes into the task's."""

    health: Health
    essential: bool = True
    checked: bool = True


def check_of(definition: Record) -> Check | None:
    """Return the health check of a container definition; Docker's own of the image is none to ECS."""
    fields = definition.get("healthCheck") or {}
    if not fields.get("command"):
        return None
    numbers = {name: int(fields.get(name) or default) for name, (_least, _most, default) in LIMITS.items()}
    return Check(
        command=tuple(map(str, fields["command"])),
        interval=numbers["interval"],
        timeout=numbers["timeout"],
        retries=numbers["retries"],
        start_period=numbers["startPeriod"],
    )


def problems(definition: Record) -> Iterator[str]:
    """Yield what ECS does not take of a container definition's health check."""
    fields = definition.get("healthCheck")
    if not fields:
        return
    command = fields.get("command") or [""]
    if command[0] not in SHELLS or not any(command[1:]):
        yield f"the command of a health check begins with {' or '.join(SHELLS)}, and names a command"
    for name, (least, most, _default) in LIMITS.items():
        if fields.get(name) is not None and not _is_within(fields[name], least, most):
            yield f"{name} of a health check is from {least} to {most}"


def _is_within(value: object, least: int, most: int) -> bool:
    """Return whether a number, which a template may have as text, is in a range; other text is in none."""
    try:
        return least <= int(str(value)) <= most
    except ValueError:
        return False


def of_task(containers: Iterable[Container]) -> Health:
    """Return the health of a task: its essential containers decide, an unhealthy one first, then an unknown one.

    A container without health check is unknown for good.
    """
    essential = {one.health for one in containers if one.essential}
    if Health.UNHEALTHY in essential:
        return Health.UNHEALTHY
    return Health.HEALTHY if essential == {Health.HEALTHY} else Health.UNKNOWN


def passes(containers: Iterable[Container]) -> bool:
    """Return whether the scheduler counts a task as healthy, as far as its containers say: all that are checked are.

    Only essential ones matter. None that is checked passes: then the load balancer decides, or the 40 s of rule E3.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-service-deploymentconfiguration.html
    """
    return all(one.health is Health.HEALTHY for one in containers if one.essential and one.checked)


def is_checked(containers: Iterable[Container]) -> bool:
    """Return whether an essential container has a health check: then the scheduler waits for that."""
    return any(one.essential and one.checked for one in containers)
