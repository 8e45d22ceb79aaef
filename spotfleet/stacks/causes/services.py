"""Why a service's tasks do not start, do not last or do not serve: from the task to what the scheduler told."""

from collections.abc import Sequence
from dataclasses import replace

from spotfleet.settings import shown
from spotfleet.stacks.causes import commands, machines
from spotfleet.stacks.causes.task_words import HEALTH_WORDS, LOG_WORDS, PLACEMENT_WORDS, REASON_WORDS
from spotfleet.stacks.causes.words import Cause, Words, recognised
from spotfleet.stacks.container_ends import setting_that_lacks, was_ended_from_outside
from spotfleet.stacks.evidence import LONG_AGO, Evidence, ServiceFacts, StoppedTask, Told

UNHEALTHY = "is unhealthy"
NOTHING_ANSWERS = "wrong_port"
# SIGKILL: of the kernel when memory is short, or of ECS when the stop time was over.
KILLED = 137
# Lines of a container's log that go with a cause.
SHOWN_LINES = 5


def cause(service: ServiceFacts, evidence: Evidence, *, newest: bool = False) -> Cause | None:
    """Return the first cause of what went wrong with a service since its stack's last operation began, or the newest.

    A task that found no room says less than the event about it, and that less than what the group could not launch.
    Of such events only one counts that no start of a task came after: at a first launch tasks wait for machines.
    """
    tasks = [_of_task(one, service, evidence) for one in service.stopped]
    found = _first([*tasks, _of_checks(service, evidence)], newest=newest) or _of_targets(service, evidence)
    if found and found.kind != "no_room":
        return found
    waiting = [one for one in _after_last_start(service.events) if UNHEALTHY not in one.text]
    found = _first([_of_event(one, PLACEMENT_WORDS, service, evidence) for one in waiting]) or found
    if found and found.kind.startswith("no_"):
        return machines.cause_for_room(evidence) or found
    return found


def quoted(text: str, service: ServiceFacts, evidence: Evidence) -> Cause | None:
    """Return the cause that a text names which quotes why a task has stopped."""
    return recognised(text, REASON_WORDS, **_known(service, evidence))


def _after_last_start(events: Sequence[Told]) -> Sequence[Told]:
    started = [number for number, one in enumerate(events) if "has started" in one.text]
    return events[started[-1] + 1 :] if started else events


def _first(causes: Sequence[Cause | None], *, newest: bool = False) -> Cause | None:
    found = sorted((one for one in causes if one and one.time), key=lambda one: one.time or LONG_AGO)
    return found[-1 if newest else 0] if found else None


def _known(service: ServiceFacts, evidence: Evidence) -> dict[str, str]:
    definition = service.definition
    return {
        "layer": service.layer,
        "settings": evidence.settings,
        "environment": evidence.environment,
        "image": definition.image or "image",
        "memory_mib": str(definition.memory_mib or "few"),
        "cpu_units": str(definition.cpu_units or "few"),
        "port": str(definition.port or "the one of the task definition"),
        "architecture": definition.architecture or "the machines' own",
        "health_check_path": definition.health_check_path or "/healthcheck",
        "machines": _sizes(evidence),
        "logs": _logs(service, evidence),
    }


def _sizes(evidence: Evidence) -> str:
    """Return the machines' sizes: they bound what a task may need, however empty they are."""
    if not evidence.machines:
        return "no machine has joined the cluster"
    sizes = sorted({f"{one.cpu_units} units and {one.memory_mib} MiB" for one in evidence.machines})
    return f"{len(evidence.machines)} joined, of {', '.join(sizes)} for all their tasks"


def _of_task(task: StoppedTask, service: ServiceFacts, evidence: Evidence) -> Cause | None:
    known = _known(service, evidence)
    reasons = [task.reason, *(one.reason for one in task.containers)]
    for reason in filter(None, reasons):
        if found := recognised(reason, REASON_WORDS, **known):
            return found.at(task.time)
    if was_ended_from_outside(task.stop_code, task.reason):
        return None
    if "health checks" in task.reason:
        return _of_health(task, service, evidence)
    return _of_exit(task, service, evidence)


def _of_exit(task: StoppedTask, service: ServiceFacts, evidence: Evidence) -> Cause | None:
    """Return why a container ended by itself, as far as its log and its exit code tell."""
    log = [line.rstrip() for line in task.log or []]
    codes = [one.exit_code for one in task.containers if one.exit_code is not None]
    code = next((one for one in codes if one), 0)
    lines = [shown.printed(line) for line in log if line.strip()][-SHOWN_LINES:]
    if lacks := setting_that_lacks(log, code):
        sentence = f"the container of {service.layer} ended: {shown.harmless(shown.without_addresses(lacks))}"
        return Cause("setting_lacks", sentence, "set that, then launch again", task.time, task.reason, lines)
    if found := recognised("\n".join(log), LOG_WORDS, **_known(service, evidence)):
        return replace(found, time=task.time, said=task.reason, log=lines)
    if not codes:
        return None
    sentence = f"the container of {service.layer} ended by itself with exit code {code}"
    if code == KILLED:
        sentence = f"the container of {service.layer} was killed (exit code {code}), mostly because memory was short"
    if lines:
        sentence += f"; the last that it printed: {lines[-1].strip()}"
    way_out = f"see its log ({_logs(service, evidence)}), mend that, then launch again"
    if task.log is None:
        watched = commands.logs(evidence, service.layer, follow=True)
        way_out = (
            f"its log is gone with what was taken back: watch {watched} during the next launch, or run the image by "
            "hand"
        )
    return Cause("container_exited", sentence, way_out, task.time, task.reason, lines)


def _logs(service: ServiceFacts, evidence: Evidence) -> str:
    return commands.logs(evidence, service.layer, service.definition.log_group)


def _of_health(task: StoppedTask, service: ServiceFacts, evidence: Evidence) -> Cause:
    """Return why a task failed its health checks: the events about them say what they got."""
    known = _known(service, evidence)
    if found := _of_checks(service, evidence) or _of_targets(service, evidence):
        return found.at(task.time)
    sentence = f"tasks of {service.layer} failed the health checks of the load balancer or of their container"
    way_out = f"see {known['logs']} for what they answered at {known['health_check_path']}"
    return Cause("health_check_failed", sentence, way_out, task.time, task.reason)


def _of_checks(service: ServiceFacts, evidence: Evidence) -> Cause | None:
    """Return what health checks got, by the last event that says more than that nothing answered.

    Nothing answers as well where a task is only still starting.
    """
    told = [one for one in reversed(service.events) if UNHEALTHY in one.text]
    found = [cause for one in told if (cause := _of_event(one, HEALTH_WORDS, service, evidence))]
    return next((one for one in found if one.kind != NOTHING_ANSWERS), found[0] if found else None)


def _of_event(event: Told, table: Sequence[Words], service: ServiceFacts, evidence: Evidence) -> Cause | None:
    found = recognised(event.text, table, **_known(service, evidence))
    return found.at(event.time) if found else None


def _of_targets(service: ServiceFacts, evidence: Evidence) -> Cause | None:
    """Return what the load balancer says now of a target that is unhealthy."""
    for target in service.targets:
        if target.state == "unhealthy":
            text = f"{target.code} {target.description}"
            return recognised(text, HEALTH_WORDS, **_known(service, evidence))
    return None
