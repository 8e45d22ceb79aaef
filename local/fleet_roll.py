"""A new launch template version rolls the machines of a group, as the template's AutoScalingRollingUpdate says.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

import re
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from local import aws, clock
from local.aws import pages

GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"
DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")
REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)\}")
POLL_SECONDS = 0.5
# How long an update of the group waits for its next machine at most, in AWS's seconds.
LONGEST_STEP = 3600

Record = Mapping[str, Any]


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
    """A machine of a group: when it was launched, and whether the group would launch it the same way today.

    `joined` tells whether its ECS agent has joined the cluster, which is when the machine signals.
    """

    id: str
    launched: float
    current: bool
    joined: bool = False


@dataclass(frozen=True)
class Step:
    """What a roll does next: replace these machines, or run so many for the time being."""

    replace: tuple[str, ...] = ()
    capacity: int | None = None


def next_step(members: Sequence[Member], policy: Policy, desired: int, most: int, now: float) -> Step:
    """Return what a roll does next; nothing while new machines are not ready or when all are current.

    Machines above the minimum in service are replaced, a batch at a time; where there is none, the group grows first.
    """
    outdated = sorted((item for item in members if not item.current), key=lambda item: item.launched)
    starting = [item for item in members if item.current and not _is_ready(item, policy, now)]
    if not outdated or starting or len(members) < desired:
        return Step()
    spare = len(members) - policy.keep
    if spare <= 0 and desired < most:
        return Step(capacity=min(desired + policy.batch, most))
    # A group that may not grow loses a machine for a while.
    return Step(replace=tuple(item.id for item in outdated[: max(1, min(policy.batch, spare))]))


def _is_ready(member: Member, policy: Policy, now: float) -> bool:
    """Tell whether the roll may go on after the launch of a machine."""
    return member.joined if policy.signals else now - member.launched >= clock.seconds(policy.pause)


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
        signals=values.get("WaitOnResourceSignals", "false").lower() == "true",
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


def step(region: str, group: Record, launched: Mapping[str, float], joined: Container[str]) -> None:
    """Take the roll of a group one step further.

    `launched` tells when each of its instances was launched, `joined` which ones are in a cluster.
    """
    members = [
        Member(item["InstanceId"], launched[item["InstanceId"]], is_current(item, group), item["InstanceId"] in joined)
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


def unfinished(group: Record, policy: Policy, joined: Container[str]) -> list[str]:
    """Return the instances that a roll still has to replace, and with signals the new ones that have sent none."""
    return [
        item["InstanceId"]
        for item in group["Instances"]
        if not is_current(item, group) or (policy.signals and item["InstanceId"] not in joined)
    ]


def wait(autoscaling: aws.Client, cloudformation: aws.Client, name: str, joined: Callable[[], Container[str]]) -> None:
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
