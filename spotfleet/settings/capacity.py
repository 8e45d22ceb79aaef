"""How many tasks machines hold, and how many there may be."""

from spotfleet.facts import instance_types
from spotfleet.settings.environment import Settings
from spotfleet.settings.section import ALL
from spotfleet.settings.service import ServiceSettings


def tasks_per_machine(settings: Settings, service: ServiceSettings | None = None) -> int:
    """Return how many tasks of a service the smallest machine of the fleet holds, by memory and by CPU units."""
    service = service or settings
    if wanted := settings.instance_requirements:
        memory = instance_types.after_kernel(wanted.min_memory_gib * 1024)
        units = wanted.min_vcpus * instance_types.CPU_UNITS_PER_VCPU
    else:
        memory = min(map(instance_types.memory_mib, settings.instance_types))
        units = min(map(instance_types.cpu_units, settings.instance_types))
    return tasks_held(settings, service, memory, units)


def tasks_held(settings: Settings, service: ServiceSettings, memory_mib: int, units: int) -> int:
    """Return how many tasks of a service a machine with this memory and these CPU units holds."""
    by_memory = (memory_mib - settings.reserved_memory_mib) // service.task_memory_mib
    return max(0, min(by_memory, units // service.task_cpu_units))


def can_stand_on_spot(settings: Settings) -> bool:
    """Return whether AWS can take a machine back on which tasks run."""
    return settings.max_machines > settings.on_demand_base and settings.on_demand_percent_above_base < ALL


def tasks_during_deployment(service: ServiceSettings) -> int:
    """Return how many tasks run at most: ECS rounds the percentage of the full service down."""
    return service.max_tasks * service.max_percent // 100


def has_types(settings: Settings) -> bool:
    return bool(settings.instance_types or settings.instance_requirements)
