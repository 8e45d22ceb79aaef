"""An update of a group waits until its machines are replaced."""

import time
from collections.abc import Callable, Container

from spotfleet.behaviour.rolling_update import is_current, unfinished
from spotfleet.local.api import clients
from spotfleet.local.api.rolling_policy import policy_of
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock

POLL_SECONDS = 0.5

# How long an update of the group waits for its next machine at most, in AWS's seconds.
LONGEST_STEP = 3600


def wait(
    autoscaling: clients.Client, cloudformation: clients.Client, name: str, joined: Callable[[], Container[str]]
) -> None:
    """Wait, as CloudFormation does, for the roll of a group; at once where no machine is outdated or no policy rolls.

    `joined` gives the instances whose ECS agent has joined, which is when they signal.
    Raises ValueError when the next machine takes too long.
    """

    def described() -> Record:
        found: Record = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
        return found

    group, policy = described(), policy_of(cloudformation, name)
    if policy is None or all(is_current(item, group) for item in group["Instances"]):
        return
    left: list[str] = []
    deadline = 0.0
    while now_left := unfinished(group, policy, joined()):
        if now_left != left:
            left, deadline = now_left, time.monotonic() + clock.seconds(LONGEST_STEP)
        if time.monotonic() > deadline:
            raise ValueError(
                f"The roll of {name} has stood still for {LONGEST_STEP / 60:.0f} minutes at {', '.join(left)}"
            )
        time.sleep(POLL_SECONDS)
        group = described()
