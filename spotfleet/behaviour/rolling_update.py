"""How CloudFormation's rolling update replaces the machines of a group: decisions only."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.template_text import value_in

DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")


@dataclass(frozen=True)
class Policy:
    """The numbers of AutoScalingRollingUpdate; `pause` in AWS's seconds.

    With `signals` a new machine is ready when it has signalled, and `pause` only is the longest wait for that.
    """

    keep: int
    batch: int
    pause: float
    signals: bool = False


@dataclass(frozen=True)
class Member:
    """A machine of a group: its age in AWS's seconds, and whether the group would launch it the same way today.

    `joined` tells whether its ECS agent has joined the cluster, which is when the machine signals.
    """

    id: str
    age: float
    current: bool
    joined: bool = False


@dataclass(frozen=True)
class Step:
    """What a roll does next: replace these machines, or run so many for the time being."""

    replace: tuple[str, ...] = ()
    capacity: int | None = None


def next_step(members: Sequence[Member], policy: Policy, desired: int, most: int) -> Step:
    """Return what a roll does next; nothing while new machines are not ready or when all are current.

    Machines above the minimum in service are replaced, a batch at a time; where there is none, the group grows first.
    """
    outdated = sorted((item for item in members if not item.current), key=lambda item: -item.age)
    starting = [item for item in members if item.current and not _is_ready(item, policy)]
    if not outdated or starting or len(members) < desired:
        return Step()
    spare = len(members) - policy.keep
    if spare <= 0 and desired < most:
        return Step(capacity=min(desired + policy.batch, most))
    # A group that may not grow loses a machine for a while.
    return Step(replace=tuple(item.id for item in outdated[: max(1, min(policy.batch, spare))]))


def _is_ready(member: Member, policy: Policy) -> bool:
    """Return whether the roll may go on after the launch of a machine."""
    return member.joined if policy.signals else member.age >= policy.pause


def is_current(instance: Record, group: Record) -> bool:
    """Return whether a group's instance was launched from what the group launches now."""
    wanted = _specification(group)
    have = instance.get("LaunchTemplate", {})
    return (str(have.get("LaunchTemplateId")), str(have.get("Version"))) == (
        str(wanted.get("LaunchTemplateId")),
        str(wanted.get("Version")),
    )


def _specification(group: Record) -> Record:
    template: Record = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    found: Record = template.get("LaunchTemplateSpecification") or group.get("LaunchTemplate") or {}
    return found


def policy_in(template: Record, logical_id: str, parameters: Mapping[str, str]) -> Policy | None:
    """Return the rolling update policy in a template, with the stack's parameters put in."""
    settings = template["Resources"].get(logical_id, {}).get("UpdatePolicy", {}).get("AutoScalingRollingUpdate")
    if settings is None:
        return None
    values = {name: value_in(value, parameters) for name, value in settings.items()}
    return Policy(
        keep=int(values.get("MinInstancesInService", 0)),
        batch=int(values.get("MaxBatchSize", 1)),
        pause=_duration(values.get("PauseTime", "PT0S")),
        signals=values.get("WaitOnResourceSignals", "false").lower() == "true",
    )


def _duration(text: str) -> float:
    match = DURATION.match(text)
    if not match:
        raise ValueError(f"{text!r} is no duration such as PT5M")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def unfinished(group: Record, policy: Policy, joined: Container[str]) -> list[str]:
    """Return the instances that a roll still has to replace, and the new ones that do not count yet.

    Those are the ones that a lifecycle hook holds, and with signals the ones that have sent none.
    """
    return [
        item["InstanceId"]
        for item in group["Instances"]
        if not is_current(item, group)
        or str(item.get("LifecycleState")).startswith("Pending")
        or (policy.signals and item["InstanceId"] not in joined)
    ]
