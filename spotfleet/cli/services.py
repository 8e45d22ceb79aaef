"""The services of an environment on the embedded AWS, by the names of their files in config/."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure

# A stack that has one of these has a service; the service itself comes last.
TYPES_OF_SERVICES = {"AWS::ECS::TaskDefinition", "AWS::ECS::Service"}


@dataclass(frozen=True)
class Service:
    """A service: `name` is that of its file, `arn` is there once ECS has it."""

    name: str
    region: str
    arn: str | None = None
    log_groups: list[str] = field(default_factory=list)


def of_environment(environment: str) -> dict[str, Service]:
    """Return the services of an environment by name. Raises Failure when there is none."""
    identity = embedded_aws.find()
    if identity is None:
        raise Failure(
            f"The embedded AWS does not run at {paths.endpoint()}. Start it and launch with: spotfleet up {environment}"
        )
    names = dict(zip(paths.stacks(environment), paths.layers(environment), strict=True))
    found = {}
    for stack, region in sorted(environment_status.stack_names(environment, identity).items()):
        resources = clients.client("cloudformation", region).describe_stack_resources(StackName=stack)["StackResources"]
        by_type: dict[str, list[str]] = {}
        for item in resources:
            by_type.setdefault(item["ResourceType"], []).append(item.get("PhysicalResourceId") or "")
        if TYPES_OF_SERVICES & by_type.keys():
            arn = next(iter(by_type.get("AWS::ECS::Service", [])), "") or None
            groups = [group for group in by_type.get("AWS::Logs::LogGroup", []) if group]
            found[names[stack]] = Service(names[stack], region, arn, groups)
    if not found:
        raise Failure(f"{environment} has no service: launch it with: spotfleet up {environment}")
    return found


def named(services: Mapping[str, Service], name: str) -> Service:
    """Return a service. Raises Failure, naming those that there are, when it is none."""
    if name not in services:
        raise Failure(f"There is no service {name!r}. Services: {_listed(services)}.")
    return services[name]


def only(services: Mapping[str, Service]) -> Service:
    """Return the only service. Raises Failure, naming them, when there are several."""
    if len(services) > 1:
        raise Failure(f"There are several services: name one of {_listed(services)}.")
    return next(iter(services.values()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
