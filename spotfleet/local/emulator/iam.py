"""Roles: their boundaries, and whom assuming one makes the caller."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from ministack.services import (
    iam,
    sts,
)
from ministack.services.cloudformation import provisioners

from spotfleet.local.emulator import access
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response
from spotfleet.local.emulator.resource_types.base import Resource


@extends(provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"], "create", properties_index=1)
@extends(provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"], "update", properties_index=2)
def with_boundary(original: Callable[..., Resource], *arguments: Any, properties_index: int) -> Resource:  # noqa: ANN401  # create and update differ
    """Keep a role's permissions boundary, which MiniStack keeps for roles from its API only."""
    name, attributes = original(*arguments)
    iam._roles[name]["PermissionsBoundary"] = arguments[properties_index].get("PermissionsBoundary")
    return name, attributes


@extends(sts, "handle_request")
async def in_one_account(
    original: Callable[..., Awaitable[Response]], method: str, path: str, headers: Record, body: bytes, query: Record
) -> Response:
    """Let an assumed role work in the caller's own account: the embedded AWS has no other that anybody looks at.

    The machines, the load balancer and the registry are those of one account. In another one a stack would be out of
    sight of every later command.
    """
    status, more, answer = await original(method, path, headers, body, query)
    if status < HTTPStatus.BAD_REQUEST and b"<AssumeRoleResult>" in answer:
        own = {"AccessKeyId": sts.extract_access_key_id(headers, query) or "", "SecretAccessKey": access.key}
        for name, value in own.items():
            answer = re.sub(f"<{name}>[^<]*</{name}>".encode(), f"<{name}>{value}</{name}>".encode(), answer)
    return status, more, answer
