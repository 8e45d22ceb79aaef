"""Whether the times of load balancer, service and container go together when a task ends: one line of arithmetic each.

The numbers are those of the rendered templates, so that an edited template is judged as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spotfleet.behaviour import delays, spot_notice
from spotfleet.plan.configurations import Configuration, StackVersion
from spotfleet.settings.capacity import can_stand_on_spot
from spotfleet.settings.environment import Settings
from spotfleet.settings.service import ServiceSettings
from spotfleet.stacks.template_content import Content, resources

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html: the longest stopTimeout.
LONGEST_STOP = 120
# Of the stop timeout the service leaves this much between its last answer and SIGKILL.
LEFT = 3
# A machine that has not joined after it is given up: the lifecycle hook of templates/machines.yaml.j2.
HOOK = 900
MACHINES = "machines"


@dataclass(frozen=True)
class Line:
    """One line of the budget: what must hold, with its numbers, and what comes of it where it does not."""

    service: str
    what: str
    arithmetic: str
    holds: bool
    otherwise: str = ""


@dataclass(frozen=True)
class _Times:
    """The seconds of one service, as its templates have them; None is what they do not say."""

    keepalive: float | None
    drain: float | None
    shutdown: float | None
    stop: float
    deregistration: float
    interval: float
    timeout: float
    healthy: int
    unhealthy: int
    grace: float


def lines(configuration: Configuration) -> list[Line]:
    """Return the lines of every service of an environment."""
    settings = configuration.settings
    if settings is None:
        return []
    found: list[Line] = []
    for layer, service in configuration.services.items():
        found += _of_service(layer, _times(configuration.stacks[layer], service), settings, service)
    return found + list(_of_machines())


def _of_service(layer: str, times: _Times, settings: Settings, service: ServiceSettings) -> Iterator[Line]:
    idle = settings.idle_timeout_seconds
    if times.keepalive is not None:
        yield Line(
            layer,
            "the service keeps an idle connection longer than the load balancer",
            f"keep-alive {times.keepalive:g} s > idle timeout {idle} s",
            times.keepalive > idle,
            "now and then a request meets a connection that has just been closed: 502",
        )
    if times.drain is not None and times.shutdown is not None:
        used = times.drain + times.shutdown + LEFT
        yield Line(
            layer,
            "the service ends before it is killed",
            f"drain {times.drain:g} + open requests {times.shutdown:g} + {LEFT} = {used:g} s <= stop {times.stop:g} s",
            used <= times.stop,
            f"SIGKILL cuts what is open after {times.stop:g} s",
        )
    yield Line(
        layer,
        "ECS takes the stop timeout",
        f"stop {times.stop:g} s <= {LONGEST_STOP} s",
        times.stop <= LONGEST_STOP,
        f"ECS cuts it to {LONGEST_STOP} s",
    )
    if service.kind == "web":
        yield from _of_targets(layer, times, idle)
    if can_stand_on_spot(settings):
        yield from _of_spot(layer, settings, service, times)


def _of_targets(layer: str, times: _Times, idle: int) -> Iterator[Line]:
    yield Line(
        layer,
        "a request that was taken is answered before its task is gone",
        f"longest answer {idle} s (idle timeout) <= deregistration {times.deregistration:g} s",
        idle <= times.deregistration,
        f"answers that take longer than {times.deregistration:g} s are cut when their task leaves: 502",
    )
    least, most = times.interval * (times.unhealthy - 1), times.interval * times.unhealthy + times.timeout
    yield Line(
        layer,
        "a task has begun to answer when failed checks count",
        f"start {_start():g} s <= grace {times.grace:g} s, or {least:g} to {most:g} s until the checks have failed",
        _start() <= max(times.grace, least),
        "tasks are replaced before they have started",
    )


def _of_spot(layer: str, settings: Settings, service: ServiceSettings, times: _Times) -> Iterator[Line]:
    on_one = -(-service.min_tasks // settings.availability_zones)
    problems = dict(
        spot_notice.problems(
            service.min_tasks,
            service.min_healthy_percent,
            on_one,
            times.healthy,
            round(times.interval),
            round(times.deregistration) if service.kind == "web" else None,
            round(times.stop),
        )
    )
    acts = spot_notice.AGENT_SECONDS + spot_notice.SCHEDULER_SECONDS
    deregistration = times.deregistration if service.kind == "web" else 0
    used = acts + deregistration + times.stop
    yield Line(
        layer,
        "tasks end in order within a Spot notice",
        f"notice heard {acts} + deregistration {deregistration:g} + stop {times.stop:g} = {used:g} s <= "
        f"{spot_notice.NOTICE_SECONDS} s",
        not problems,
        "; ".join(f"{key} {should}" for key, should in problems.items()),
    )


def _of_machines() -> Iterator[Line]:
    boot = delays.BOOT.longest
    yield Line(
        MACHINES,
        "a machine has joined before it is given up",
        f"start {boot:g} s at the longest < lifecycle hook {HOOK} s",
        boot < HOOK,
        "the group ends machines that are about to join, again and again",
    )


def _start() -> float:
    """Return how long a task takes at the longest until its first check: its image's pull and its registration."""
    return delays.IMAGE_PULL_START.longest + spot_notice.START_SECONDS + delays.TARGET_REGISTERED.longest


def _times(version: StackVersion, service: ServiceSettings) -> _Times:
    found = resources(version.template, version.parameters)
    container = _container(found)
    variables = {str(one.get("Name")): str(one.get("Value")) for one in container.get("Environment") or []}
    checks = _properties(found, "AWS::ElasticLoadBalancingV2::TargetGroup")

    def seconds(name: str) -> float | None:
        text = variables.get(name, "")
        try:
            return float(text)
        except ValueError:
            return None

    return _Times(
        keepalive=seconds("KEEPALIVE_SECONDS"),
        drain=seconds("DRAIN_SECONDS"),
        shutdown=seconds("SHUTDOWN_SECONDS"),
        stop=_number(container.get("StopTimeout"), service.stop_timeout_seconds),
        deregistration=service.deregistration_delay_seconds,
        interval=_number(checks.get("HealthCheckIntervalSeconds"), service.health_check_interval_seconds),
        timeout=_number(checks.get("HealthCheckTimeoutSeconds"), service.health_check_timeout_seconds),
        healthy=round(_number(checks.get("HealthyThresholdCount"), service.health_check_healthy_count)),
        unhealthy=round(_number(checks.get("UnhealthyThresholdCount"), service.health_check_unhealthy_count)),
        grace=service.health_check_grace_seconds,
    )


def _container(found: Content) -> Mapping[str, Any]:
    containers = _properties(found, "AWS::ECS::TaskDefinition").get("ContainerDefinitions") or [{}]
    first: Mapping[str, Any] = containers[0]
    return first


def _properties(found: Content, kind: str) -> Mapping[str, Any]:
    return next((one.get("Properties") or {} for one in found.values() if one.get("Type") == kind), {})


def _number(value: object, otherwise: float) -> float:
    try:
        return float(str(value))
    except ValueError:
        return otherwise
