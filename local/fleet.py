"""The machines: they boot and join the cluster, drain before they go, and their number follows the tasks.

Plays the parts of the ECS agent (registration, draining on a Spot notice), of EC2 Auto Scaling (replacing what died)
and of ECS's managed scaling and draining, in one loop over what the public APIs say. Nothing is remembered between
steps but the last minute whose metric was published and the failures that were told, so that it can be restarted at
any time.
"""

import base64
import json
import logging
import math
import re
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from hooks import instance_types
from local import aws, clock, controllers, fleet_roll, metrics_store, placement
from local.aws import pages

logger = logging.getLogger("spotfleet.fleet")

# From launch until the agent registers. On AWS it takes half a minute and more: a rehearsal need not wait as long.
BOOT_SECONDS = 10
# Minutes of CapacityProviderReservation below the target before machines go.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
SCALE_IN_MINUTES = 15
RESERVATION = "CapacityProviderReservation"
RESERVATION_NAMESPACE = "AWS/ECS/ManagedScaling"
# The tag by which `python -m local interrupt` gives a machine its notice; the value is when EC2 takes it.
NOTICE_TAG = "spotfleet:interruption"
# Tasks, container instances and services that ECS describes in one call.
DESCRIBED = {"tasks": 100, "containerInstances": 100, "services": 10}
# In ms: what the ECS agent takes when it is told nothing, or nothing between the bounds.
# https://github.com/aws/amazon-ecs-agent/blob/master/README.md#environment-variables
CPU_PERIOD = 100
CPU_PERIODS = range(8, CPU_PERIOD + 1)
USER_DATA_SETTING = re.compile(r"^\s*(ECS_[A-Z_]+)=(.*?)\s*$", re.MULTILINE)

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Machine:
    """A machine of an Auto Scaling group, as EC2, the group and ECS describe it.

    `ecs` is the container instance's description, or None before it registered; `warmup` is its group's, in AWS's
    seconds; `notice` is when EC2 takes it, in seconds since 1970; `rebalanced` tells whether its group replaces it then
    already.
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
    rebalanced: bool = False

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


def offered(instance_type: str, agent: Mapping[str, str]) -> tuple[int, int]:
    """Return the CPU units and the MiB of memory that a machine of a type offers to tasks."""
    memory = instance_types.memory_mib(instance_type) - int(agent.get("ECS_RESERVED_MEMORY", "0"))
    return instance_types.cpu_units(instance_type), memory


def cpu_period(agent: Mapping[str, str]) -> int:
    """Return the ms after which a machine's tasks get their share of its CPU anew."""
    period = re.fullmatch(r"(\d+)ms", agent.get("ECS_CGROUP_CPU_PERIOD", ""))
    return int(period[1]) if period and int(period[1]) in CPU_PERIODS else CPU_PERIOD


def has_booted(machine: Machine, now: float) -> bool:
    """Tell whether a machine that is not registered yet has had its boot time."""
    alive = machine.running and not machine.leaving and machine.ecs is None
    return alive and now - machine.launched >= clock.seconds(BOOT_SECONDS)


def is_warm(machine: Machine, minute: int) -> bool:
    """Tell whether a machine counts in its group's metrics of an AWS minute: its warm-up was over when that ended.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html
    """
    return metrics_store.end(minute) - machine.launched >= clock.seconds(machine.warmup)


def must_be_replaced(machine: Machine) -> bool:
    """Tell whether the group must replace a machine: it runs no more, or has its notice and the group rebalances.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-capacity-rebalancing.html
    """
    noticed = machine.rebalanced and machine.notice is not None
    return not machine.leaving and (noticed or not machine.running)


def must_drain(machine: Machine) -> bool:
    """Tell whether a machine must start to drain: it leaves its group, or its agent saw a Spot notice."""
    if machine.ecs is None or machine.draining:
        return False
    heeds_notice = machine.agent.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true"
    return machine.leaving or (machine.notice is not None and heeds_notice)


def is_drained(machine: Machine) -> bool:
    """Tell whether a machine that leaves its group has no task left to wait for."""
    return machine.leaving and machine.empty


