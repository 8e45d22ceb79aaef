"""The settings of an environment: what config/<env>/config.yaml may say, and what is wrong with it if anything."""

import difflib
import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from hooks import instance_types

PRIVATE_NETWORKS = [IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
# AWS allows /16 to /28 (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html); below /24 six subnets
# would have no room for machines.
VPC_PREFIXES = range(16, 25)
# Six subnets, as many as three zones have, need eight equal parts of the VPC's network.
SUBNET_SLOT_BITS = 3
# A Spot machine is gone two minutes after the notice
# (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html); ten seconds of them go
# by until the agent acts on it.
SPOT_NOTICE_SECONDS = 110

Percent = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[int, Field(ge=0, le=100)]
TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")
STACK_NAME_PART = r"[a-zA-Z][a-zA-Z0-9-]{0,30}"
IMAGE_NAME = r"[^\s:/@]+(:\d+)?(/[^\s:/@]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?"
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
LOG_RETENTION_DAYS = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827]


class Settings(BaseModel):
    """Everything that holds for all stacks of one environment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # Sceptre's own, https://docs.sceptre-project.org/4.7.0/docs/stack_group_config.html
    project_code: str = Field(pattern=rf"^{STACK_NAME_PART}$", description="first part of every stack's name")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="AWS region, such as eu-west-1")
    stack_tags: dict[str, str] = Field(description="tags on every resource; Project and Environment are required")
    j2_environment: dict[str, Any] = Field(default={}, description="options of Jinja in config/ and templates/")
    required_version: str | None = Field(default=None, description="Sceptre versions that may be used")
    template_bucket_name: str | None = Field(default=None, description="bucket that templates are uploaded to")
    template_key_prefix: str | None = Field(default=None, description="folder in that bucket")
    profile: str | None = Field(default=None, description="profile in the AWS configuration")
    protect: bool = Field(default=False, description="whether Sceptre refuses to change or delete the stacks")
    sceptre_role: str | None = Field(default=None, description="ARN of the role that Sceptre assumes")
    sceptre_role_session_duration: int | None = Field(
        default=None, ge=900, le=43200, description="seconds for which Sceptre assumes that role"
    )
    cloudformation_service_role: str | None = Field(default=None, description="ARN of the role of CloudFormation")
    notifications: list[str] | None = Field(default=None, description="ARNs of the topics that hear of stack events")
    on_failure: Literal["DO_NOTHING", "ROLLBACK"] | None = Field(default=None, description="after a failed creation")
    disable_rollback: bool = Field(default=False, description="whether a failed stack stays as it is")

    # The network.
    vpc_cidr: str = Field(description="private IPv4 network of the VPC, such as 10.0.0.0/16")
    subnet_host_bits: int = Field(ge=4, le=13, description="each subnet has 2 to the power of this many addresses")
    availability_zones: int = Field(ge=2, le=3, description="number of zones")
    nat_gateways: Literal["none", "one", "per_zone"] = Field(description="way out of the private subnets")

    # The load balancer.
    deletion_protection: bool = Field(description="whether deleting the environment needs a confirmation")
    idle_timeout_seconds: int = Field(ge=1, le=4000, description="a connection without traffic is closed after it")

    # The cluster.
    container_insights: Literal["disabled", "enabled", "enhanced"] = Field(description="metrics per task, billed")
    kept_images: int = Field(ge=2, le=1000, description="newest images that the repository keeps")
    empty_repository_on_delete: bool = Field(description="whether deleting the environment deletes its images")

    # The machines.
    cpu_architecture: Literal["x86_64", "arm64"] = Field(description="architecture of the machines and of the image")
    instance_types: list[str] = Field(min_length=1, max_length=40, description="instance types, on-demand one first")
    min_machines: int = Field(ge=0, le=1000, description="machines that always run")
    max_machines: int = Field(ge=1, le=1000, description="machines that may run at once")
    on_demand_base: int = Field(ge=0, le=1000, description="machines that Spot cannot take away")
    on_demand_percent_above_base: Share = Field(description="on-demand share of the machines above the base")
    machine_scaling: Literal["capacity_provider", "cpu"] = Field(description="what adds and removes machines")
    capacity_target_percent: Percent = Field(description="share of the machines in use, with capacity_provider")
    machine_cpu_target_percent: Percent = Field(description="average CPU use of the machines, with cpu")
    machine_warmup_seconds: int = Field(ge=1, le=3600, description="from launch until a machine counts in scaling")
    root_volume_gib: int = Field(ge=30, le=16384, description="size of the root volume; the machine image needs 30")
    reserved_memory_mib: int = Field(ge=0, le=4096, description="memory of each machine that tasks may not reserve")
    detailed_monitoring: bool = Field(description="machine metrics every minute, billed")

    # The service.
    base_image: str = Field(pattern=f"^{IMAGE_NAME}$", description="Python image that the service image is built on")
    cors_origins: str = Field(description="comma-separated origins such as https://example.com, or *")
    task_cpu_units: int = Field(ge=128, le=10240, description="CPU units of a task; 1024 is one vCPU")
    task_memory_mib: int = Field(ge=64, le=122880, description="memory limit of a task")
    min_tasks: int = Field(ge=1, le=5000, description="tasks that always run")
    max_tasks: int = Field(ge=1, le=5000, description="tasks that may run, apart from deployments")
    task_cpu_target_percent: Percent = Field(description="average CPU use of the tasks that scaling aims at")
    scale_out_cooldown_seconds: int = Field(ge=0, le=3600, description="after adding tasks")
    scale_in_cooldown_seconds: int = Field(ge=0, le=3600, description="after removing tasks")
    min_healthy_percent: Share = Field(description="share of the tasks that keeps running during a deployment")
    max_percent: int = Field(ge=101, le=400, description="share of the tasks that may run during a deployment")
    path_pattern: str = Field(
        pattern=r"""^/[\w.\-$/~"'@:+&()!,;=*?]{0,127}$""", description="paths of the service's requests, such as /*"
    )
    listener_priority: int = Field(ge=1, le=50000, description="order of the service's rule in the listener")
    health_check_interval_seconds: int = Field(ge=6, le=300, description="time between two health checks")
    health_check_grace_seconds: int = Field(ge=0, le=3600, description="failed health checks are ignored this long")
    deregistration_delay_seconds: int = Field(ge=5, le=3600, description="time for requests in flight")
    stop_timeout_seconds: int = Field(ge=2, le=120, description="from SIGTERM to SIGKILL")
    log_retention_days: LOG_RETENTION_DAYS = Field(description="age at which log entries are deleted")
    service_timeout_minutes: int = Field(ge=5, le=600, description="gives up on a service without healthy tasks")

    @field_validator("stack_tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        missing = sorted({"Project", "Environment"} - tags.keys())
        _require(not missing, f"must hold the tag {' and '.join(missing)}")
        _require(all(TAG_TEXT.fullmatch(text) for text in (*tags, *tags.values())), "has a character no tag may have")
        return tags

    @field_validator("vpc_cidr")
    @classmethod
    def _check_vpc_cidr(cls, cidr: str) -> str:
        try:
            network = IPv4Network(cidr)
        except ValueError as error:
            raise ValueError(f"must be an IPv4 network such as 10.0.0.0/16; {error}") from None
        _require(network.prefixlen in VPC_PREFIXES, "must have a prefix from /16 to /24")
        _require(any(map(network.subnet_of, PRIVATE_NETWORKS)), "must be in 10/8, 172.16/12 or 192.168/16")
        return cidr

    @field_validator("instance_types")
    @classmethod
    def _check_instance_types(cls, names: list[str]) -> list[str]:
        for name in names:
            _require(instance_types.is_known(name), f"must hold t3, t3a, t4g, or c, m, r types from 5 on, not {name}")
        _require(len(set(names)) == len(names), "must not name a type twice")
        # Credits are set for all of them or for none.
        _require(len(set(map(instance_types.is_burstable, names))) == 1, "must not mix t types with others")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, origins: str) -> str:
        valid = origins == "*" or all(ORIGIN.fullmatch(origin.strip()) for origin in origins.split(","))
        _require(valid, "must be * or origins such as https://example.com, comma-separated")
        return origins


