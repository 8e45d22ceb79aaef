"""The settings of the layer service."""

import zoneinfo
from functools import cache
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from spotfleet.facts import aws_names, schedule
from spotfleet.facts.origins import parse_origins
from spotfleet.settings import shown
from spotfleet.settings.container import ContainerSettings
from spotfleet.settings.section import LOG_RETENTION_DAYS, Percent, Section, Share, check_policy_arns, require

SHORTEST_SLOW_START = 30  # seconds


class ScheduledChange(Section):
    """Limits of the number of tasks that hold from a time on."""

    schedule: str = Field(description="such as cron(0 20 ? * MON-FRI *)")
    min_tasks: int = Field(ge=0, le=5000, description="tasks that run at least")
    max_tasks: int = Field(ge=0, le=5000, description="tasks that run at most")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, expression: str) -> str:
        try:
            schedule.parse(expression)
        except ValueError as error:
            raise ValueError(f"must be such as cron(0 20 ? * MON-FRI *): {error}") from error
        return expression


class ServiceSettings(ContainerSettings):
    """The layer service; each one can have another value for a further service, under `services`."""

    kind: Literal["web", "worker"] = Field(
        default="web",
        description="web: behind the load balancer; worker: nobody asks it, so it has no port, rule or health check of "
        "the load balancer, and may use the whole notice of a Spot machine to stop",
    )
    single: bool = Field(
        default=False,
        description="whether two tasks must never run at once, such as of a scheduler: min_healthy_percent is 0, "
        "max_percent 100 and max_tasks 1 then, whatever they say, and for a while none runs during a deployment",
    )
    container_health_command: list[str] = Field(
        default=[],
        description="words of a command that ECS runs in the container, such as [python3, check.py]: where it fails "
        "the task is replaced; the image's own HEALTHCHECK is not looked at",
    )
    container_health_interval_seconds: int = Field(default=30, ge=5, le=300, description="time between two such runs")
    container_health_timeout_seconds: int = Field(default=5, ge=2, le=60, description="time for such a run")
    container_health_retries: int = Field(
        default=3, ge=1, le=10, description="failures in a row until a task is replaced"
    )
    cors_origins: str = Field(description="comma-separated origins such as https://example.com, or *")
    task_cpu_units: int = Field(ge=128, le=196_608, description="CPU units of a task; 1024 is one vCPU")
    task_memory_mib: int = Field(ge=64, le=122880, description="memory limit of a task")
    secrets: dict[str, str] = Field(
        default={},
        description="variables whose values ECS reads when it starts a task: by name the ARN of a Secrets Manager "
        "secret, or the name, such as /shop/key, or ARN of an SSM parameter",
    )
    secret_key_arns: list[str] = Field(
        default=[], description="ARNs of the KMS keys that encrypt these secrets, unless it is AWS's own key"
    )
    execute_command: bool = Field(
        default=False,
        description="ECS Exec, a command in a running task, whose root file system is then writable; this project's "
        "image has no shell, only python3",
    )
    task_policy_arns: list[str] = Field(
        default=[], max_length=10, description="ARNs of IAM policies: what the service itself may do in AWS"
    )
    allow_administrator_tasks: bool = Field(
        default=False,
        description="whether task_policy_arns may hold policies that make the service an administrator of the account",
    )
    min_tasks: int = Field(
        ge=0,
        le=5000,
        description="tasks that always run; where there is none, load starts none, only scheduled_scaling does",
    )
    max_tasks: int = Field(ge=0, le=5000, description="tasks that may run, apart from deployments")
    task_cpu_target_percent: Percent = Field(description="average CPU use of the tasks that scaling aims at")
    task_memory_target_percent: Share = Field(
        default=0, description="average memory use of the tasks that scaling aims at as well; 0: memory does not count"
    )
    requests_per_task: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="requests per minute and task that scaling aims at as well; 0: requests do not count",
    )
    metric_resolution_seconds: Literal[60, 20] = Field(
        default=60,
        description="how often CPU and memory use are published that scaling goes by; 20: load is seen minutes "
        "earlier; a change replaces the tasks, one after the other",
    )
    scale_out_cooldown_seconds: int = Field(ge=0, le=3600, description="after adding tasks")
    scale_in_cooldown_seconds: int = Field(ge=0, le=3600, description="after removing tasks")
    scheduled_scaling: list[ScheduledChange] = Field(
        default=[],
        description="other limits from a time on, each with schedule, min_tasks and max_tasks; a night at zero is "
        '{schedule: "cron(0 20 ? * MON-FRI *)", min_tasks: 0, max_tasks: 0} and a morning that undoes it',
    )
    schedule_time_zone: str = Field(
        default="UTC",
        pattern=r"^(UTC|[A-Z][A-Za-z0-9_]+(/[A-Z][A-Za-z0-9_+-]*)+)$",
        description="time zone of these times, such as Europe/Dublin",
    )
    task_placement: Literal["zones_first", "fewest_machines"] = Field(
        default="zones_first",
        description="zones_first: as many tasks in each zone, moved when one zone has too many and each has a machine; "
        "fewest_machines: machines are filled one after the other",
    )
    min_healthy_percent: Share = Field(
        description="share of the tasks that keeps serving during a deployment and while a machine is drained; where "
        "tasks can stand on Spot it must let one stop before its replacement serves"
    )
    max_percent: int = Field(
        ge=100,
        le=400,
        description="share of the tasks that may run during a deployment; 100, with a min_healthy_percent of 0: old "
        "tasks stop before new ones start, and none is moved to another zone",
    )
    deployment_failures: int = Field(
        default=0,
        ge=0,
        le=200,
        description="tasks that fail in a row before a deployment is given up; 0: as ECS has it, half of the tasks, at "
        "least 3",
    )
    deployment_alarms: bool = Field(
        default=False, description="whether alarms of errors or slowness end a deployment and bring the old tasks back"
    )
    path_pattern: str = Field(
        pattern=f"^{aws_names.PATH_PATTERN}$", description="paths of the service's requests, such as /*"
    )
    host_names: list[str] = Field(
        default=[], max_length=4, description="host names of the service's requests, such as api.example.com; []: any"
    )
    listener_priority: int = Field(ge=1, le=50000, description="order of the service's rule in the listener")
    slow_start_seconds: int = Field(
        default=0, ge=0, le=900, description="a new task gets its full share of requests after it; 0, or 30 to 900"
    )
    health_check_path: str = Field(
        default="/healthcheck",
        pattern=f"^{aws_names.HEALTH_CHECK_PATH}$",
        description="path that the load balancer asks for, to see whether a task is healthy",
    )
    health_check_codes: str = Field(
        default="200",
        pattern=f"^{aws_names.STATUS_CODES}$",
        description="status codes of a healthy task's answer, such as 200,302 or 200-399",
    )
    health_check_interval_seconds: int = Field(ge=5, le=300, description="time between two health checks")
    health_check_timeout_seconds: int = Field(
        default=5, ge=2, le=120, description="time for the answer, less than between two checks"
    )
    health_check_healthy_count: int = Field(
        default=2, ge=2, le=10, description="checks in a row that a task must pass to get requests"
    )
    health_check_unhealthy_count: int = Field(
        default=3,
        ge=2,
        le=10,
        description="checks in a row after whose failure a task gets no requests, and is replaced",
    )
    health_check_grace_seconds: int = Field(ge=0, le=3600, description="failed health checks are ignored this long")
    deregistration_delay_seconds: int = Field(ge=5, le=3600, description="time for requests in flight")
    stop_timeout_seconds: int = Field(ge=2, le=120, description="from SIGTERM to SIGKILL")
    restart_in_place: bool = Field(
        default=False,
        description="whether a container that ends after five minutes or more is started again where it is, at most "
        "once in five minutes, before another task takes its place; it keeps its port, its variables and its files",
    )
    log_retention_days: LOG_RETENTION_DAYS = Field(description="age at which log entries are deleted")
    service_timeout_minutes: int = Field(ge=5, le=600, description="gives up on a service without healthy tasks")

    @model_validator(mode="before")
    @classmethod
    def _apply_single(cls, settings: Any) -> Any:  # noqa: ANN401  # whatever a file says
        return as_single(settings) if isinstance(settings, dict) else settings

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, origins: str) -> str:
        parse_origins(origins)
        return origins

    @field_validator("secrets")
    @classmethod
    def _check_variable_names(cls, variables: dict[str, str]) -> dict[str, str]:
        for number, name in enumerate(variables, 1):
            require(aws_names.VARIABLE.fullmatch(name), f"must have names such as LOG_LEVEL, which no. {number} is not")
        return variables

    @field_validator("secrets")
    @classmethod
    def _check_secrets(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, source in secrets.items():
            require(
                aws_names.SECRET_ARN.fullmatch(source) or aws_names.is_parameter(source),
                f"must be full ARNs of secrets, or names or ARNs of SSM parameters, which that of {shown.key((name,))} "
                "is not",
            )
        return secrets

    @field_validator("secret_key_arns")
    @classmethod
    def _check_key_arns(cls, arns: list[str]) -> list[str]:
        for arn in arns:
            require(
                aws_names.KEY_ARN.fullmatch(arn),
                "must hold whole ARNs of keys, arn:aws:kms:<region>:<account>:key/<id>, as a policy that names an "
                f"alias allows nothing, not {shown.text(arn)}",
            )
        return arns

    @field_validator("task_policy_arns")
    @classmethod
    def _check_task_policies(cls, arns: list[str]) -> list[str]:
        check_policy_arns(arns)
        return arns

    @field_validator("host_names")
    @classmethod
    def _check_host_names(cls, names: list[str]) -> list[str]:
        for name in names:
            require(
                aws_names.HOST_PATTERN.fullmatch(name),
                f"must hold names such as api.example.com, not {shown.text(name)}",
            )
        return names

    @field_validator("schedule_time_zone")
    @classmethod
    def _check_time_zone(cls, name: str) -> str:
        known = _time_zones()
        require(name in known or not known, "must be the time zone of these times, such as Europe/Dublin")
        return name

    @field_validator("slow_start_seconds")
    @classmethod
    def _check_slow_start(cls, seconds: int) -> int:
        require(seconds == 0 or seconds >= SHORTEST_SLOW_START, f"must be 0, or {SHORTEST_SLOW_START} to 900")
        return seconds


def as_single(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a service with what `single` makes of them."""
    if settings.get("single") is not True:
        return settings
    least = settings.get("min_tasks")
    only = {"min_tasks": 1} if isinstance(least, int) and least > 1 else {}
    return settings | only | {"max_tasks": 1, "min_healthy_percent": 0, "max_percent": 100}


@cache
def _time_zones() -> set[str]:
    """Return the names of all time zones, or none where the system has no database of them."""
    return zoneinfo.available_timezones()