def is_due(machine: Machine, now: float) -> bool:
    """Tell whether a Spot machine's notice has run out."""
    return machine.running and machine.notice is not None and now >= machine.notice


def stoppable(service: Record, draining: int, healthy: int, starting: int) -> int:
    """Return how many of a service's draining tasks may stop now.

    `healthy` tasks serve elsewhere and `starting` ones will. Replacements come first where the maximum percent has room
    for them; otherwise draining tasks make room, as far as the minimum healthy percent lets them.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
    """
    desired = int(service["desiredCount"])
    if service["status"] != "ACTIVE":
        return draining
    configuration = service.get("deploymentConfiguration", {})
    most = max(1, desired * int(configuration.get("maximumPercent", 200)) // 100)
    least = -(-desired * int(configuration.get("minimumHealthyPercent", 100)) // 100)
    room_to_start = draining + healthy + starting < most and healthy + starting < desired
    needed = desired if room_to_start or healthy + starting >= desired else least
    return max(0, min(draining, healthy + draining - needed))


def wanted_machines(provider: Record, group: Record, needed: int, reservations: Sequence[float | None]) -> int:
    """Return the number of machines that managed scaling wants; `reservations` are the last minutes' metric.

    More after one minute above the target capacity, fewer after fifteen below it; steps, minimum and maximum as set.
    """
    scaling = provider["autoScalingGroupProvider"].get("managedScaling", {})
    target = int(scaling.get("targetCapacity", 100))
    desired = int(group["DesiredCapacity"])
    wanted = placement.machines_wanted(needed, target)
    if reservations[-1] is not None and reservations[-1] > target and wanted > desired:
        step = max(wanted - desired, int(scaling.get("minimumScalingStepSize", 1)))
        wanted = desired + min(step, int(scaling.get("maximumScalingStepSize", 10_000)))
    elif not all(value is not None and value < target for value in reservations[-SCALE_IN_MINUTES:]):
        wanted = desired
    return max(min(wanted, int(group["MaxSize"])), int(group["MinSize"]))


def surplus(machines: Iterable[Machine], count: int, on_demand_base: int) -> list[Machine]:
    """Return up to `count` machines that may go: empty, Spot first, then the newest, never of the on-demand base."""
    staying = [machine for machine in machines if not machine.leaving]
    spare_on_demand = sum(not machine.spot for machine in staying) - on_demand_base
    empty = sorted((item for item in staying if item.empty), key=lambda item: (not item.spot, -item.launched))
    spot = [machine for machine in empty if machine.spot]
    on_demand = [machine for machine in empty if not machine.spot][: max(0, spare_on_demand)]
    return (spot + on_demand)[:count]


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


class Fleet(controllers.Controller):
    """Keeps the machines of every region."""

    name = "fleet"

    def __init__(self) -> None:
        self.interval = controllers.pace()
        self._published: dict[tuple[str, str], int] = {}
        self._failures: dict[str, str] = {}

    def step(self) -> None:
        """Boot, replace, drain and scale the machines."""
        for region in controllers.regions():
            machines = read_machines(region)
            for machine in machines:
                with self._apart(f"The machine {machine.id} in {region}"):
                    _keep(region, machine)
            draining = {item.ecs["containerInstanceArn"] for item in machines if item.draining and item.ecs}
            for cluster in sorted({_cluster(machine.ecs) for machine in machines if machine.draining}):
                with self._apart(f"The draining of {cluster} in {region}"):
                    _move_tasks(region, cluster, draining)
            self._roll(region, machines)
            self._scale(region, machines)

    @contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        """Let what fails for one machine, cluster or group stop no other one; a failure that lasts is told once."""
        try:
            yield
        except (EndpointConnectionError, HTTPClientError):
            # The embedded AWS answers nobody.
            raise
        except Exception as error:
            if self._failures.get(what) != repr(error):
                self._failures[what] = repr(error)
                # An error that AWS answers: what it is about went, or is not there yet.
                trace = None if isinstance(error, ClientError) else error
                logger.warning("%s failed, and is tried again: %s", what, error, exc_info=trace)
        else:
            self._failures.pop(what, None)

    def _roll(self, region: str, machines: Sequence[Machine]) -> None:
        """Replace the machines that their group would launch differently today."""
        launched = {machine.id: machine.launched for machine in machines}
        joined = {machine.id for machine in machines if machine.ecs}
        for group in pages(aws.client("autoscaling", region), "describe_auto_scaling_groups", "AutoScalingGroups"):
            with self._apart(f"The roll of {group['AutoScalingGroupName']} in {region}"):
                fleet_roll.step(region, group, launched, joined)

    def _scale(self, region: str, machines: Sequence[Machine]) -> None:
        """Publish each minute's reservation of every capacity provider, and set its group's size by it."""
        ecs = aws.client("ecs", region)
        minute = metrics_store.minute(time.time())
        for cluster in clusters(ecs):
            names = cluster.get("capacityProviders") or []
            providers = ecs.describe_capacity_providers(capacityProviders=names)["capacityProviders"] if names else []
            for provider in providers:
                place = (region, provider["name"])
                if self._published.get(place) != minute and _is_managed(provider):
                    self._published[place] = minute
                    with self._apart(f"The scaling by {provider['name']} in {region}"):
                        _scale_provider(region, cluster["clusterName"], provider, machines, minute)


def _keep(region: str, machine: Machine) -> None:
    """Take one machine one step further."""
    now = time.time()
    ecs, autoscaling = aws.client("ecs", region), aws.client("autoscaling", region)
    if has_booted(machine, now):
        _register(ecs, machine)
    if is_due(machine, now):
        logger.info("EC2 takes the Spot machine %s back.", machine.id)
        aws.client("ec2", region).terminate_instances(InstanceIds=[machine.id])
    elif must_be_replaced(machine):
        autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=machine.id, ShouldDecrementDesiredCapacity=False
        )
    if must_drain(machine):
        logger.info("The machine %s drains.", machine.id)
        ecs.update_container_instances_state(
            cluster=_cluster(machine.ecs),
            containerInstances=[machine.ecs["containerInstanceArn"]],  # type: ignore[index]  # must_drain saw it
            status="DRAINING",
        )
    elif is_drained(machine) or (machine.leaving and not machine.running):
        autoscaling.complete_lifecycle_action(
            AutoScalingGroupName=machine.group,
            InstanceId=machine.id,
            LifecycleHookName="ecs-managed-draining-termination-hook",
            LifecycleActionResult="CONTINUE",
        )


def _is_managed(provider: Record) -> bool:
    scaling = provider.get("autoScalingGroupProvider", {}).get("managedScaling", {})
    return bool(scaling.get("status") == "ENABLED")


def _scale_provider(region: str, cluster: str, provider: Record, machines: Sequence[Machine], minute: int) -> None:
    autoscaling, cloudwatch = aws.client("autoscaling", region), aws.client("cloudwatch", region)
    name = provider["autoScalingGroupProvider"]["autoScalingGroupArn"].rpartition("/")[2]
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return
    group = groups[0]
    staying = [machine for machine in machines if machine.group == name and machine.running and not machine.leaving]
    waiting = waiting_tasks(aws.client("ecs", region), cluster, provider["name"])
    needed = placement.machines_needed([room(machine) for machine in staying], waiting, _smallest(group, staying))
    dimensions = {"CapacityProviderName": provider["name"], "ClusterName": cluster}
    reservation = placement.capacity_provider_reservation(needed, len(staying))
    metrics_store.publish(cloudwatch, RESERVATION_NAMESPACE, {RESERVATION: [reservation]}, dimensions, minute)
    metric = (RESERVATION_NAMESPACE, RESERVATION, dimensions)
    reservations = metrics_store.read(cloudwatch, metric, "Average", minute, SCALE_IN_MINUTES)
    wanted = wanted_machines(provider, group, needed, reservations)
    if wanted > group["DesiredCapacity"]:
        logger.info("%s: %s machines for %s waiting tasks.", name, wanted, len(waiting))
        autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)
    elif wanted < group["DesiredCapacity"]:
        policy = group.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
        base = int(policy.get("OnDemandBaseCapacity", 0))
        count = group["DesiredCapacity"] - wanted
        going = surplus(staying, count, base)
        for machine in going:
            logger.info("%s: the empty machine %s goes.", name, machine.id)
            autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=machine.id, ShouldDecrementDesiredCapacity=True
            )
        if len(going) < count:
            # The empty ones are of the on-demand base: the group drains a Spot machine onto them.
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)


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


