"""What an EC2 instance type offers to tasks, worked out from its name."""

import re

TYPE_NAME = re.compile(r"(?P<family>t3|t3a|t4g|[cmr][5-9][a-z]*)\.(?P<size>nano|micro|small|medium|\d*x?large)")
# https://aws.amazon.com/ec2/instance-types/: GiB of the size "large"; the other sizes are its halves and multiples.
LARGE_GIB = {"t": 8.0, "c": 4.0, "m": 8.0, "r": 16.0}
SIZES = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}
# The kernel keeps some: ECS registers a machine with what the system reports as total. A micro's 1024 MiB become 901.
SHARE_AFTER_KERNEL = 0.88
CPU_UNITS_PER_VCPU = 1024


def is_known(instance_type: str) -> bool:
    """Tell whether the type belongs to a family whose sizes this module knows: t3, t3a, t4g, and c, m, r from 5 on."""
    match = TYPE_NAME.fullmatch(instance_type)
    if match is None:
        return False
    smallest = "nano" if is_burstable(instance_type) else "medium"
    return _size(match["size"]) >= SIZES[smallest]


def is_burstable(instance_type: str) -> bool:
    """Tell whether the type earns and spends CPU credits."""
    return instance_type.startswith("t")


def architecture(instance_type: str) -> str:
    """Return x86_64 or arm64: Graviton types have a g behind the generation's number."""
    family = instance_type.partition(".")[0]
    return "arm64" if "g" in family[2:] else "x86_64"


def memory_mib(instance_type: str) -> int:
    """Return the memory in MiB with which a machine of the type registers with ECS."""
    nominal = LARGE_GIB[instance_type[0]] * _size(instance_type.partition(".")[2]) * 1024
    return after_kernel(nominal)


def after_kernel(nominal_mib: float) -> int:
    """Return what is left of a machine's memory for tasks and agent once the kernel has taken its part."""
    return int(nominal_mib * SHARE_AFTER_KERNEL)


def cpu_units(instance_type: str) -> int:
    """Return the CPU units with which a machine of the type registers with ECS; 1024 are one vCPU."""
    size = _size(instance_type.partition(".")[2])
    smallest = 2 if is_burstable(instance_type) else 1
    return max(smallest, int(2 * size)) * CPU_UNITS_PER_VCPU


def _size(size: str) -> float:
    if size in SIZES:
        return SIZES[size]
    return 2.0 * int(size.removesuffix("xlarge"))
