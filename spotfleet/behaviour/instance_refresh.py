"""How an instance refresh replaces the machines of a group: decisions only.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
Where AWS's words leave room, this takes the slower way: the next machine is not replaced before the last one is gone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.template_text import texts, value_in

# The tag by which an Auto Scaling group here knows how far the replacement of a machine is.
REFRESH_TAG = "spotfleet:refresh"
OUTDATED = "outdated"
SUCCEEDED = "succeeded"

# A change of one of these, and of nothing else, makes CloudFormation start a refresh.
TRIGGERS = (
    *("LaunchTemplate", "MixedInstancesPolicy", "VPCZoneIdentifier", "AvailabilityZones", "AvailabilityZoneIds"),
    "PlacementGroup",
)
ALL = 100  # percent
# How long a refresh tries to go on before it fails, in seconds.
PATIENCE = 3600

POLICY = "AutoScalingInstanceRefresh"
KNOWN = {
    *("MinHealthyPercentage", "MaxHealthyPercentage", "InstanceWarmup", "SkipMatching", "BakeTime"),
    *("AlarmSpecification", "ScaleInProtectedInstances", "StandbyInstances"),
}


@dataclass(frozen=True)
class Preferences:
    """The numbers of AutoScalingInstanceRefresh; `warmup` and `bake` in AWS's seconds."""

    least: int = 100
    most: int = 110
    warmup: float = 0
    skip_matching: bool = True
    bake: float = 0
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """A machine of a group that is refreshed.

    `outdated` ones are to be replaced, and `succeeded` tells whether a successor was launched for it. `in_service` is
    how long it has been in service, in AWS's seconds, or None before it is.
    """

    id: str
    in_service: float | None
    outdated: bool = False
    succeeded: bool = False
    leaving: bool = False


@dataclass(frozen=True)
class Step:
    """What a refresh does next: launch a successor for each of these machines, then end these."""

    succeed: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a refresh ended, in the words of DescribeInstanceRefreshes."""

    status: str
    reason: str


def next_step(members: Sequence[Member], preferences: Preferences, desired: int) -> Step:
    """Return what a refresh does next.

    At 100 % minimum a machine ends when its successor is in service and warm; at 100 % maximum as well, that is one
    machine after the other. The percentages are of the desired capacity; nothing is said of the maximum size.
    """
    present = [item for item in members if not item.leaving]
    serving = [item for item in present if is_ready(item, preferences)]
    keep = math.ceil(desired * preferences.least / 100)
    # Of those that already have a successor, one for each that is there beyond what must be.
    spare = max(0, len(serving) - keep)
    ending = [item.id for item in present if item.succeeded][:spare]
    if any(item.leaving and item.outdated for item in members):
        return Step(end=tuple(ending))
    most = max(math.floor(desired * preferences.most / 100), desired + (preferences.least == ALL))
    waiting = [item.id for item in present if item.outdated and not item.succeeded]
    count = max(most - len(present), spare - len(ending) if preferences.least < ALL else 0)
    return Step(succeed=tuple(waiting[: max(0, count)]), end=tuple(ending))


def is_ready(member: Member, preferences: Preferences) -> bool:
    """Return whether a machine counts: an old one is warm, a new one is after its warm-up in service."""
    return member.in_service is not None and (member.outdated or member.in_service >= preferences.warmup)


def outcome(
    members: Sequence[Member], preferences: Preferences, ringing: Sequence[str], quiet: float
) -> Outcome | None:
    """Return how a refresh has ended, or None while it goes on.

    `ringing` are those of its alarms in the state ALARM; `quiet` is for how long no machine has entered service or
    begun to leave, in AWS's seconds.
    """
    if ringing:
        return Outcome("Failed", f"The instance refresh failed as these alarms are in ALARM: {', '.join(ringing)}")
    if not any(item.outdated for item in members):
        new = [item.in_service for item in members if not item.leaving]
        if all(age is not None and age >= preferences.warmup + preferences.bake for age in new):
            return Outcome("Successful", "")
    if quiet >= PATIENCE and not any(item.leaving for item in members):
        stuck = [item.id for item in members if item.in_service is None]
        return Outcome(
            "Failed",
            f"The instance refresh failed: for {PATIENCE // 60} minutes no instance has entered service"
            + (f"; still pending: {', '.join(stuck)}" if stuck else ""),
        )
    return None


def is_triggered(before: Record, after: Record) -> bool:
    """Return whether an update of a group's properties makes CloudFormation refresh its instances."""
    return any(before.get(name) != after.get(name) for name in TRIGGERS)


def preferences_in(template: Record, logical_id: str, parameters: Mapping[str, str]) -> Preferences | None:
    """Return the preferences that a template gives a group's refresh, with AWS's defaults, or None without the policy.

    Raises ValueError for what is not simulated.
    """
    resource = template["Resources"].get(logical_id, {})
    policy = resource.get("UpdatePolicy", {}).get(POLICY)
    if policy is None:
        return None
    own = policy.get("Preferences", {})
    unknown = [] if policy.get("Strategy") == "Rolling" else [f"the strategy {policy.get('Strategy')}"]
    unknown += sorted(own.keys() - KNOWN)
    if unknown:
        raise ValueError(f"The embedded AWS does not simulate an instance refresh with {', '.join(unknown)}")
    group = resource.get("Properties", {})
    maintenance = group.get("InstanceMaintenancePolicy", {})

    def found(name: str, *otherwise: Any) -> str:  # noqa: ANN401  # what a template can hold
        given = [own.get(name), *otherwise]
        return value_in(next(item for item in given if item is not None), parameters)

    alarms = own.get("AlarmSpecification") or {}
    return Preferences(
        least=int(found("MinHealthyPercentage", maintenance.get("MinHealthyPercentage"), 100)),
        most=int(found("MaxHealthyPercentage", maintenance.get("MaxHealthyPercentage"), 110)),
        warmup=float(
            found("InstanceWarmup", group.get("DefaultInstanceWarmup"), group.get("HealthCheckGracePeriod"), 0)
        ),
        skip_matching=found("SkipMatching", True).lower() == "true",
        bake=float(found("BakeTime", 0)),
        alarms=texts(alarms.get("Alarms", []), parameters),
    )