def _smallest(group: Record, machines: Sequence[Machine]) -> placement.Machine:
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


def waiting_tasks(ecs: aws.Client, cluster: str, provider: str) -> list[placement.Need]:
    """Return what the tasks need that no machine has room for."""
    waiting = [
        task
        for task in tasks(ecs, cluster)
        if task["lastStatus"] == "PROVISIONING"
        and not task.get("containerInstanceArn")
        and task.get("capacityProviderName") == provider
    ]
    definitions = {
        arn: ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        for arn in {task["taskDefinitionArn"] for task in waiting}
    }
    return [placement.need_of(definitions[task["taskDefinitionArn"]]) for task in waiting]


def tasks(ecs: aws.Client, cluster: str) -> list[dict[str, Any]]:
    """Return the tasks of a cluster that are to run."""
    arns = list(pages(ecs, "list_tasks", "taskArns", cluster=cluster))
    return [task for part in _parts(arns, "tasks") for task in ecs.describe_tasks(cluster=cluster, tasks=part)["tasks"]]


def _parts(items: Sequence[str], kind: str) -> list[Sequence[str]]:
    size = DESCRIBED[kind]
    return [items[first : first + size] for first in range(0, len(items), size)]


def clusters(ecs: aws.Client) -> list[dict[str, Any]]:
    """Return the active clusters."""
    arns = list(pages(ecs, "list_clusters", "clusterArns"))
    if not arns:
        return []
    return [item for item in ecs.describe_clusters(clusters=arns)["clusters"] if item["status"] == "ACTIVE"]


