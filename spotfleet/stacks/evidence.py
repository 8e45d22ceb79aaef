"""What AWS tells of an environment that is worth knowing when something went wrong; gather.py reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from spotfleet.stacks.stack_state import ABSENT, HEALTHY, OPERATION_STARTS, REVIEW

# After a rolled-back update a stack runs what it ran before, but the update has failed.
ROLLED_BACK = "UPDATE_ROLLBACK_COMPLETE"
STACK_TYPE = "AWS::CloudFormation::Stack"
SERVICE_TYPE = "AWS::ECS::Service"
GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class StackEvent:
    """An event of CloudFormation's about one resource."""

    time: datetime
    resource: str
    type: str
    status: str
    reason: str = ""
    physical_id: str = ""

    @property
    def starts_operation(self) -> bool:
        """Whether it is the first one of an operation on the stack."""
        return self.type == STACK_TYPE and self.status in OPERATION_STARTS


@dataclass(frozen=True)
class StackFacts:
    """A stack: `name` as Sceptre has it, such as dev/vpc, and the events of its last operation, the oldest first."""

    name: str
    external_name: str
    status: str
    events: Sequence[StackEvent] = ()
    way_out: str = ""

    @property
    def layer(self) -> str:
        """The name of its file."""
        return self.name.rpartition("/")[2]

    @property
    def since(self) -> datetime | None:
        """When its last operation began."""
        return self.events[0].time if self.events else None

    @property
    def is_under_way(self) -> bool:
        """Whether CloudFormation works on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    @property
    def has_failed(self) -> bool:
        """Whether its last operation came to nothing, or is being taken back."""
        if self.is_under_way:
            return "ROLLBACK" in self.status or self.first_failure is not None
        return self.status not in {*HEALTHY, ABSENT, REVIEW}

    @property
    def first_failure(self) -> StackEvent | None:
        """The first failure of a resource that nothing else has cancelled."""
        failures = (one for one in self.events if one.status.endswith("_FAILED") and one.type != STACK_TYPE)
        return next((one for one in failures if "cancelled" not in one.reason), None)

    @property
    def own_reason(self) -> StackEvent | None:
        """The first thing that CloudFormation says about the stack itself, apart from who wanted the operation."""
        own = (one for one in self.events if one.type == STACK_TYPE and not one.starts_operation)
        return next((one for one in own if one.reason), None)

    def unfinished(self, kind: str) -> bool:
        """Return whether a resource of a type was begun, and did not come to its end before the operation failed."""
        states = [one.status for one in self.events if one.type == kind]
        return bool(states) and not any(one in {"CREATE_COMPLETE", "UPDATE_COMPLETE"} for one in states)


@dataclass(frozen=True)
class Container:
    """A container of a stopped task; `exit_code` is None for one that never ran."""

    name: str
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class StoppedTask:
    """A task that has ended; `log` has its containers' last lines, None where no log can be read."""

    id: str
    time: datetime
    stop_code: str
    reason: str
    containers: Sequence[Container] = ()
    log: Sequence[str] | None = None


@dataclass(frozen=True)
class Target:
    """What the load balancer says of a task: its state, and for one that is not healthy its reason."""

    state: str
    code: str = ""
    description: str = ""


@dataclass(frozen=True)
class Told:
    """Something that a service, a deployment or a group tells, and when."""

    time: datetime
    text: str


@dataclass(frozen=True)
class Definition:
    """What a service's tasks are given: MiB, CPU units, of the health check port and path, and where they log."""

    image: str = ""
    memory_mib: int = 0
    cpu_units: int = 0
    port: int = 0
    architecture: str = ""
    health_check_path: str = ""
    log_group: str = ""


@dataclass(frozen=True)
class ServiceFacts:
    """A service, with what happened to it since its stack's last operation began; the oldest first.

    `deployments` are those that are not completed, each with what ECS says of it.
    """

    stack: str
    name: str
    desired: int = 0
    running: int = 0
    pending: int = 0
    deployments: Sequence[Told] = ()
    events: Sequence[Told] = ()
    stopped: Sequence[StoppedTask] = ()
    targets: Sequence[Target] = ()
    definition: Definition = Definition()

    @property
    def layer(self) -> str:
        """The name of its file."""
        return self.stack.rpartition("/")[2]


@dataclass(frozen=True)
class Activity:
    """Something that an Auto Scaling group did, or failed to do."""

    time: datetime
    status: str
    description: str
    message: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether nothing came of it."""
        return self.status in {"Failed", "Cancelled"}


@dataclass(frozen=True)
class GroupFacts:
    """An Auto Scaling group: machines wanted, in service and at most; activities and refreshes, the oldest first."""

    stack: str
    name: str
    desired: int = 0
    in_service: int = 0
    most: int = 0
    types: Sequence[str] = ()
    activities: Sequence[Activity] = ()
    refreshes: Sequence[Activity] = ()


@dataclass(frozen=True)
class Certificate:
    """A certificate of ACM's; `record` is the DNS record that validates it, `failure` why ACM has refused it."""

    domain: str
    status: str
    failure: str = ""
    record: str = ""


@dataclass(frozen=True)
class Machine:
    """A machine that has joined the cluster: what it has for tasks, and whether its agent talks to ECS."""

    id: str
    cpu_units: int
    memory_mib: int
    is_connected: bool = True


@dataclass(frozen=True)
class Evidence:
    """All that was read of an environment, and which calls AWS has refused (`unread`, as ecs:DescribeTasks).

    `aws_options` are those with which the command aws asks for the same account and region, each after a space.
    """

    environment: str
    stacks: Sequence[StackFacts] = ()
    services: Sequence[ServiceFacts] = ()
    groups: Sequence[GroupFacts] = ()
    certificates: Sequence[Certificate] = ()
    machines: Sequence[Machine] = ()
    unread: Sequence[str] = ()
    is_embedded: bool = False
    aws_options: str = ""

    @property
    def settings(self) -> str:
        """The file that the environment's settings are in."""
        return f"config/{self.environment}/config.yaml"