def find_problems(config: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with the settings of an environment: by key, the value and what would be right."""
    try:
        settings = Settings.model_validate(config)
    except ValidationError as error:
        return {_key(details): _explain(details) for details in error.errors()}
    return {key: f"is {config[key]!r}: {should}" for key, should in _contradictions(settings)}


def tasks_per_machine(settings: Settings) -> int:
    """Return how many tasks the smallest machine of the fleet holds, by memory and by CPU units."""
    room = [instance_types.memory_mib(name) - settings.reserved_memory_mib for name in settings.instance_types]
    units = [instance_types.cpu_units(name) for name in settings.instance_types]
    return max(0, min(min(room) // settings.task_memory_mib, min(units) // settings.task_cpu_units))


def tasks_during_deployment(settings: Settings) -> int:
    """Return how many tasks run at most: ECS rounds the percentage of the full service down."""
    return settings.max_tasks * settings.max_percent // 100


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that does not go with another one, and what would."""
    prefix = IPv4Network(settings.vpc_cidr).prefixlen
    most_bits = 32 - prefix - SUBNET_SLOT_BITS
    if settings.subnet_host_bits > most_bits:
        yield "subnet_host_bits", f"must be at most {most_bits}, so that six subnets fit a /{prefix} network"

    foreign = [n for n in settings.instance_types if instance_types.architecture(n) != settings.cpu_architecture]
    if foreign:
        yield "instance_types", f"must be of cpu_architecture {settings.cpu_architecture}, not {', '.join(foreign)}"

    if settings.max_machines <= settings.min_machines:
        yield "max_machines", f"must be more than min_machines ({settings.min_machines}), to replace one by a new one"
    if settings.max_tasks < settings.min_tasks:
        yield "max_tasks", f"must be at least min_tasks ({settings.min_tasks})"

    # ECS rounds what may run down and what must keep running up: one of them has to leave room to move.
    may_run = settings.min_tasks * settings.max_percent // 100
    must_run = -(-settings.min_tasks * settings.min_healthy_percent // 100)
    if may_run <= settings.min_tasks <= must_run:
        yield "max_percent", f"must let a deployment start one more task than min_tasks ({settings.min_tasks})"

    per_machine, most_tasks = tasks_per_machine(settings), tasks_during_deployment(settings)
    if per_machine == 0:
        yield "task_memory_mib", f"with task_cpu_units must fit the smallest of {', '.join(settings.instance_types)}"
    elif settings.max_machines * per_machine < most_tasks:
        least = -(-most_tasks // per_machine)
        yield (
            "max_machines",
            f"must be at least {least}: {most_tasks} tasks run during a deployment (max_tasks times max_percent) and "
            f"the smallest machine holds {per_machine}",
        )

    most_seconds = SPOT_NOTICE_SECONDS - settings.deregistration_delay_seconds
    if settings.stop_timeout_seconds > most_seconds:
        yield (
            "stop_timeout_seconds",
            f"must be at most {SPOT_NOTICE_SECONDS} together with deregistration_delay_seconds "
            f"({settings.deregistration_delay_seconds}), which it follows after a Spot notice",
        )


def _key(details: ErrorDetails) -> str:
    return ".".join(map(str, details["loc"]))


def _explain(details: ErrorDetails) -> str:
    key = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, Settings.model_fields, n=1)
        return f"is not a setting{f'; the nearest is {nearest[0]}' if nearest else ''}"
    description = Settings.model_fields[key].description
    if details["type"] == "missing":
        return f"is missing; it is the {description}"
    if details["type"] == "string_pattern_mismatch":
        return f"is {details['input']!r}: must be the {description}"
    if details["type"] == "bool_type":
        return f"is {details['input']!r}: must be true or false, without quotes ({description})"
    should = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"is {details['input']!r}: {should} ({description})"


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