def _cluster(container_instance: Record | None) -> str:
    """Return the cluster in a container instance's ARN: ...:container-instance/<cluster>/<id>."""
    return str(container_instance["containerInstanceArn"]).split("/")[1] if container_instance else ""


def read_machines(region: str) -> list[Machine]:
    """Return the machines of all Auto Scaling groups of a region."""
    ec2, autoscaling = aws.client("ec2", region), aws.client("autoscaling", region)
    members = {
        instance["InstanceId"]: (group, instance)
        for group in pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups")
        for instance in group["Instances"]
    }
    if not members:
        return []
    ecs = aws.client("ecs", region)
    registered = container_instances(ecs, [cluster["clusterName"] for cluster in clusters(ecs)])
    reservations = pages(ec2, "describe_instances", "Reservations", InstanceIds=list(members))
    return [
        _machine(ec2, instance, *members[instance["InstanceId"]], registered.get(instance["InstanceId"]))
        for reservation in reservations
        for instance in reservation["Instances"]
    ]


def container_instances(ecs: aws.Client, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the container instances of clusters by their EC2 instance."""
    found: dict[str, dict[str, Any]] = {}
    for cluster in names:
        arns = list(pages(ecs, "list_container_instances", "containerInstanceArns", cluster=cluster))
        for part in _parts(arns, "containerInstances"):
            described = ecs.describe_container_instances(cluster=cluster, containerInstances=part)
            found |= {item["ec2InstanceId"]: item for item in described["containerInstances"]}
    return found


def _machine(ec2: aws.Client, instance: Record, group: Record, member: Record, ecs: Record | None) -> Machine:
    return Machine(
        id=instance["InstanceId"],
        group=group["AutoScalingGroupName"],
        type=instance["InstanceType"],
        zone=member["AvailabilityZone"],
        spot=instance.get("InstanceLifecycle") == "spot",
        running=instance["State"]["Name"] == "running",
        leaving=member["LifecycleState"].startswith("Terminating"),
        launched=instance["LaunchTime"].timestamp(),
        agent=_agent(ec2, instance["InstanceId"]),
        ecs=ecs,
        warmup=float(group.get("DefaultInstanceWarmup", 0)),
        notice=notice_of(instance),
        rebalanced=bool(group.get("CapacityRebalance", False)),
    )


def notice_of(instance: Record) -> float | None:
    """Return when EC2 takes a machine, in seconds since 1970, or None when it has no notice."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return datetime.fromisoformat(tags[NOTICE_TAG]).timestamp() if tags.get(NOTICE_TAG) else None


def _agent(ec2: aws.Client, instance_id: str) -> dict[str, str]:
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return agent_settings(answer["UserData"].get("Value", ""))


def _register(ecs: aws.Client, machine: Machine) -> None:
    """Do what the ECS agent does when its machine has booted."""
    cpu, memory = offered(machine.type, machine.agent)
    ecs.register_container_instance(
        cluster=machine.agent.get("ECS_CLUSTER", "default"),
        instanceIdentityDocument=json.dumps({"instanceId": machine.id, "instanceType": machine.type}),
        totalResources=[
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        ],
        attributes=[
            {"name": "ecs.availability-zone", "value": machine.zone},
            {"name": "ecs.instance-type", "value": machine.type},
            {"name": "ecs.cpu-architecture", "value": instance_types.architecture(machine.type)},
            {"name": "ecs.os-type", "value": "linux"},
        ],
    )
    logger.info("The machine %s (%s, %s) joins.", machine.id, machine.type, machine.zone)


def _move_tasks(region: str, cluster: str, draining: Container[str]) -> None:
    """Stop the services' tasks on a cluster's draining machines as their replacements become healthy.

    Tasks that belong to no service run until they end or their machine goes:
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
    """
    ecs = aws.client("ecs", region)
    present = [task for task in tasks(ecs, cluster) if task.get("desiredStatus") == "RUNNING"]
    leaving = [task for task in present if task.get("containerInstanceArn") in draining]
    for name in sorted({service_of(task) for task in leaving} - {""}):
        for service in ecs.describe_services(cluster=cluster, services=[name])["services"]:
            mine = [task for task in present if service_of(task) == name]
            _move_tasks_of_service(region, cluster, service, mine, draining)


def service_of(task: Record) -> str:
    """Return the name of the service that a task belongs to, or nothing when it was started alone.

    Here the group of a service's task on a machine that drains starts with another word than on AWS.
    """
    kind, _, name = str(task.get("group", "")).partition(":")
    return name if kind in ("service", "draining") else ""


def _move_tasks_of_service(
    region: str, cluster: str, service: Record, tasks: Sequence[Record], draining: Container[str]
) -> None:
    ecs = aws.client("ecs", region)
    healthy_ids = _healthy_targets(region, service)
    leaving = [task for task in tasks if task.get("containerInstanceArn") in draining]
    staying = [task for task in tasks if task.get("containerInstanceArn") not in draining]
    serving = [task for task in staying if task["lastStatus"] == "RUNNING" and is_healthy(task, healthy_ids)]
    for task in leaving[: stoppable(service, len(leaving), len(serving), len(staying) - len(serving))]:
        ecs.stop_task(cluster=cluster, task=task["taskArn"], reason="Service task stopped: its machine drains.")


def _healthy_targets(region: str, service: Record) -> set[int] | None:
    """Return the ports of the service's healthy targets, or None when no load balancer judges its tasks."""
    groups = [item["targetGroupArn"] for item in service.get("loadBalancers", []) if "targetGroupArn" in item]
    if not groups:
        return None
    elbv2 = aws.client("elbv2", region)
    # On this computer all machines share its ports, so a port alone names a task.
    return {
        item["Target"]["Port"]
        for group in groups
        for item in elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        if item["TargetHealth"]["State"] == "healthy"
    }


def is_healthy(task: Record, healthy_ports: set[int] | None) -> bool:
    """Tell whether a running task serves requests."""
    if healthy_ports is None:
        return True
    ports = {binding["hostPort"] for item in task["containers"] for binding in item.get("networkBindings", [])}
    return bool(ports & healthy_ports)
