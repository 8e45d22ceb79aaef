"""A group is created when its machines are in service, and updated when its machines are replaced."""

import time
from collections.abc import Callable, Container

from spotfleet.behaviour.instance_refresh import Preferences
from spotfleet.behaviour.rolling_update import is_current, longest_wait, problem, unfinished
from spotfleet.local.api import clients
from spotfleet.local.api.rolling_policy import is_rolled_back, policy_of, preferences_of
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock

POLL_SECONDS = 0.5


def settle(autoscaling: clients.Client, name: str, ends_early: Callable[[], str]) -> None:
    """Wait, as CloudFormation does, until a new group has as many machines in service as it wants.

    Raises ValueError when the launch of one fails: public stack events tell of it in these words, AWS's guide does not.
    """
    while True:
        group = _described(autoscaling, name)
        in_service = sum(item["LifecycleState"] == "InService" for item in group["Instances"])
        if in_service >= group["DesiredCapacity"] or not group["Instances"]:
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
    joined: Callable[[], Container[str]],
    *,
    triggered: bool,
    ends_early: Callable[[], str],
) -> None:
    """Replace the machines of a group as its template's update policy says, and wait for the end of it.

    `triggered` tells whether the update is one that calls for an instance refresh; `joined` gives the instances whose
    ECS agent has joined, which is when they signal. Raises ValueError when the replacement fails.
    """
    preferences = preferences_of(cloudformation, name)
    if preferences is None:
        wait(autoscaling, cloudformation, name, joined)
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


def wait(
    autoscaling: clients.Client, cloudformation: clients.Client, name: str, joined: Callable[[], Container[str]]
) -> None:
    """Wait, as CloudFormation does, for the roll of a group; at once where no machine is outdated or no policy rolls.

    `joined` gives the instances whose ECS agent has joined, which is when they signal.
    Raises ValueError when the next machine takes too long.
    """
    group, policy = _described(autoscaling, name), policy_of(cloudformation, name)
    if policy is None or all(is_current(item, group) for item in group["Instances"]):
        return
    if refused := problem(policy, group["MaxSize"]):
        raise ValueError(refused)
    patience = longest_wait(policy)
    left: list[str] = []
    deadline = 0.0
    while now_left := unfinished(group, policy, joined()):
        if now_left != left:
            left, deadline = now_left, time.monotonic() + clock.seconds(patience)
        if time.monotonic() > deadline:
            raise ValueError(f"The roll of {name} has stood still for {patience / 60:.0f} minutes at {', '.join(left)}")
        time.sleep(POLL_SECONDS)
        group = _described(autoscaling, name)


def _described(autoscaling: clients.Client, name: str) -> Record:
    found: Record = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return found
