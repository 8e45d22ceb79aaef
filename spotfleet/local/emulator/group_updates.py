"""A group is created when its machines are in service, and updated when its machines are replaced."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from spotfleet.behaviour.instance_refresh import Preferences
from spotfleet.behaviour.resource_signals import CreationPolicy, is_created
from spotfleet.behaviour.rolling_update import (
    Policy,
    has_failed,
    is_current,
    longest_wait,
    problem,
    refusal,
    unfinished,
)
from spotfleet.local.api import clients
from spotfleet.local.api.rolling_policy import is_rolled_back, policy_of, preferences_of
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock

POLL_SECONDS = 0.5


# What the machines of a group have signalled: whether it was SUCCESS, by machine.
Signals = Callable[[], Mapping[str, bool]]


def settle(
    autoscaling: clients.Client,
    name: str,
    ends_early: Callable[[], str],
    policy: CreationPolicy | None = None,
    signals: Signals = dict,
) -> None:
    """Wait, as CloudFormation does, until a new group has as many machines in service as it wants.

    With a creation policy it waits for their signals as well. Raises ValueError when the launch of one fails, or too
    few signal: public stack events tell of the former in these words, AWS's guide does not.
    """
    began = time.monotonic()
    while True:
        group = _described(autoscaling, name)
        in_service = sum(item["LifecycleState"] == "InService" for item in group["Instances"])
        stable = in_service >= group["DesiredCapacity"] or not group["Instances"]
        waited = clock.aws_seconds(time.monotonic() - began)
        if (policy is None or is_created(policy, signals(), waited)) and stable:
            return
        for activity in autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]:
            if activity["StatusCode"] in {"Failed", "Cancelled"}:
                raise ValueError(f"Group did not stabilize. Last scaling activity: {activity['StatusMessage']}")
        if reason := ends_early():
            raise ValueError(reason)
        time.sleep(POLL_SECONDS)


def replace_machines(
    autoscaling: clients.Client,
    cloudformation: clients.Client,
    name: str,
    signals: Signals,
    *,
    triggered: bool,
    ends_early: Callable[[], str],
) -> None:
    """Replace the machines of a group as its template's update policy says, and wait for the end of it.

    `triggered` tells whether the update is one that calls for an instance refresh. Raises ValueError when the
    replacement fails.
    """
    preferences = preferences_of(cloudformation, name)
    if preferences is None:
        wait(autoscaling, cloudformation, name, signals)
    elif triggered:
        # An alarm that has stopped the way there must not stop the way back.
        alarms = () if is_rolled_back(cloudformation, name) else preferences.alarms
        _refresh(autoscaling, name, preferences, alarms, ends_early)


def _refresh(
    autoscaling: clients.Client,
    name: str,
    preferences: Preferences,
    alarms: tuple[str, ...],
    ends_early: Callable[[], str],
) -> None:
    started = autoscaling.start_instance_refresh(
        AutoScalingGroupName=name,
        Preferences={
            "MinHealthyPercentage": preferences.least,
            "MaxHealthyPercentage": preferences.most,
            "InstanceWarmup": int(preferences.warmup),
            "SkipMatching": preferences.skip_matching,
            "BakeTime": int(preferences.bake),
            **({"AlarmSpecification": {"Alarms": list(alarms)}} if alarms else {}),
        },
    )["InstanceRefreshId"]
    while True:
        found = autoscaling.describe_instance_refreshes(AutoScalingGroupName=name, InstanceRefreshIds=[started])
        (refresh,) = found["InstanceRefreshes"]
        if refresh["Status"] == "Successful":
            return
        if refresh["Status"] != "InProgress":
            raise ValueError(refresh.get("StatusReason") or f"The instance refresh was {refresh['Status'].lower()}")
        if reason := ends_early():
            autoscaling.cancel_instance_refresh(AutoScalingGroupName=name)
            raise ValueError(reason)
        time.sleep(POLL_SECONDS)


def wait(autoscaling: clients.Client, cloudformation: clients.Client, name: str, signals: Signals) -> None:
    """Wait, as CloudFormation does, for the roll of a group; at once where no machine is outdated or no policy rolls.

    Raises ValueError when too few machines signal, or the next one takes too long.
    """
    group, policy = _described(autoscaling, name), policy_of(cloudformation, name)
    if policy is None or all(is_current(item, group) for item in group["Instances"]):
        return
    if refused := problem(policy, group["MaxSize"]):
        raise ValueError(refused)
    with _suspended(autoscaling, group, policy.suspended):
        _wait_for_roll(autoscaling, group, policy, signals)


def _wait_for_roll(autoscaling: clients.Client, group: Record, policy: Policy, signals: Signals) -> None:
    name, patience = group["AutoScalingGroupName"], longest_wait(policy)
    total = sum(not is_current(item, group) for item in group["Instances"])
    seen: dict[str, float] = {}
    left: list[str] = []
    deadline = 0.0
    while True:
        now, signalled = time.monotonic(), signals()
        new = [item["InstanceId"] for item in group["Instances"] if is_current(item, group)]
        ages = {machine: clock.aws_seconds(now - seen.setdefault(machine, now)) for machine in new}
        failed = [machine for machine, age in ages.items() if has_failed(policy, signalled.get(machine), age)]
        if reason := refusal(policy, total, len(failed)):
            raise ValueError(reason)
        now_left = unfinished(group, policy, {*failed, *(machine for machine, success in signalled.items() if success)})
        if not now_left:
            return
        if now_left != left:
            left, deadline = now_left, now + clock.seconds(patience)
        if now > deadline:
            raise ValueError(f"The roll of {name} has stood still for {patience / 60:.0f} minutes at {', '.join(left)}")
        time.sleep(POLL_SECONDS)
        group = _described(autoscaling, name)


@contextmanager
def _suspended(autoscaling: clients.Client, group: Record, processes: tuple[str, ...]) -> Iterator[None]:
    """Let processes of a group rest for the block, those that did not before."""
    already = {item["ProcessName"] for item in group.get("SuspendedProcesses", [])}
    resting = [process for process in processes if process not in already]
    place = {"AutoScalingGroupName": group["AutoScalingGroupName"], "ScalingProcesses": resting}
    if resting:
        autoscaling.suspend_processes(**place)
    try:
        yield
    finally:
        if resting:
            autoscaling.resume_processes(**place)


def _described(autoscaling: clients.Client, name: str) -> Record:
    found: Record = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return found
