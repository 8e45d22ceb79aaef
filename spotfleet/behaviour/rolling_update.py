"""How CloudFormation's rolling update replaces the machines of a group: decisions only."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour import resource_signals
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.resource_signals import duration
from spotfleet.behaviour.template_text import texts, value_in

# In AWS's seconds.
LONGEST_STEP = 3600

# The tag of a group that is rolled: how many machines it had before.
SIZE_TAG = "spotfleet:size-before-roll"

# In AWS's seconds, of PauseTime.
LONGEST_PAUSE = 3600


@dataclass(frozen=True)
class Policy:
    """The numbers of AutoScalingRollingUpdate; `pause` in AWS's seconds.

    With `signals` a new machine is ready when it has signalled, and `pause` only is the longest wait for that; then so
    many percent of the machines must succeed. `suspended` are the group's processes that rest meanwhile.
    """

    keep: int
    batch: int
    pause: float
    signals: bool = False
    successful_percent: float = resource_signals.ALL
    suspended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """A machine of a group: how long it is in service, and whether the group would launch it the same way today.

    `signalled` tells whether it has signalled success, None before it has signalled at all; `age` and `since_launch`
    are in AWS's seconds.
    """

    id: str
    age: float
    current: bool
    signalled: bool | None = None
    since_launch: float = 0


@dataclass(frozen=True)
class Step:
    """What a roll does next: replace these machines, end these without a successor, or run so many for a while."""

    replace: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    capacity: int | None = None


def next_step(members: Sequence[Member], policy: Policy, desired: int, most: int, before: int) -> Step:
    """Return what a roll does next; nothing while new machines are not ready or when all are current.

    Machines above the minimum in service are replaced, a batch at a time. Where there is none, the group grows first,
    and shrinks again by as much, so that it ends with as many as it had `before` (rule F4). Public logs show that;
    AWS's page has the minimum only.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
    """
    outdated = sorted((item for item in members if not item.current), key=lambda item: -item.age)
    starting = [item for item in members if item.current and not _is_ready(item, policy)]
    failed = sum(has_failed(policy, item.signalled, item.since_launch) for item in members if item.current)
    if not outdated or starting or len(members) < desired or refusal(policy, before, failed):
        return Step()
    spare = len(members) - policy.keep
    if spare <= 0 and desired < most:
        return Step(capacity=min(desired + min(policy.batch, len(outdated)), most))
    # A group that may not grow loses a machine for a while.
    going = [item.id for item in outdated[: max(1, min(policy.batch, spare))]]
    # What scaling has added meanwhile stays: only the roll's own growth goes.
    grown = min(max(0, desired - before), policy.batch)
    return Step(replace=tuple(going[grown:]), end=tuple(going[:grown]))


def problem(policy: Policy, most: int) -> str:
    """Return why CloudFormation refuses an update of a group with this maximum, or nothing (rule F4)."""
    if policy.keep < most:
        return ""
    return f"MinInstancesInService ({policy.keep}) must be less than the group's MaxSize ({most})"


def longest_wait(policy: Policy) -> float:
    """Return how long the roll waits for its next machine before it fails, in AWS's seconds.

    With signals that is PauseTime, for each batch (rule F5). Without, CloudFormation waits for no machine; here the
    roll waits for those that a lifecycle hook holds, and gives up after an hour.
    """
    return policy.pause if policy.signals else LONGEST_STEP


def _is_ready(member: Member, policy: Policy) -> bool:
    """Return whether the roll may go on after the launch of a machine."""
    if not policy.signals:
        return member.age >= policy.pause
    return bool(member.signalled) or has_failed(policy, member.signalled, member.since_launch)


def has_failed(policy: Policy, signalled: bool | None, since_launch: float) -> bool:
    """Return whether a new machine counts as failed: it has signalled so, or not at all for the PauseTime (rule F5)."""
    late = signalled is None and since_launch >= policy.pause
    return policy.signals and (late or signalled is False)


def refusal(policy: Policy, total: int, failed: int) -> str:
    """Return CloudFormation's reason for which a roll of so many machines ends, or nothing while enough may succeed."""
    return resource_signals.refusal(total, failed, policy.successful_percent) if policy.signals else ""


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
    signals = values.get("WaitOnResourceSignals", "false").lower() == "true"
    pause = duration(values.get("PauseTime", resource_signals.DEFAULT_TIMEOUT if signals else "PT0S"))
    if pause > LONGEST_PAUSE:
        raise ValueError(f"PauseTime ({values['PauseTime']}) must be at most PT1H")
    return Policy(
        keep=int(values.get("MinInstancesInService", 0)),
        batch=int(values.get("MaxBatchSize", 1)),
        pause=pause,
        signals=signals,
        successful_percent=float(values.get("MinSuccessfulInstancesPercent", resource_signals.ALL)),
        suspended=texts(settings.get("SuspendProcesses", []), parameters),
    )


def unfinished(group: Record, policy: Policy, settled: Container[str]) -> list[str]:
    """Return the instances that a roll still has to replace, and the new ones that do not count yet.

    Those are the ones that a lifecycle hook holds, and with signals the ones that are not settled: they have neither
    sent one nor let their time for it pass.
    """
    return [
        item["InstanceId"]
        for item in group["Instances"]
        if not is_current(item, group)
        or str(item.get("LifecycleState")).startswith("Pending")
        or (policy.signals and item["InstanceId"] not in settled)
    ]
