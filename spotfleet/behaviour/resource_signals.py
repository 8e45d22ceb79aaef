"""Whether the signals of a group's machines suffice, or can no more: decisions only (rules F5 and F6).

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-creationpolicy.html
The reasons are those of public stack events: AWS's guide has none.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.template_text import value_in

ALL = 100.0  # percent
# In AWS's seconds: what a policy has that does not say, for a creation and for each batch of a rolling update.
DEFAULT_TIMEOUT = "PT5M"
DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")


@dataclass(frozen=True)
class CreationPolicy:
    """How many signals a new group waits for, and for how long at most, in AWS's seconds from its creation on."""

    count: int = 1
    timeout: float = 300
    successful_percent: float = ALL


def creation_policy_in(template: Record, logical_id: str, parameters: Mapping[str, str]) -> CreationPolicy | None:
    """Return the creation policy in a template, with the stack's parameters put in, or None where it waits for none.

    Raises ValueError for a time that is none.
    """
    policy = template["Resources"].get(logical_id, {}).get("CreationPolicy") or {}
    signal = policy.get("ResourceSignal")
    if signal is None:
        return None
    percent = (policy.get("AutoScalingCreationPolicy") or {}).get("MinSuccessfulInstancesPercent", ALL)
    return CreationPolicy(
        int(value_in(signal.get("Count", 1), parameters)),
        duration(value_in(signal.get("Timeout", DEFAULT_TIMEOUT), parameters)),
        float(value_in(percent, parameters)),
    )


def is_created(policy: CreationPolicy, signals: Mapping[str, bool], waited: float) -> bool:
    """Return whether a new group has its signals, after so many of AWS's seconds.

    `signals` tells of each machine that has signalled whether that was SUCCESS. One that has not in time is counted as
    FAILURE. Raises ValueError with CloudFormation's reason when too few succeed.
    """
    succeeded = sum(signals.values())
    failed = len(signals) - succeeded
    if waited >= policy.timeout and succeeded + failed < policy.count:
        if succeeded < needed(policy.count, policy.successful_percent):
            raise ValueError(unsatisfied(f"{succeeded} SUCCESS", policy.count, policy.successful_percent))
        return True
    if reason := refusal(policy.count, failed, policy.successful_percent):
        raise ValueError(reason)
    return succeeded + failed >= policy.count


def refusal(total: int, failed: int, successful_percent: float) -> str:
    """Return CloudFormation's reason when so many of the signals have failed that the others no longer suffice."""
    if total - failed >= needed(total, successful_percent):
        return ""
    return unsatisfied(f"{failed} FAILURE", total, successful_percent)


def needed(total: int, successful_percent: float) -> int:
    """Return how many must succeed: of five with 50 percent three."""
    return math.ceil(round(total * successful_percent / ALL, 3))


def unsatisfied(signals: str, total: int, successful_percent: float) -> str:
    """Return CloudFormation's reason for the end of a creation or an update."""
    requirement = f"{successful_percent:g}% MinSuccessfulInstancesPercent requirement"
    return f"Received {signals} signal(s) out of {total}. Unable to satisfy {requirement}"


def duration(text: str) -> float:
    """Return the seconds of a time such as PT5M. Raises ValueError when it is none."""
    match = DURATION.match(text)
    if not match:
        raise ValueError(f"{text!r} is no duration such as PT5M")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
