"""What an environment consists of now: stacks, image, machines, tasks and their health, URL."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from local import aws, environment, server
from local.aws import pages

HEALTH_SECONDS = 2
# Tasks that ECS describes in one call.
DESCRIBED_TASKS = 100


@dataclass
class Task:
    """A task of the service. `health` is what its health check path answers now, asked directly."""

    id: str
    state: str
    health: str
    address: str | None
    image: str


@dataclass
class Machine:
    """An instance of the Auto Scaling group. `kind` is on-demand or spot."""

    id: str
    zone: str
    state: str
    type: str
    kind: str


@dataclass
class Status:
    """One environment on the embedded AWS."""

    environment: str
    url: str | None = None
    stacks: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    desired_tasks: int = 0
    tasks: list[Task] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every layer has a stack in a good state and the service has the tasks that it wants, all healthy."""
        good = [state for state in self.stacks.values() if state in ("CREATE_COMPLETE", "UPDATE_COMPLETE")]
        healthy = [task for task in self.tasks if task.health == "healthy"]
        return len(good) == len(environment.layers(self.environment)) and len(healthy) == self.desired_tasks

    def as_json(self) -> dict[str, Any]:
        """Return the status for a program."""
        return {**asdict(self), "complete": self.complete}

    def as_text(self) -> str:
        """Return the status on one screen."""
        lines = [f"{self.environment}: {self.url or 'no load balancer yet'}", "", "Stacks"]
        lines += [f"  {name:<32} {state}" for name, state in self.stacks.items()] or ["  none"]
        lines += ["", "Image", f"  {self.image or 'none'}", "", "Machines"]
        lines += [f"  {m.id:<20} {m.zone:<12} {m.type:<12} {m.kind:<10} {m.state}" for m in self.machines] or ["  none"]
        lines += ["", f"Tasks ({len(self.tasks)} of {self.desired_tasks})"]
        lines += [f"  {t.id:<34} {t.state:<10} {t.health:<16} {t.address or ''}" for t in self.tasks] or ["  none"]
        return "\n".join(lines)


def stack_names(name: str, identity: dict[str, Any]) -> dict[str, str]:
    """Return the stacks of an environment, with their regions, among those that the embedded AWS has."""
    endings = tuple(f"-{name}-{layer}" for layer in environment.layers(name))
    return {stack["name"]: stack["region"] for stack in identity["stacks"] if stack["name"].endswith(endings)}


def read(name: str, identity: dict[str, Any]) -> Status:
    """Return the status of an environment; `identity` is what server.find() returned."""
    status = Status(name)
    resources: dict[str, list[tuple[str, str]]] = {}
    for stack_name, region in sorted(stack_names(name, identity).items()):
        cloudformation = aws.client("cloudformation", region)
        status.stacks[stack_name] = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
        for item in cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]:
            resources.setdefault(item["ResourceType"], []).append((region, item.get("PhysicalResourceId", "")))
    for region, arn in resources.get("AWS::ElasticLoadBalancingV2::LoadBalancer", []):
        balancer = aws.client("elbv2", region).describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        status.url = f"{environment.endpoint()}/_alb/{balancer['LoadBalancerName']}/"
    for region, group in resources.get("AWS::AutoScaling::AutoScalingGroup", []):
        status.machines += _machines(region, group)
    for region, arn in resources.get("AWS::ECS::Service", []):
        _add_service(status, region, arn)
    return status


def _machines(region: str, group: str) -> list[Machine]:
    described = aws.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    instances = [instance for item in described["AutoScalingGroups"] for instance in item["Instances"]]
    if not instances:
        return []
    ids = [instance["InstanceId"] for instance in instances]
    found = pages(aws.client("ec2", region), "describe_instances", "Reservations", InstanceIds=ids)
    kinds = {item["InstanceId"]: item.get("InstanceLifecycle", "on-demand") for r in found for item in r["Instances"]}
    return [
        Machine(
            id=instance["InstanceId"],
            zone=instance["AvailabilityZone"],
            state=instance["LifecycleState"],
            type=instance.get("InstanceType", "unknown"),
            kind=kinds.get(instance["InstanceId"], "unknown"),
        )
        for instance in instances
    ]


def _add_service(status: Status, region: str, arn: str) -> None:
    ecs = aws.client("ecs", region)
    # arn:aws:ecs:<region>:<account>:service/<cluster>/<service>
    cluster = arn.split("/")[1]
    services = ecs.describe_services(cluster=cluster, services=[arn])["services"]
    if not services or services[0]["status"] != "ACTIVE":
        return
    service = services[0]
    definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    status.image = definition["containerDefinitions"][0]["image"]
    status.desired_tasks += service["desiredCount"]
    path, code = _health_check(region, service)
    arns = list(pages(ecs, "list_tasks", "taskArns", cluster=cluster, serviceName=service["serviceName"]))
    if not arns:
        return
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns[:DESCRIBED_TASKS])["tasks"]
    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        status.tasks += pool.map(lambda task: _task(task, path, code), tasks)


def _health_check(region: str, service: dict[str, Any]) -> tuple[str, str]:
    """Return path and expected status ("200", "200-299") of the health check of a service's target group."""
    for balancer in service["loadBalancers"]:
        groups = aws.client("elbv2", region).describe_target_groups(TargetGroupArns=[balancer["targetGroupArn"]])
        group = groups["TargetGroups"][0]
        return group["HealthCheckPath"], group.get("Matcher", {}).get("HttpCode", "200")
    return "/", "200"


def _task(task: dict[str, Any], path: str, code: str) -> Task:
    bindings = [binding for container in task["containers"] for binding in container.get("networkBindings", [])]
    address = f"127.0.0.1:{bindings[0]['hostPort']}" if bindings else None
    return Task(
        id=task["taskArn"].rpartition("/")[2],
        state=task["lastStatus"],
        health=_health(f"http://{address}{path}", code) if address else "unknown",
        address=address,
        image=task["containers"][0]["image"],
    )


def _health(url: str, expected: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=HEALTH_SECONDS) as response:
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        return "no answer"
    return "healthy" if matches(expected, status) else f"answers {status}"


def matches(expected: str, status: int) -> bool:
    """Tell whether a status is among those of a matcher: "200", "200,202" or "200-299"."""
    for part in expected.split(","):
        first, _, last = part.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


def of(name: str) -> Status | None:
    """Return the status of an environment, or None when the embedded AWS does not run."""
    identity = server.find()
    return read(name, identity) if identity else None
