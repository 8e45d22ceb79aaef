"""A machine of the fleet: what it offers, and when it joins, drains and goes. Decisions only."""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spotfleet.behaviour import placement
from spotfleet.behaviour.record import Record
from spotfleet.facts import instance_types

# From launch until the agent registers. On AWS it takes half a minute and more: a rehearsal need not wait as long.
BOOT_SECONDS = 10

# The tag by which `spotfleet interrupt` gives a machine its notice; the value is when EC2 takes it.
NOTICE_TAG = "spotfleet:interruption"

# In ms: what the ECS agent takes when it is told nothing, or nothing between the bounds.
# https://github.com/aws/amazon-ecs-agent/blob/master/README.md#environment-variables
CPU_PERIOD = 100

CPU_PERIODS = range(8, CPU_PERIOD + 1)

# How a machine's user data asks Auto Scaling to let it into service.
COMPLETED_HOOK = re.compile(r"CompleteLifecycleAction&\S*LifecycleHookName=([\w-]+)")

USER_DATA_SETTING = re.compile(r"^\s*(ECS_[A-Z_]+)=(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """A machine of an Auto Scaling group, as EC2, the group and ECS describe it.

    `ecs` is the container instance's description, or None before it registered; `warmup` is its group's, in AWS's
    seconds; `notice` is when EC2 takes it and `ended` when it has ended, in seconds since 1970; `at_risk` tells whether
    EC2 recommends to replace it, `rebalanced` whether its group does, and `succeeded` whether it launches, or has
    launched, a successor first; `refreshed` says the same of an instance refresh; `pending` tells whether a lifecycle
    hook holds it, `completes` names the one that it completes; `version` is that of its launch template.
    """

    id: str
    group: str
    type: str
    zone: str
    spot: bool
    running: bool
    leaving: bool
    launched: float
    agent: Mapping[str, str] = field(default_factory=dict)
    ecs: Record | None = None
    warmup: float = 0
    notice: float | None = None
    ended: float | None = None
    at_risk: bool = False
    rebalanced: bool = False
    succeeded: bool = False
    refreshed: bool = False
    pending: bool = False
    completes: str = ""
    version: int = 0

    @property
    def empty(self) -> bool:
        """Whether no task is on it."""
        return self.ecs is None or self.ecs["runningTasksCount"] + self.ecs["pendingTasksCount"] == 0

    @property
    def draining(self) -> bool:
        """Whether ECS moves its tasks elsewhere."""
        return self.ecs is not None and self.ecs["status"] == "DRAINING"


def agent_settings(user_data: str) -> dict[str, str]:
    """Return the ECS agent's settings (ECS_CLUSTER and others) that a machine's user data, in base64, writes."""
    return dict(USER_DATA_SETTING.findall(base64.b64decode(user_data).decode(errors="replace")))


def completed_hook(user_data: str) -> str:
    """Return the lifecycle hook that a machine's user data, in base64, completes when the agent has joined, or ""."""
    found = COMPLETED_HOOK.search(base64.b64decode(user_data).decode(errors="replace"))
    return found[1] if found else ""


def launch_result(machine: Machine, hook: Record, age: float) -> str | None:
    """Return how a lifecycle hook on a machine's launch ends, or None while it holds; `age` is in AWS's seconds."""
    if machine.ecs is not None and machine.completes == hook["LifecycleHookName"]:
        return "CONTINUE"
    return str(hook["DefaultResult"]) if age >= hook["HeartbeatTimeout"] else None


def offered(instance_type: str, agent: Mapping[str, str]) -> tuple[int, int]:
    """Return the CPU units and the MiB of memory that a machine of a type offers to tasks."""
    memory = instance_types.memory_mib(instance_type) - int(agent.get("ECS_RESERVED_MEMORY", "0"))
    return instance_types.cpu_units(instance_type), memory


def cpu_period(agent: Mapping[str, str]) -> int:
    """Return the ms after which a machine's tasks get their share of its CPU anew."""
    period = re.fullmatch(r"(\d+)ms", agent.get("ECS_CGROUP_CPU_PERIOD", ""))
    return int(period[1]) if period and int(period[1]) in CPU_PERIODS else CPU_PERIOD


def has_booted(machine: Machine, age: float) -> bool:
    """Return whether a machine that is not registered yet has had its boot time; `age` is in AWS's seconds."""
    alive = machine.running and not machine.leaving and machine.ecs is None
    return alive and age >= BOOT_SECONDS


def is_warm(machine: Machine, age: float) -> bool:
    """Return whether a machine of that age, in AWS's seconds, counts in its group's metrics: its warm-up is over.

    The warm-up begins as it enters service, which with a lifecycle hook is when it has booted and joined.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html
    """
    entered = BOOT_SECONDS if machine.completes else 0
    return not machine.pending and age >= entered + machine.warmup


def must_drain(machine: Machine) -> bool:
    """Return whether a machine must start to drain: it leaves its group, or its agent saw a Spot notice."""
    if machine.ecs is None or machine.draining or not machine.running:
        return False
    heeds_notice = machine.agent.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true"
    return machine.leaving or (machine.notice is not None and heeds_notice)


def is_drained(machine: Machine) -> bool:
    """Return whether a machine that leaves its group has no task left to wait for."""
    return machine.leaving and machine.empty


def is_due(machine: Machine, now: float) -> bool:
    """Return whether a Spot machine's notice has run out."""
    return machine.running and machine.notice is not None and now >= machine.notice


def room(machine: Machine) -> placement.Machine:
    """Return what a machine has left for tasks; one still booting will have all that its type offers."""
    if machine.ecs is None:
        cpu, memory = offered(machine.type, machine.agent)
        return placement.Machine(machine.id, machine.zone, machine.type, cpu, memory)
    cpu, memory = sizes(machine.ecs["remainingResources"])
    count = machine.ecs["runningTasksCount"] + machine.ecs["pendingTasksCount"]
    # What the tasks took is out of the room already.
    tasks = (placement.Need(),) * count
    return placement.Machine(machine.id, machine.zone, machine.type, cpu, memory, tasks)


def sizes(resources: Iterable[Record]) -> tuple[int, int]:
    """Return the CPU units and the MiB of memory in a container instance's registered or remaining resources."""
    found = {item["name"]: int(item.get("integerValue", 0)) for item in resources}
    return found["CPU"], found["MEMORY"]


def launched_types(overrides: Sequence[Record], otherwise: Sequence[str]) -> list[str]:
    """Return the types that a group's launch template overrides name, or `otherwise` where there are none.

    Of attributes (InstanceRequirements) it is the smallest known type that has them; none where no type has.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/create-mixed-instances-group-attribute-based-instance-type-selection.html
    """
    required = [item["InstanceRequirements"] for item in overrides if "InstanceRequirements" in item]
    named = [item["InstanceType"] for item in overrides if "InstanceType" in item]
    if not required:
        return named or list(otherwise)
    found = [_smallest_with(requirements) for requirements in required]
    return [*named, *(name for name in found if name)]


def _smallest_with(requirements: Record) -> str | None:
    makers = requirements.get("CpuManufacturers") or instance_types.CURRENT_FAMILIES
    return instance_types.smallest(makers, _range(requirements["VCpuCount"]), _range(requirements["MemoryMiB"]))


def _range(bounds: Record) -> tuple[float, float]:
    return float(bounds.get("Min", 0)), float(bounds.get("Max", math.inf))


def smallest(group: Record, machines: Sequence[Machine]) -> placement.Machine:
    """Return the smallest machine that the group may launch, which a new task can count on."""
    overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    types = launched_types(overrides, [machine.type for machine in machines] or ["t3.micro"])
    if not types:
        # No task can count on a machine that is never launched.
        return placement.Machine("new", "", "", 0, 0)
    agent = machines[0].agent if machines else {}
    smallest = min(types, key=lambda item: offered(item, agent)[1])
    cpu, memory = offered(smallest, agent)
    return placement.Machine("new", "", smallest, cpu, memory)
