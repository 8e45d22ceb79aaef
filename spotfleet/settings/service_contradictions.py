"""Which settings of services do not go together, or not with the machines, and what would."""

import math
from collections.abc import Collection, Iterator

from spotfleet.behaviour import spot_notice
from spotfleet.facts import administration, aws_names, instance_types, regions, sizes
from spotfleet.settings.capacity import (
    can_stand_on_spot,
    has_types,
    tasks_during_deployment,
    tasks_held,
    tasks_per_machine,
)
from spotfleet.settings.environment import Settings
from spotfleet.settings.section import ALL
from spotfleet.settings.service import ServiceSettings

# So far above its target must a metric be able to rise to be told from noise.
CPU_MARGIN_PERCENT = 5
# Seconds between two values of a service's own metrics where nothing else is said, which cost nothing.
USUAL_RESOLUTION = 60
# What a load balancer asks for, or is told.
WEB_ONLY = (
    *("cors_origins", "container_port", "path_pattern", "host_names", "listener_priority", "slow_start_seconds"),
    *("health_check_path", "health_check_codes", "health_check_interval_seconds", "health_check_timeout_seconds"),
    *("health_check_healthy_count", "health_check_unhealthy_count", "deregistration_delay_seconds"),
    *("requests_per_task", "deployment_alarms"),
)
# What tells a container where to listen.
PORT = "PORT"
# A repository's policy has 50 rules at most; one is for the first service, two for images of no service:
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
MOST_FURTHER_SERVICES = 47


