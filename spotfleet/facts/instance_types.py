"""What an EC2 instance type offers to tasks, worked out from its name."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import create_loader

TYPE_NAME = re.compile(r"(?P<family>t3|t3a|t4g|[cmr][5-9][a-z]*(-flex)?)\.(?P<size>nano|micro|small|medium|\d*x?large)")
# https://aws.amazon.com/ec2/instance-types/: GiB of the size "large"; the other sizes are its halves and multiples.
LARGE_GIB = {"t": 8.0, "c": 4.0, "m": 8.0, "r": 16.0}
SIZES = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}
# The kernel keeps some: ECS registers a machine with what the system reports as total. Here the lowest numbers, in MiB,
# in public listings of container instances with Amazon Linux 2023; they differ by image release (rule M1):
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/memory-management.html
LOWEST_SEEN_MIB = {
    **{"t3.micro": 916, "t3.small": 1901, "t3.medium": 3828, "t4g.small": 1831},
    **{"c5.large": 3704, "m5.large": 7680, "r6id.xlarge": 31_517},
}
# An estimate for the others. Of the smallest machines the kernel keeps more: some 110 MiB do not depend on the size.
SHARE_AFTER_KERNEL = 0.9
KERNEL_MIB = 110
# Of each vCPU, what a burstable type may use for ever, in percent; the same for t3, t3a and t4g:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html
BASELINE_PERCENT = {"nano": 5, "micro": 10, "small": 20, "medium": 20, "large": 30, "xlarge": 40, "2xlarge": 40}
CPU_UNITS_PER_VCPU = 1024
# US dollars for each hour of a vCPU above the baseline, with unlimited credits, by family; that of T4g from experience.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html
SURPLUS_VCPU_HOUR = {"t3": 0.05, "t3a": 0.05, "t4g": 0.04}
DATA = Path(__file__).with_name("instance_types_by_region.json")
# Families of the current generation without CPU credits, by the processor's maker, and the sizes that they come in;
# Intel's start at large: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html
CURRENT_FAMILIES = {
    "amazon-web-services": ("c8g", "m8g", "r8g"),
    "amd": ("c7a", "m7a", "r7a"),
    "intel": ("c7i", "m7i", "r7i"),
}
CURRENT_SIZES = (
    *("medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
)


def is_known(instance_type: str) -> bool:
    """Return whether the type belongs to a family whose sizes are known here: t3, t3a, t4g, and c, m, r from 5 on."""
    match = TYPE_NAME.fullmatch(instance_type)
    if match is None:
        return False
    smallest = "nano" if is_burstable(instance_type) else "medium"
    return _size(match["size"]) >= SIZES[smallest]


@cache
def _names() -> frozenset[str]:
    shapes = create_loader().load_service_model("ec2", "service-2")["shapes"]
    return frozenset(shapes["InstanceType"]["enum"])


def exists(instance_type: str) -> bool:
    """Return whether EC2 has the type, as far as the botocore that is installed knows."""
    return instance_type in _names()


def missing_in(region: str, names: Iterable[str]) -> list[str] | None:
    """Return which of the types EC2 does not have in a Region, or None where that is not known.

    The data is that of `DATA`, with its source and date, which `python -m tools.instance_types_by_region` writes.
    """
    families = _families_by_region().get(region)
    if families is None:
        return None
    known = set(families.split())
    return [name for name in names if name.partition(".")[0] not in known]


def data_of_regions() -> str:
    """Name source and date of what is known of the Regions."""
    found = _data()
    return f"{found['source']} of {found['date']}"


def _families_by_region() -> dict[str, str]:
    families: dict[str, str] = _data()["families"]
    return families


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DATA.read_text())
    return found


def is_burstable(instance_type: str) -> bool:
    """Return whether the type earns and spends CPU credits."""
    return instance_type.startswith("t")


def architecture(instance_type: str) -> str:
    """Return x86_64 or arm64: Graviton types have a g behind the generation's number."""
    family = instance_type.partition(".")[0]
    return "arm64" if "g" in family[2:] else "x86_64"


def memory_mib(instance_type: str) -> int:
    """Return the memory in MiB with which a machine of the type registers with ECS: the lowest seen, or an estimate."""
    return LOWEST_SEEN_MIB.get(instance_type) or after_kernel(nominal_mib(instance_type))


def nominal_mib(instance_type: str) -> float:
    """Return the memory in MiB that AWS publishes for the type."""
    return LARGE_GIB[instance_type[0]] * _size(instance_type.partition(".")[2]) * 1024


def after_kernel(nominal_mib: float) -> int:
    """Return the estimate of what is left of a machine's memory once the kernel has taken its part, in MiB."""
    return max(0, int(min(nominal_mib * SHARE_AFTER_KERNEL, nominal_mib - KERNEL_MIB)))


def cpu_units(instance_type: str) -> int:
    """Return the CPU units with which a machine of the type registers with ECS; 1024 are one vCPU."""
    size = _size(instance_type.partition(".")[2])
    smallest = 2 if is_burstable(instance_type) else 1
    return max(smallest, int(2 * size)) * CPU_UNITS_PER_VCPU


def baseline_percent(instance_type: str) -> int:
    """Return the share of its vCPUs that a machine of the type may use for ever, in percent; 100 unless burstable."""
    if not is_burstable(instance_type):
        return 100
    return BASELINE_PERCENT[instance_type.partition(".")[2]]


def surplus_dollars(instance_type: str) -> float:
    """Return what an hour of a vCPU above the baseline costs, in US dollars; 0 unless burstable."""
    return SURPLUS_VCPU_HOUR.get(instance_type.partition(".")[0], 0.0)


def smallest(makers: Iterable[str], vcpus: tuple[float, float], memory_mib: tuple[float, float]) -> str | None:
    """Return the smallest current type, not burstable, with a processor of these makers, or None.

    `vcpus` and `memory_mib` are the least and the most of them; where nothing known is between both, the least counts.
    """
    types = [
        f"{family}.{size}"
        for maker in makers
        for family in CURRENT_FAMILIES.get(maker, ())
        for size in CURRENT_SIZES
        if (maker, size) != ("intel", "medium")
    ]
    fitting = [name for name in types if _vcpus(name) >= vcpus[0] and nominal_mib(name) >= memory_mib[0]]
    exact = [name for name in fitting if _vcpus(name) <= vcpus[1] and nominal_mib(name) <= memory_mib[1]]
    return min(exact or fitting, key=lambda name: (nominal_mib(name), _vcpus(name)), default=None)


def _vcpus(instance_type: str) -> int:
    return cpu_units(instance_type) // CPU_UNITS_PER_VCPU


def _size(size: str) -> float:
    if size in SIZES:
        return SIZES[size]
    return 2.0 * int(size.removesuffix("xlarge"))
