"""The embedded AWS refuses what a rehearsal has asked it to refuse, such as an address beyond the account's quota.

It is asked for by parameters of Systems Manager, which AWS gives no meaning to (spotfleet refuse).
"""

from collections.abc import Callable
from typing import Any

from ministack.services import ssm
from ministack.services.cloudformation import provisioners, stacks

from spotfleet.behaviour import refusals
from spotfleet.local.emulator import protection
from spotfleet.local.emulator.patching import extends


def of(resource_type: str, *, deletion: bool = False, physical_id: str = "") -> str:
    """Return what AWS says of a resource that it refuses now; nothing where it does not."""
    parameter = ssm._parameters.get(refusals.parameter_of(resource_type)) or {}
    refusal = refusals.REFUSALS.get(parameter.get("Value", ""))
    if refusal is None or refusal.of_deletion != deletion:
        return ""
    return refusals.said(parameter["Value"], resource_type, physical_id)


@extends(provisioners, "_provision_resource", held_by=[(stacks, "_provision_resource")])
def refusing_creation(original: Callable[..., Any], resource_type: str, *rest: object) -> Any:  # noqa: ANN401  # MiniStack's
    """Create a resource unless it is refused."""
    if words := of(resource_type):
        raise ValueError(words)
    return original(resource_type, *rest)


@extends(provisioners, "_delete_resource", held_by=[(stacks, "_delete_resource")])
def refusing_deletion(
    original: Callable[..., None], resource_type: str, physical_id: str, *rest: object, **named: object
) -> None:
    """Delete a resource unless that is refused."""
    words = of(resource_type, deletion=True, physical_id=physical_id) or protection.refusal_of(physical_id)
    if words:
        raise ValueError(words)
    original(resource_type, physical_id, *rest, **named)
