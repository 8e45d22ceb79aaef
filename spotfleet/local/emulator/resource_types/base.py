"""What a resource type is, and what several have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from botocore.exceptions import ClientError

from spotfleet.local.api.clients import Client, Value

Properties = Mapping[str, Value]

# A resource's physical id, which is what Ref returns, and what Fn::GetAtt returns.
Resource = tuple[str, dict[str, str]]

# The client of an AWS service, in the stack's account and region.
Clients = Callable[[str], Client]


@dataclass(frozen=True)
class Owner:
    """The place of a resource: its stack and its logical id in the template, from which its name is made.

    `ends_early` says why the stack waits for the resource no longer: its time is up, or somebody has cancelled it.
    `begun` takes the physical id of a resource that is there and not yet ready, for the stack's events.
    """

    stack_name: str
    logical_id: str
    ends_early: Callable[[], str] = lambda: ""
    begun: Callable[[str], None] = lambda _physical_id: None

    def generated_name(self, longest: int = 255) -> str:
        """Return a name as CloudFormation makes it: stack, logical id and something random."""
        random = uuid4().hex[:12]
        return f"{self.stack_name}-{self.logical_id}"[: longest - len(random) - 1] + f"-{random}"


class ResourceType(Protocol):
    """What a stack can do with a resource of one type. Each method raises ValueError or ClientError with the reason."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Make the resource."""

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the resource, or make its replacement."""

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Remove the resource; one that is gone already is no error."""


class Replaced:
    """Update of a type whose changes all need a new resource."""

    def update(
        self: ResourceType, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties
    ) -> Resource:
        """Make the replacement."""
        del physical_id, old
        return self.create(clients, owner, new)


def ignore(code_or_text: str, call: Callable[..., object], **parameters: Value) -> None:
    """Call an API and ignore its saying that the thing is not there."""
    try:
        call(**parameters)
    except ClientError as error:
        if code_or_text not in f"{error.response['Error']['Code']} {error.response['Error']['Message']}":
            raise


def _tag_map(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag.get("Value", "")) for tag in properties.get("Tags", [])}


def tag_specifications(resource_type: str, properties: Properties) -> list[dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in _tag_map(properties).items()]
    return [{"ResourceType": resource_type, "Tags": tags}] if tags else []


def without_tags(properties: Properties) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "Tags"}


def update_ec2_tags(ec2: Client, resource_id: str, old: Properties, new: Properties) -> None:
    removed = [{"Key": key} for key in _tag_map(old).keys() - _tag_map(new).keys()]
    if removed:
        ec2.delete_tags(Resources=[resource_id], Tags=removed)
    if _tag_map(new):
        tags = [{"Key": key, "Value": value} for key, value in _tag_map(new).items()]
        ec2.create_tags(Resources=[resource_id], Tags=tags)


def update_ecs_tags(ecs: Client, arn: str, old: Properties, new: Properties) -> None:
    removed = sorted(_tag_map(old).keys() - _tag_map(new).keys())
    if removed:
        ecs.untag_resource(resourceArn=arn, tagKeys=removed)
    if _tag_map(new):
        ecs.tag_resource(resourceArn=arn, tags=[{"key": k, "value": v} for k, v in _tag_map(new).items()])
