"""The machines and services that a simulation moves, made from settings: what AWS would start from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spotfleet.behaviour import managed_scaling, placement
from spotfleet.behaviour.fleet_mix import Distribution
from spotfleet.behaviour.placement import ZONE, Need
from spotfleet.facts import instance_types
from spotfleet.settings.environment import Settings
from spotfleet.settings.service import ServiceSettings

# The longest window of the alarms that a deployment looks at: its bake time (rule E7).
BAKE_SECONDS = 300
# Compressed MiB of an image of this project's; another one is pulled longer.
IMAGE_MIB = 16
ATTRIBUTES = "by attributes"
SPREAD, BINPACK = {"type": "spread", "field": ZONE}, {"type": "binpack", "field": "memory"}


@dataclass(frozen=True)
class Service:
    """A service as ECS schedules it; times in AWS's seconds. `stop` is how long a task takes to end, and at most.

    A web service's targets are asked every `interval`, for `timeout` at most, and are out after `unhealthy` failures in
    a row; nobody asks a worker. `container_check` is when a container's own check can have passed first.
    """

    name: str
    desired: int
    need: Need
    minimum_percent: int
    maximum_percent: int
    interval: float
    deregistration: float
    stop: tuple[float, float]
    bake: float = 0
    strategies: tuple[dict[str, str], ...] = (SPREAD, BINPACK)
    web: bool = True
    timeout: float = 5
    unhealthy: int = 3
    container_check: float = 0


@dataclass(frozen=True)
class Group:
    """The Auto Scaling group of the machines, and how it is scaled; `sizes` has CPU units and MiB by type."""

    least: int
    most: int
    distribution: Distribution
    zones: tuple[str, ...]
    types: tuple[str, ...]
    sizes: dict[str, tuple[int, int]] = field(hash=False)
    warmup: float
    managed: bool
    target_percent: int
    refreshes: bool

    @property
    def smallest(self) -> str:
        """The type with the least memory, of which Spot machines are taken to be: nobody knows which one comes."""
        return min(self.types, key=lambda name: (self.sizes[name][1], self.sizes[name][0]))

    @property
    def largest(self) -> str:
        """The type with which ECS counts machines for waiting tasks."""
        return max(self.types, key=lambda name: (self.sizes[name][1], self.sizes[name][0]))

    def wanted(self, needed: int, running: int, desired: int, youngest: float) -> int:
        """Return how many machines managed scaling wants, of which so many are needed; `youngest` is an age."""
        scaling = {"targetCapacity": self.target_percent, "instanceWarmupPeriod": int(self.warmup)}
        return managed_scaling.wanted_machines(
            {"autoScalingGroupProvider": {"managedScaling": scaling}},
            {"DesiredCapacity": desired, "MaxSize": self.most, "MinSize": self.least},
            managed_scaling.Seen(needed, [placement.capacity_provider_reservation(needed, running)], youngest),
        )

    def machine(self, name: str, type_: str, zone: str) -> placement.Machine:
        """Return an empty machine."""
        return placement.Machine(name, zone, type_, *self.sizes[type_])


def group_of(settings: Settings) -> Group:
    """Return the group of an environment."""
    zones = settings.used_zones or settings.availability_zones
    reserved = settings.reserved_memory_mib
    if wanted := settings.instance_requirements:
        memory = instance_types.after_kernel(wanted.min_memory_gib * 1024)
        sizes = {ATTRIBUTES: (wanted.min_vcpus * instance_types.CPU_UNITS_PER_VCPU, memory - reserved)}
    else:
        sizes = {
            name: (instance_types.cpu_units(name), instance_types.memory_mib(name) - reserved)
            for name in settings.instance_types
        }
    return Group(
        least=settings.min_machines,
        most=settings.max_machines,
        distribution=Distribution(settings.on_demand_base, settings.on_demand_percent_above_base),
        zones=tuple("abc"[:zones]),
        types=tuple(sizes),
        sizes=sizes,
        warmup=settings.machine_warmup_seconds,
        managed=settings.machine_scaling == "capacity_provider",
        target_percent=settings.capacity_target_percent,
        refreshes=settings.instance_requirements is None,
    )


def services_of(services: Mapping[str, ServiceSettings], full: bool) -> list[Service]:
    """Return services, by name, with their fewest tasks, or with the most where the environment is at full scale."""
    return [_service(name, own, full) for name, own in services.items()]


def wanting(services: Iterable[Service], web: bool) -> list[str]:
    """Return the names of the web services, or of the workers, that want tasks: of another one nothing is missed."""
    return [one.name for one in services if one.web is web and one.desired]


def _service(name: str, settings: ServiceSettings, full: bool) -> Service:
    spread_first = settings.task_placement == "zones_first"
    is_web = settings.kind == "web"
    drained = min(5, settings.stop_timeout_seconds // 4) if is_web else 0
    drain = _seconds(settings.environment_variables.get("DRAIN_SECONDS"), drained)
    return Service(
        name=name,
        desired=settings.max_tasks if full else settings.min_tasks,
        need=Need(settings.task_cpu_units, settings.task_memory_mib, group=name),
        minimum_percent=settings.min_healthy_percent,
        maximum_percent=settings.max_percent,
        interval=settings.health_check_interval_seconds,
        deregistration=settings.deregistration_delay_seconds if is_web else 0,
        stop=(min(drain, settings.stop_timeout_seconds), settings.stop_timeout_seconds),
        bake=BAKE_SECONDS if is_web and settings.deployment_alarms else 0,
        strategies=(SPREAD, BINPACK) if spread_first else (BINPACK, SPREAD),
        web=is_web,
        timeout=settings.health_check_timeout_seconds,
        unhealthy=settings.health_check_unhealthy_count,
        container_check=settings.container_health_interval_seconds if settings.container_health_command else 0,
    )


def _seconds(text: Any, otherwise: float) -> float:  # noqa: ANN401  # what a variable holds
    try:
        return float(text)
    except (TypeError, ValueError):
        return otherwise
