"""A machine of the fleet: what it offers, and when it joins, drains and goes. Decisions only."""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spotfleet.behaviour import placement
from spotfleet.behaviour.record import Record
from spotfleet.facts import instance_types

# The tag by which `spotfleet interrupt` gives a machine its notice; the value is when EC2 takes it.
NOTICE_TAG = "spotfleet:interruption"

# A machine without the agent's own setting drains for ECS's sake, in AWS's seconds after the notice. Managed draining
# hears of it by EventBridge, which AWS names no time for: an estimate (rule E14).
NOTICE_BY_EVENT_BRIDGE = 3

# In AWS's seconds: how long ECS drains a machine at most, and when a lifecycle hook is over that nobody ends.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
LONGEST_DRAINING = 48 * 3600
HOOK_HEARTBEAT = 3600

# In ms: what the ECS agent takes when it is told nothing, or nothing between the bounds.
# https://github.com/aws/amazon-ecs-agent/blob/master/README.md#environment-variables
CPU_PERIOD = 100

CPU_PERIODS = range(8, CPU_PERIOD + 1)

# How a machine's user data asks Auto Scaling to let it into service.
COMPLETED_HOOK = re.compile(r"CompleteLifecycleAction&\S*LifecycleHookName=([\w-]+)")

# How it signals CloudFormation.
SIGNAL = re.compile(r"\bcfn-signal\b[^\n]*")

