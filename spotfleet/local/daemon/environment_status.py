"""What an environment consists of now: stacks, image, machines, tasks and their health, URL."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from spotfleet.behaviour.delays import Mode
from spotfleet.behaviour.machine_life import sizes
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_clusters, read_container_instances, read_tasks_of_service, service_of
from spotfleet.local.api.elbv2 import read_targets
from spotfleet.local.api.machines import notice_of
from spotfleet.local.balancer import haproxy, ports, proxies, wanted
from spotfleet.local.host import paths, rehearsal
from spotfleet.local.host.rehearsal import Rehearsal

# States of a stack that works. After a rolled-back update it is as it was before, and it stays in that state when a
# launch then finds nothing to change.
GOOD_STATES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


@dataclass
class Task:
    """A task of the service. `health` is what the load balancer says of it: initial, healthy, unhealthy, draining."""

    id: str
    state: str
    health: str
    address: str | None
    image: str
    machine: str | None = None
    service: str = ""


@dataclass
class Machine:
    """An instance of the Auto Scaling group. `kind` is on-demand or spot.

    `notice` is when EC2 takes it, in seconds since 1970. CPU units and memory, all that it offers to tasks and what is
    free of it, are known once it has joined the cluster.
    """

    id: str
    zone: str
    state: str
    type: str
    kind: str
    draining: bool = False
    notice: float | None = None
    cpu_units: int | None = None
    free_cpu_units: int | None = None
    memory_mib: int | None = None
    free_memory_mib: int | None = None


@dataclass
class Status:
    """One environment on the embedded AWS. `leaving` tasks still get requests, although they are to be stopped."""

    environment: str
    url: str | None = None
    stacks: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    desired_tasks: int = 0
    tasks: list[Task] = field(default_factory=list)
    leaving: int = 0
    machines: list[Machine] = field(default_factory=list)
    # The factor by which AWS's waiting times are shorter here, which of its delays there are, and by which seed.
    speed: float = 1
    delays: str = Mode.INSTANT
    seed: int = 0
    # The controllers that are not well, and what here goes well that on AWS would not.
    troubles: list[str] = field(default_factory=list)
    # Region and ARN of each active service, and the names of those whose desired count is 0.
    services: list[tuple[str, str]] = field(default_factory=list)
    at_zero: list[str] = field(default_factory=list)
    # Region and name of each Auto Scaling group.
    groups: list[tuple[str, str]] = field(default_factory=list)
    # What the live page shows of them: how each service does, and why tasks and machines came and went.
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def rehearsal(self) -> Rehearsal:
        """What its figures depend on."""
        return Rehearsal(self.speed, self.delays, self.seed)

    @property
    def complete(self) -> bool:
        """Whether every layer has a stack in a good state and the service's tasks, all healthy, get all requests."""
        good = [state for state in self.stacks.values() if state in GOOD_STATES]
        healthy = [task for task in self.tasks if task.health == "healthy"]
        served = len(healthy) == len(self.tasks) == self.desired_tasks and not self.leaving
        return len(good) == len(paths.layers(self.environment)) and served

    def as_json(self) -> dict[str, Any]:
        """Return the status for a program."""
        return {**asdict(self), "complete": self.complete}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Status":
        """Return the status that `as_json` gave."""
        parts = {
            "tasks": [Task(**task) for task in told["tasks"]],
            "machines": [Machine(**machine) for machine in told["machines"]],
            # JSON has no tuples.
            "services": [tuple(service) for service in told["services"]],
            "groups": [tuple(group) for group in told["groups"]],
        }
        return cls(**{name: value for name, value in (told | parts).items() if name != "complete"})


def stack_names(name: str, identity: dict[str, Any]) -> dict[str, str]:
    """Return the stacks of an environment, with their regions, among those that the embedded AWS has."""
    own = paths.stacks(name)
    return {stack["name"]: stack["region"] for stack in identity["stacks"] if stack["name"] in own}


def read(name: str, identity: dict[str, Any]) -> Status:
    """Return the status of an environment; `identity` is what server.find() returned."""
    status = Status(name, **rehearsal.told(identity).as_json(), troubles=_troubles(identity))
    resources: dict[str, list[tuple[str, str]]] = {}
    for stack_name, region in sorted(stack_names(name, identity).items()):
        cloudformation = clients.client("cloudformation", region)
        status.stacks[stack_name] = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
        for item in cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]:
            resources.setdefault(item["ResourceType"], []).append((region, item.get("PhysicalResourceId", "")))
    for _region, arn in resources.get("AWS::ElasticLoadBalancingV2::LoadBalancer", []):
        status.url = ports.url(arn)
    for region, group in resources.get("AWS::AutoScaling::AutoScalingGroup", []):
        status.machines += _machines(region, group)
        status.groups.append((region, group))
    look = _Look()
    for region, arn in resources.get("AWS::ECS::Service", []):
        _add_service(status, look, region, arn)
    for _region, arn in resources.get("AWS::ElasticLoadBalancingV2::TargetGroup", []):
        status.troubles += [text for group, text in identity.get("early_closes", {}).items() if group == arn]
    return status