def contradictions_of_a_service(
    settings: Settings, service: ServiceSettings, own: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield each setting of a service that does not go with others; `own` are those that it has for itself."""
    if service.max_tasks < service.min_tasks:
        yield "max_tasks", f"must be at least min_tasks ({service.min_tasks})"
    if any(change.max_tasks < change.min_tasks for change in service.scheduled_scaling):
        yield "scheduled_scaling", "must not have max_tasks below min_tasks"
    if any(change.max_tasks > service.max_tasks for change in service.scheduled_scaling):
        yield "scheduled_scaling", f"must not have more than max_tasks ({service.max_tasks}), which the machines hold"
    yield from _contradictions_of_the_container(service)
    yield from _contradictions_of_the_health_check(service)
    yield from _settings_of_other_kinds(service, own)
    both = service.environment_variables.keys() & service.secrets.keys() | service.secrets.keys() & {"CORS_ORIGINS"}
    if both:
        yield "secrets", f"must not name {', '.join(sorted(both))}, which is a plain variable too"
    if "CORS_ORIGINS" in service.environment_variables:
        yield "environment_variables", "must not name CORS_ORIGINS: that is the setting cors_origins"
    administrative = list(filter(administration.is_administrative, service.task_policy_arns))
    if administrative and not service.allow_administrator_tasks:
        yield (
            "task_policy_arns",
            f"must not hold {', '.join(administrative)}, which lets a task raise itself to administrator of the "
            "account, unless allow_administrator_tasks is true",
        )
    if service.metric_resolution_seconds != USUAL_RESOLUTION and not _scales(service):
        yield (
            "metric_resolution_seconds",
            f"must be {USUAL_RESOLUTION} with max_tasks equal to min_tasks ({service.min_tasks}) at all "
            "times: there is nothing to scale, and the finer metrics are billed",
        )
    if service.deployment_alarms and not settings.alarms:
        yield "deployment_alarms", "needs alarms to be true"
    if sum(map("".join([service.path_pattern, *service.host_names]).count, "*?")) > aws_names.WILDCARDS:
        yield "host_names", f"must not have more than {aws_names.WILDCARDS} wildcards together with path_pattern"
    yield from sizes.problems(
        service.secrets, service.secret_key_arns, service.environment_variables, service.cors_origins
    )
    yield from _foreign_arns(settings.region, service)

    # ECS rounds what may run down and what must keep running up: one of them has to leave room to move.
    tasks = max(1, service.min_tasks)
    may_run = tasks * service.max_percent // 100
    must_run = -(-tasks * service.min_healthy_percent // 100)
    if may_run <= tasks <= must_run:
        yield "max_percent", f"must let a deployment start one more task than min_tasks ({service.min_tasks})"

    if has_types(settings) and tasks_per_machine(settings, service) == 0:
        smallest = ", ".join(settings.instance_types) or "machines with instance_requirements"
        yield "task_memory_mib", f"with task_cpu_units must fit the smallest of {smallest}"

    if can_stand_on_spot(settings):
        yield from spot_notice.problems(
            service.min_tasks,
            service.min_healthy_percent,
            math.ceil(service.min_tasks / settings.availability_zones),
            service.health_check_healthy_count,
            service.health_check_interval_seconds,
            service.deregistration_delay_seconds if service.kind == "web" else None,
            service.stop_timeout_seconds,
        )
    yield from _targets_that_throttled_machines_never_reach(settings, service)


def _contradictions_of_the_container(service: ServiceSettings) -> Iterator[tuple[str, str]]:
    port = str(service.container_port)
    if service.environment_variables.get(PORT, port) != port:
        yield (
            "environment_variables",
            f"must not give {PORT} another value than container_port ({port}), where the load balancer asks: set "
            "container_port",
        )
    if PORT in service.secrets:
        yield "secrets", f"must not name {PORT}: that is the setting container_port"
    if service.image:
        for key in ("build_target", "build_arguments"):
            if getattr(service, key):
                yield key, "is not used with image, of which nothing is built"
    in_memory = sum(service.writable_folders.values()) + service.shared_memory_mib
    if in_memory >= service.task_memory_mib:
        key = "writable_folders" if service.writable_folders else "shared_memory_mib"
        yield (
            key,
            f"must leave the program some of task_memory_mib ({service.task_memory_mib}), as what is in these folders "
            f"and in shared_memory_mib is the task's memory: together they are {in_memory} MiB",
        )


def _settings_of_other_kinds(service: ServiceSettings, own: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what a worker cannot use: what it says for itself, and what the first service has another value of."""
    if service.kind == "worker":
        for name in WEB_ONLY:
            field = ServiceSettings.model_fields[name]
            if name in own or (not field.is_required() and getattr(service, name) != field.get_default()):
                yield name, "is not used by a worker, which no load balancer asks"
    for name in ("interval_seconds", "timeout_seconds", "retries"):
        key = f"container_health_{name}"
        if not service.container_health_command and getattr(service, key) != ServiceSettings.model_fields[key].default:
            yield key, "is not used without container_health_command"
    interval = service.container_health_interval_seconds
    if service.container_health_command and service.container_health_timeout_seconds >= interval:
        yield "container_health_timeout_seconds", f"must be less than container_health_interval_seconds ({interval})"
    if service.single and service.requests_per_task:
        yield "requests_per_task", "is not used with single, of which there is one task"


def _contradictions_of_the_health_check(service: ServiceSettings) -> Iterator[tuple[str, str]]:
    if service.health_check_timeout_seconds >= service.health_check_interval_seconds:
        yield (
            "health_check_timeout_seconds",
            f"must be less than health_check_interval_seconds ({service.health_check_interval_seconds})",
        )
    for span in service.health_check_codes.split(","):
        first, _, last = span.partition("-")
        if last and int(last) <= int(first):
            yield "health_check_codes", f"must not have a range that ends before it begins, such as {span}"


def _scales(service: ServiceSettings) -> bool:
    """Return whether load can ever change the number of tasks."""
    bounds = [(service.min_tasks, service.max_tasks)]
    bounds += [(change.min_tasks, change.max_tasks) for change in service.scheduled_scaling]
    return any(least < most for least, most in bounds)


def _targets_that_throttled_machines_never_reach(
    settings: Settings, service: ServiceSettings
) -> Iterator[tuple[str, str]]:
    """Yield a CPU target above what tasks get of machines without credits, where nothing else would scale them."""
    if settings.cpu_credits != "standard" or service.requests_per_task:
        return
    for name in filter(instance_types.is_burstable, settings.instance_types):
        units = instance_types.cpu_units(name)
        held = tasks_held(settings, service, instance_types.memory_mib(name), units)
        baseline = units * instance_types.baseline_percent(name) // 100
        reserved = held * service.task_cpu_units
        if reserved and baseline * 100 < service.task_cpu_target_percent * reserved:
            yield (
                "task_cpu_target_percent",
                f"is never reached with cpu_credits standard: without credits a {name} gives its {held} tasks "
                f"{baseline} CPU units, {baseline * 100 // reserved} % of their {held} x {service.task_cpu_units}; "
                "set requests_per_task to scale by requests, or cpu_credits unlimited",
            )
            return


def _foreign_arns(region: str, service: ServiceSettings) -> Iterator[tuple[str, str]]:
    partition = regions.partition(region)
    arns = {
        "secrets": [*service.secrets.values()],
        "secret_key_arns": service.secret_key_arns,
        "task_policy_arns": service.task_policy_arns,
    }
    for key, found in arns.items():
        if aws_names.foreign_arns(found, partition):
            yield key, f"must be in the partition {partition} of {region}: ARNs that begin with arn:{partition}:"


def contradictions_between_services(
    settings: Settings, services: dict[str, ServiceSettings]
) -> Iterator[tuple[str, str]]:
    if len(settings.services) > MOST_FURTHER_SERVICES:
        yield "services", f"must be at most {MOST_FURTHER_SERVICES}: ECR takes 50 rules that say which images are kept"
    web = {name: service for name, service in services.items() if service.kind == "web"}
    priorities = {service.listener_priority: name for name, service in web.items()}
    for name, service in web.items():
        if priorities[service.listener_priority] != name:
            other = priorities[service.listener_priority]
            yield f"services.{other}", f"must have a listener_priority of its own, not {service.listener_priority}"


def contradictions_on_the_machines(
    settings: Settings, services: dict[str, ServiceSettings]
) -> Iterator[tuple[str, str]]:
    """Yield why the machines do not hold, or are not scaled for, the tasks of all these services together."""
    spreading = [name or "the first service" for name, own in services.items() if own.task_placement == "zones_first"]
    is_spare = settings.machine_scaling == "capacity_provider" and settings.capacity_target_percent < ALL
    if spreading and is_spare:
        yield (
            "capacity_target_percent",
            f"must be {ALL} with task_placement zones_first (of {', '.join(spreading)}): ECS compares machines with a "
            f"task to all machines, and tasks spread over all of them, so it is {ALL} % and machines are added until "
            f"each task has its own or max_machines ({settings.max_machines}) run; for spare machines set a higher "
            "min_machines, or task_placement fewest_machines",
        )
    holds = (
        {name: tasks_per_machine(settings, service) for name, service in services.items()}
        if has_types(settings)
        else {}
    )
    if not holds or 0 in holds.values():
        return
    yield from _problems_of_scaling_by_cpu(settings, services, holds)
    tasks = {name: tasks_during_deployment(service) for name, service in services.items()}
    least = sum(-(-tasks[name] // holds[name]) for name in services)
    if settings.max_machines < least:
        yield (
            "max_machines",
            f"must be at least {least}: {sum(tasks.values())} tasks run during a deployment (max_tasks times "
            f"max_percent) and the smallest machine holds {min(holds.values())}",
        )


def _problems_of_scaling_by_cpu(
    settings: Settings, services: dict[str, ServiceSettings], holds: dict[str, int]
) -> Iterator[tuple[str, str]]:
    """Yield why machines would never be added by their CPU use, and nothing else adds any.

    Tasks cannot use more than they reserve, so neither can a machine that is full of them.
    """
    if settings.machine_scaling != "cpu":
        return
    least = sum(math.ceil((service.min_tasks + 1) / holds[name]) for name, service in services.items())
    if settings.min_machines < least:
        yield (
            "min_machines",
            f"must be at least {least} with machine_scaling cpu, which adds no machine for a task that has no room: "
            f"min_tasks and one more of each service, and the smallest machine holds {min(holds.values())}",
        )
    for name in settings.instance_types:
        memory, units = instance_types.memory_mib(name), instance_types.cpu_units(name)
        used = max(
            tasks_held(settings, service, memory, units) * service.task_cpu_units for service in services.values()
        )
        reached = used * 100 // units
        words = f"tasks that fill a {name} use {used} of its {units} CPU units, {reached} %"
        if settings.cpu_credits == "standard" and instance_types.baseline_percent(name) < reached:
            reached = instance_types.baseline_percent(name)
            words = f"without credits (cpu_credits standard) a {name} is at {reached} %"
        if reached < settings.machine_cpu_target_percent + CPU_MARGIN_PERCENT:
            yield (
                "machine_cpu_target_percent",
                f"must be at most {max(1, reached - CPU_MARGIN_PERCENT)} with machine_scaling cpu: {words}, and "
                "scaling needs some above its target; or take machine_scaling capacity_provider, or tasks with less "
                "memory or more CPU units",
            )
            return