USER_DATA_SETTING = re.compile(r"^\s*(ECS_[A-Z_]+)=(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """A machine of an Auto Scaling group, as EC2, the group and ECS describe it.

    `ecs` is the container instance's description, or None before it registered; `warmup` is its group's, in AWS's
    seconds; `boot` and `in_service` are how long after its launch its agent joins and its group has it in service, in
    the same; `notice` is when EC2 takes it and `ended` when it has ended, in seconds since 1970; `at_risk` tells if
    EC2 recommends to replace it, `rebalanced` whether its group does, and `succeeded` whether it launches, or has
    launched, a successor first; `refreshed` says the same of an instance refresh; `drained` tells whether its capacity
    provider has managed draining, `pending` whether it is not in service yet; `completes` names the lifecycle hook that
    it completes, `signals` the stack and the resource in it that it signals; `version` is that of its launch template.
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
    boot: float = 0
    in_service: float = 0
    notice: float | None = None
    ended: float | None = None
    at_risk: bool = False
    rebalanced: bool = False
    drained: bool = False
    succeeded: bool = False
    refreshed: bool = False
    pending: bool = False
    completes: str = ""
    signals: tuple[str, str] | None = None
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


def signalled_resource(user_data: str) -> tuple[str, str] | None:
    """Return the stack and the resource to which a machine's user data, in base64, sends cfn-signal, or None.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-signal.html
    """
    for line in SIGNAL.findall(base64.b64decode(user_data).decode(errors="replace")):
        found = [re.search(rf"--{option}[ =]['\"]?([\w:/-]+)", line) for option in ("stack", "resource")]
        if found[0] and found[1]:
            return found[0][1], found[1][1]
    return None


def launch_result(machine: Machine, hook: Record, age: float) -> str | None:
    """Return how a lifecycle hook on a machine's launch ends, or None while it holds; `age` is in AWS's seconds."""
    if machine.ecs is not None and machine.completes == hook["LifecycleHookName"]:
        return "CONTINUE"
    return str(hook["DefaultResult"]) if age >= hook["HeartbeatTimeout"] else None


def offered(instance_type: str, agent: Mapping[str, str]) -> tuple[int, int]:
    """Return the CPU units and the MiB of memory that a machine of a type offers to tasks."""
    return instance_types.cpu_units(instance_type), instance_types.memory_mib(instance_type) - _reserved(agent)


def _reserved(agent: Mapping[str, str]) -> int:
    return int(agent.get("ECS_RESERVED_MEMORY", "0"))


def cpu_period(agent: Mapping[str, str]) -> int:
    """Return the ms after which a machine's tasks get their share of its CPU anew."""
    period = re.fullmatch(r"(\d+)ms", agent.get("ECS_CGROUP_CPU_PERIOD", ""))
    return int(period[1]) if period and int(period[1]) in CPU_PERIODS else CPU_PERIOD


def has_booted(machine: Machine, age: float) -> bool:
    """Return whether a machine that is not registered yet has had its boot time; `age` is in AWS's seconds.

    No user data is run here, so an `extra_user_data` that takes its time makes no boot longer, as it does on AWS (rule
    G1).
    """
    alive = machine.running and not machine.leaving and machine.ecs is None
    return alive and age >= machine.boot


def is_warm(machine: Machine, age: float) -> bool:
    """Return whether a machine of that age, in AWS's seconds, counts in its group's metrics: its warm-up is over.

    The warm-up begins as it enters service, which with a lifecycle hook is when it has booted and joined (rule G2).
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html
    """
    entered = machine.boot if machine.completes else machine.in_service
    return not machine.pending and age >= entered + machine.warmup


def outlived(machines: Sequence[Machine], lifetime: float, now: float) -> Machine | None:
    """Return the machine of a group that its maximum lifetime ends next, or None; 0 is no such lifetime.

    They go one after the other: none while another leaves or is on its way (rule G11). `lifetime` and `now` are in the
    seconds of `launched`.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-max-instance-lifetime.html
    """
    if not lifetime or any(machine.leaving or machine.pending for machine in machines):
        return None
    due = [machine for machine in machines if machine.running and now - machine.launched >= lifetime]
    return min(due, key=lambda machine: machine.launched, default=None)


def must_drain(machine: Machine, since_notice: float, heeded: float) -> bool:
    """Return whether a machine must start to drain: it leaves its group, or ECS has heard of its Spot notice.

    The agent hears it `heeded` seconds after EC2 has given it, where its setting says so, and managed draining by
    EventBridge even without (rule E14); `since_notice` has passed, both in AWS's seconds.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
    """
    if machine.ecs is None or machine.draining or not machine.running:
        return False
    if machine.leaving:
        return True
    if machine.notice is None:
        return False
    if machine.agent.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true":
        return since_notice >= heeded
    return machine.drained and since_notice >= heeded + NOTICE_BY_EVENT_BRIDGE


def is_drained(machine: Machine) -> bool:
    """Return whether ECS can let a machine go that leaves its group: it drains it, and no task is left on it."""
    return machine.drained and machine.leaving and machine.empty


def held_on_leaving(*, drained: bool, left: bool, busy: bool) -> float:
    """Return for how long a leaving machine is held at most before it ends, in AWS's seconds.

    `drained` tells whether ECS drains the group's machines, `busy` whether this one has tasks, and `left` whether the
    capacity provider went and left its lifecycle hook. Nobody ends such a wait before the hook's heartbeat is due: that
    is what users report, AWS does not say it (rule C12).
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
    """
    if drained:
        return LONGEST_DRAINING if busy else 0
    return HOOK_HEARTBEAT if left else 0


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
    agent = machines[0].agent if machines else {}
    types = launched_types(_overrides(group), _present_types(machines))
    # No task can count on a machine that is never launched.
    sizes_of_types = [(*offered(name, agent), name) for name in types] or [(0, 0, "")]
    cpu, memory, name = min(sizes_of_types, key=lambda item: item[1])
    return placement.Machine("new", "", name, cpu, memory)


def largest(group: Record, machines: Sequence[Machine]) -> placement.Machine:
    """Return the largest machine that the group may launch, with which ECS counts machines for waiting tasks (rule C2).

    Of attributes (InstanceRequirements) it is the most that they allow.
    """
    agent = machines[0].agent if machines else {}
    overrides = _overrides(group)
    names = [item["InstanceType"] for item in overrides if "InstanceType" in item]
    required = [item["InstanceRequirements"] for item in overrides if "InstanceRequirements" in item]
    found = [(*offered(name, agent), name) for name in names or ([] if required else _present_types(machines))]
    found += [(*_most(requirements, agent), "") for requirements in required]
    cpu, memory, name = max(found, key=lambda item: (item[1], item[0]))
    return placement.Machine("new", "", name, cpu, memory)


def _overrides(group: Record) -> list[Record]:
    found: list[Record] = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    return found


def _present_types(machines: Sequence[Machine]) -> list[str]:
    return [machine.type for machine in machines] or ["t3.micro"]


def _most(requirements: Record, agent: Mapping[str, str]) -> tuple[int, int]:
    """Return CPU units and MiB of the largest machine with these attributes; without a bound, of the smallest."""
    vcpus, memory = requirements["VCpuCount"], requirements["MemoryMiB"]
    most = instance_types.after_kernel(memory.get("Max", memory["Min"]))
    return vcpus.get("Max", vcpus["Min"]) * instance_types.CPU_UNITS_PER_VCPU, most - _reserved(agent)