def answer(name: str, identity: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return what the server answers of an environment; `shown` is what the live page shows of it.

    The past is left out, which is a long one and for charts only.
    Where it cannot be read, because it is being launched or deleted, the answer has a `problem` and no status.
    """
    try:
        current = read(name, identity)
    except ClientError as error:
        return {"folder": identity["folder"], "problem": str(error)}
    figures = {kind: value for kind, value in shown.items() if kind != "history"}
    return {"folder": identity["folder"], "status": current.as_json() | {"figures": figures}}


class _Look:
    """What the services that are read together share, read once for all of them."""

    def __init__(self) -> None:
        self._machines: dict[tuple[str, str], dict[str, str]] = {}

    def machines(self, region: str, cluster: str) -> dict[str, str]:
        """Return the machine of each container instance of a cluster."""
        if (region, cluster) not in self._machines:
            found = read_container_instances(clients.client("ecs", region), [cluster])
            self._machines[region, cluster] = {item["containerInstanceArn"]: id_ for id_, item in found.items()}
        return self._machines[region, cluster]

    @cached_property
    def sending(self) -> dict[str, set[str]]:
        """The addresses that the load balancer sends new requests to, by target group; of each node the same ones."""
        found: dict[str, set[str]] = {}
        # No HAProxy sends none.
        with suppress(OSError):
            for line in haproxy.Process().statistics():
                if haproxy.gets_requests(line):
                    found.setdefault(proxies.group_of(line["pxname"]), set()).add(line["addr"])
        return found


def _troubles(identity: dict[str, Any]) -> list[str]:
    """Return a line for each controller of the embedded AWS that does not run, or had to be started again."""
    return [
        f"Controller {one['name']}: {one['state']}, restarted {one['restarts']} times; last error: {one['last_error']}"
        for one in identity["controllers"]
        if one["state"] not in ("starting", "running") or one["restarts"]
    ]


def _machines(region: str, group: str) -> list[Machine]:
    described = clients.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    instances = [instance for item in described["AutoScalingGroups"] for instance in item["Instances"]]
    if not instances:
        return []
    ids = [instance["InstanceId"] for instance in instances]
    ecs = clients.client("ecs", region)
    joined = read_container_instances(ecs, [cluster["clusterName"] for cluster in read_clusters(ecs)])
    found = pages(clients.client("ec2", region), "describe_instances", "Reservations", InstanceIds=ids)
    known = {item["InstanceId"]: item for reservation in found for item in reservation["Instances"]}
    return [_machine(item, known.get(item["InstanceId"], {}), joined.get(item["InstanceId"])) for item in instances]


def _machine(member: Record, instance: Record, joined: Record | None) -> Machine:
    """Return a machine as its group, EC2, and ECS once it has joined, describe it."""
    machine = Machine(
        id=member["InstanceId"],
        zone=member["AvailabilityZone"],
        state=member["LifecycleState"],
        type=member.get("InstanceType", "unknown"),
        kind=instance.get("InstanceLifecycle", "on-demand") if instance else "unknown",
        notice=notice_of(instance),
    )
    if joined is not None:
        machine.draining = joined["status"] == "DRAINING"
        machine.cpu_units, machine.memory_mib = sizes(joined["registeredResources"])
        machine.free_cpu_units, machine.free_memory_mib = sizes(joined["remainingResources"])
    return machine


def _add_service(status: Status, look: _Look, region: str, arn: str) -> None:
    ecs = clients.client("ecs", region)
    # arn:aws:ecs:<region>:<account>:service/<cluster>/<service>
    cluster = arn.split("/")[1]
    services = ecs.describe_services(cluster=cluster, services=[arn])["services"]
    if not services or services[0]["status"] != "ACTIVE":
        return
    service = services[0]
    status.services.append((region, arn))
    if service["desiredCount"] == 0:
        status.at_zero.append(service["serviceName"])
    definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    status.image = definition["containerDefinitions"][0]["image"]
    status.desired_tasks += service["desiredCount"]
    described = read_tasks_of_service(ecs, cluster, service["serviceName"])
    groups = [balancer["targetGroupArn"] for balancer in service["loadBalancers"]]
    health = _health_by_port(region, groups)
    tasks = [_task(task, health if groups else None, look.machines(region, cluster)) for task in described]
    status.tasks += tasks
    addresses = {task.address for task in tasks}
    backends = [wanted.Group(arn, name=arn.rpartition(":")[2]).backend for arn in groups]
    status.leaving += sum(address not in addresses for name in backends for address in look.sending.get(name, ()))


def _health_by_port(region: str, groups: list[str]) -> dict[int, str]:
    """Return what the load balancer says of each target of a service; a port of 127.0.0.1 stands for one."""
    elbv2 = clients.client("elbv2", region)
    found = [read_targets(elbv2, group) for group in groups]
    return {target.port: state for states in found for target, state in states.items()}


def _task(task: dict[str, Any], health: dict[int, str] | None, on_machines: dict[str, str]) -> Task:
    """Return a task; `health` is by port, or None for a service without load balancer, whose tasks need only run.

    `on_machines` names the machine of each container instance.
    """
    ports = [item["hostPort"] for container in task["containers"] for item in container.get("networkBindings", [])]
    if health is None:
        state = "healthy" if task["lastStatus"] == "RUNNING" else "unknown"
    else:
        state = next((health[port] for port in ports if port in health), "unknown")
    return Task(
        id=task["taskArn"].rpartition("/")[2],
        state=task["lastStatus"],
        health=state,
        address=f"127.0.0.1:{ports[0]}" if ports else None,
        image=task["containers"][0]["image"],
        machine=on_machines.get(task.get("containerInstanceArn", "")),
        service=service_of(task),
    )
