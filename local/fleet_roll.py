"""A new launch template version rolls the machines of a group, as the template's AutoScalingRollingUpdate says.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from local import aws, clock
from local.aws import pages

GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"
DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")
REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)\}")
POLL_SECONDS = 0.5
# What CloudFormation waits for an update of the group at most, in AWS's seconds.
LONGEST_ROLL = 3600

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """The numbers of AutoScalingRollingUpdate; `pause` in AWS's seconds."""

    keep: int
    batch: int
    pause: float


@dataclass(frozen=True)
class Member:
    """A machine of a group: when it was launched, and whether the group would launch it the same way today."""

    id: str
    launched: float
    current: bool


@dataclass(frozen=True)
class Step:
    """What a roll does next: replace these machines, or run so many for the time being."""

    replace: tuple[str, ...] = ()
    capacity: int | None = None


def next_step(members: Sequence[Member], policy: Policy, desired: int, most: int, now: float) -> Step:
    """Return what a roll does next; nothing while new machines are warming up or when all are current.

    Machines above the minimum in service are replaced, a batch at a time; where there is none, the group grows first.
    """
    outdated = sorted((item for item in members if not item.current), key=lambda item: item.launched)
    warming = [item for item in members if item.current and now - item.launched < clock.seconds(policy.pause)]
    if not outdated or warming or len(members) < desired:
        return Step()
    spare = len(members) - policy.keep
    if spare <= 0 and desired < most:
        return Step(capacity=min(desired + policy.batch, most))
    # A group that may not grow loses a machine for a while.
    return Step(replace=tuple(item.id for item in outdated[: max(1, min(policy.batch, spare))]))


def is_current(instance: Record, group: Record) -> bool:
    """Tell whether a group's instance was launched from what the group launches now."""
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


def policy_of(cloudformation: aws.Client, group: str) -> Policy | None:
    """Return the rolling update policy that the template of a group's stack gives it, or None."""
    for stack in pages(cloudformation, "describe_stacks", "Stacks"):
        if stack["StackStatus"].startswith("DELETE"):
            continue
        name = stack["StackName"]
        for item in cloudformation.describe_stack_resources(StackName=name)["StackResources"]:
            if item["ResourceType"] == GROUP_TYPE and item.get("PhysicalResourceId") == group:
                body = cloudformation.get_template(StackName=name)["TemplateBody"]
                return policy_in(body, item["LogicalResourceId"], _parameters(stack.get("Parameters", [])))
    return None


def _parameters(given: Iterable[Record]) -> dict[str, str]:
    return {item["ParameterKey"]: item.get("ResolvedValue") or item["ParameterValue"] for item in given}


def policy_in(body: str | Record, logical_id: str, parameters: Mapping[str, str]) -> Policy | None:
    """Return the rolling update policy in a template's text, with the stack's parameters put in."""
    template = yaml.load(body, Loader=_TemplateLoader) if isinstance(body, str) else body  # noqa: S506  # a SafeLoader
    settings = template["Resources"].get(logical_id, {}).get("UpdatePolicy", {}).get("AutoScalingRollingUpdate")
    if settings is None:
        return None
    values = {name: _value(value, parameters) for name, value in settings.items()}
    return Policy(
        keep=int(values.get("MinInstancesInService", 0)),
        batch=int(values.get("MaxBatchSize", 1)),
        pause=_duration(values.get("PauseTime", "PT0S")),
    )


def _value(value: Any, parameters: Mapping[str, str]) -> str:  # noqa: ANN401  # what a template can hold
    if isinstance(value, Mapping):
        if "Ref" in value:
            return parameters.get(value["Ref"], "0")
        if "Fn::Sub" in value:
            return REFERENCE.sub(lambda match: parameters.get(match[1], ""), str(value["Fn::Sub"]))
    return str(value)


def _duration(text: str) -> float:
    match = DURATION.match(text)
    if not match:
        raise ValueError(f"{text!r} is no duration such as PT5M")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


class _TemplateLoader(yaml.SafeLoader):
    """Reads !Ref and !Sub as Ref and Fn::Sub, and leaves out what the other functions would give."""


def _scalar(name: str) -> Any:  # noqa: ANN401  # PyYAML does not publish the type of a constructor
    """Return a constructor that reads a tag with a text after it as the function of that name."""
    return lambda _loader, node: {name: node.value if isinstance(node, yaml.ScalarNode) else ""}


_TemplateLoader.add_constructor("!Ref", _scalar("Ref"))
_TemplateLoader.add_constructor("!Sub", _scalar("Fn::Sub"))
_TemplateLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def step(region: str, group: Record, launched: Mapping[str, float]) -> None:
    """Take the roll of a group one step further; `launched` tells when each of its instances was launched."""
    members = [
        Member(item["InstanceId"], launched[item["InstanceId"]], is_current(item, group))
        for item in group["Instances"]
        if not item["LifecycleState"].startswith("Terminating") and item["InstanceId"] in launched
    ]
    if all(member.current for member in members):
        return
    name = group["AutoScalingGroupName"]
    policy = policy_of(aws.client("cloudformation", region), name)
    if policy is None:
        return
    autoscaling = aws.client("autoscaling", region)
    todo = next_step(members, policy, group["DesiredCapacity"], group["MaxSize"], time.time())
    if todo.capacity is not None:
        autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=todo.capacity)
    for instance in todo.replace:
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)


def wait(autoscaling: aws.Client, cloudformation: aws.Client, name: str) -> None:
    """Wait, as CloudFormation does, until no machine of a group is outdated; at once where no policy rolls them.

    Raises ValueError when that takes too long.
    """
    if policy_of(cloudformation, name) is None:
        return
    deadline = time.monotonic() + clock.seconds(LONGEST_ROLL)
    while True:
        group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
        if all(is_current(item, group) for item in group["Instances"]):
            return
        if time.monotonic() > deadline:
            raise ValueError(f"The machines of {name} were not replaced in {LONGEST_ROLL / 60:.0f} minutes")
        time.sleep(POLL_SECONDS)
