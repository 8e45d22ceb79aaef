"""The settings of the layer machines."""

import re
from typing import Literal

from pydantic import Field, field_validator

from spotfleet.facts import administration, instance_types
from spotfleet.settings import shown
from spotfleet.settings.section import Percent, Section, Share, check_policy_arns, require

# User data may have 16 KiB; a machine's own is below 3.
LARGEST_EXTRA_USER_DATA = 8192
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html: a network interface has five groups, where an
# account has not asked for more, and the environment's own is one of them.
OWN_SECURITY_GROUPS = 4
SECURITY_GROUP_ID = re.compile(r"sg-(?:[0-9a-f]{8}|[0-9a-f]{17})")
# Names the environment whose machines take the newest image at this launch.
NEWEST_IMAGE_VARIABLE = "NEWEST_MACHINE_IMAGE"


class InstanceRequirements(Section):
    """What an instance type must have to be chosen."""

    min_vcpus: int = Field(ge=1, le=192, description="fewest vCPUs")
    max_vcpus: int = Field(ge=1, le=192, description="most vCPUs")
    min_memory_gib: int = Field(ge=1, le=1536, description="least memory")
    max_memory_gib: int = Field(ge=1, le=1536, description="most memory")


class MachineSettings(Section):
    """The layer machines."""

    cpu_architecture: Literal["x86_64", "arm64"] = Field(description="architecture of the machines and of the image")
    instance_types: list[str] = Field(
        max_length=40, description="instance types, on-demand one first; [] with instance_requirements"
    )
    instance_requirements: InstanceRequirements | None = Field(
        default=None,
        description="instead of a list: min_vcpus, max_vcpus, min_memory_gib, max_memory_gib; every current type of "
        "the architecture that has them, except burstable ones",
    )
    machine_image: str = Field(
        default="kept",
        pattern=r"^(kept|newest|ami-[0-9a-f]{8,17})$",
        description="kept: the newest image at the first launch, then the same one until a launch is asked for the "
        "newest with NEWEST_MACHINE_IMAGE=<environment>; newest: at each launch; or an image's id. A new one replaces "
        "all machines; the NAT instance takes kept or newest as well",
    )
    cpu_credits: Literal["unlimited", "standard"] = Field(
        default="unlimited",
        description="of burstable types, t3, t3a and t4g: standard slows a machine down to its baseline once it has "
        "no credits, which a new one starts without; unlimited bills what it uses above it on average over a day",
    )
    min_machines: int = Field(ge=0, le=1000, description="machines that always run")
    max_machines: int = Field(ge=1, le=1000, description="machines that may run at once")
    on_demand_base: int = Field(ge=0, le=1000, description="machines that Spot cannot take away")
    on_demand_percent_above_base: Share = Field(description="on-demand share of the machines above the base")
    machine_scaling: Literal["capacity_provider", "cpu"] = Field(description="what adds and removes machines")
    capacity_target_percent: Percent = Field(
        description="share of the machines in use, with capacity_provider; below 100, which keeps spare ones, needs "
        "task_placement fewest_machines"
    )
    machine_cpu_target_percent: Percent = Field(description="average CPU use of the machines, with cpu")
    machine_warmup_seconds: int = Field(
        ge=1, le=3600, description="from its entry into service until a machine counts in scaling"
    )
    max_machine_lifetime_days: int = Field(
        default=0, ge=0, le=365, description="age at which a machine is replaced by a new one; 0: never"
    )
    root_volume_gib: int = Field(ge=30, le=16384, description="size of the root volume; the machine image needs 30")
    reserved_memory_mib: int = Field(
        ge=0,
        le=4096,
        description="memory of each machine that tasks may not reserve: system, Docker and agent use about 200",
    )
    detailed_monitoring: bool = Field(description="machine metrics every minute, billed")
    extra_user_data: str = Field(
        default="", description="shell commands that a machine runs at its first start, as root; up to 8 KiB"
    )
    machine_policy_arns: list[str] = Field(
        default=[],
        max_length=10,
        description="ARNs of IAM policies that machines and NAT instance have beside what the ECS agent and Session "
        "Manager need, such as one that writes the logs of sessions",
    )

    machine_security_group_ids: list[str] = Field(
        default=[],
        max_length=OWN_SECURITY_GROUPS,
        description="security groups of your own, in the environment's VPC, that machines have beside its own, such as "
        "one that a database lets in. All tasks of a machine share its groups: they keep no services apart",
    )

    @field_validator("machine_policy_arns")
    @classmethod
    def _check_machine_policies(cls, arns: list[str]) -> list[str]:
        check_policy_arns(arns)
        administrative = list(filter(administration.is_administrative, arns))
        # A container that breaks out has what its machine has.
        require(not administrative, f"must not let a machine raise itself to administrator, as {administrative} does")
        return arns

    @field_validator("machine_security_group_ids")
    @classmethod
    def _check_machine_security_groups(cls, ids: list[str]) -> list[str]:
        for group_id in ids:
            require(
                SECURITY_GROUP_ID.fullmatch(group_id),
                f"must hold ids of security groups such as sg-0a1b2c3d4e5f67890, not {shown.text(group_id)}",
            )
        require(len(set(ids)) == len(ids), "must not name a security group twice")
        return ids

    @field_validator("extra_user_data")
    @classmethod
    def _check_extra_user_data(cls, commands: str) -> str:
        require(len(commands.encode()) <= LARGEST_EXTRA_USER_DATA, f"must have at most {LARGEST_EXTRA_USER_DATA} bytes")
        return commands

    @field_validator("instance_types")
    @classmethod
    def _check_instance_types(cls, names: list[str]) -> list[str]:
        for name in names:
            require(
                instance_types.is_known(name),
                f"must hold t3, t3a, t4g, or c, m, r types from 5 on, not {shown.text(name)}",
            )
            require(instance_types.exists(name), f"must hold types that EC2 has; {name} is none that botocore knows")
        require(len(set(names)) == len(names), "must not name a type twice")
        # Credits are set for all of them or for none.
        require(len(set(map(instance_types.is_burstable, names))) <= 1, "must not mix t types with others")
        return names
