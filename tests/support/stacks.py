"""Real Sceptre stacks whose AWS answers are given by the test."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from botocore.exceptions import ClientError
from sceptre.stack import Stack

from tests.support.answers import answering

ACCOUNT = "123456789012"
ENDPOINT = "https://cloudformation.eu-west-1.amazonaws.com"
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Aws:
    """Answers the calls of a stack's connection manager by way of boto3's own clients, and remembers them."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._client = functools.cache(lambda service: answering(service, _Service(self, service)))

    def call(self, service: str, command: str, kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Answer as Sceptre's ConnectionManager.call does."""
        # Of no interest to most tests: every hook asks whose account it is.
        if (service, command) == ("sts", "get_caller_identity") and "sts.get_caller_identity" not in self.answers:
            return {"Account": ACCOUNT}
        self.calls.append((f"{service}.{command}", kwargs or {}))
        found: dict[str, Any] = getattr(self._client(service), command)(**kwargs or {})
        return found

    def called(self, name: str) -> list[dict[str, Any]]:
        """List the arguments of every call of `name`."""
        return [kwargs for called, kwargs in self.calls if called == name]


class _Service:
    """What a service answers, by the names of its operations."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self._name = aws, name

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        return lambda **asked: self._aws.answers[f"{self._name}.{operation}"](asked)


def client_error(code: str, message: str = "said AWS") -> ClientError:
    """Build the error that boto3 raises for an AWS error code."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


def make_stack(name: str, aws: Aws, project: Path = Path(), endpoint: str = ENDPOINT, **settings: object) -> Stack:
    """Build the stack `name` (such as `dev/service`) of a project with these settings in its environment."""
    stack = Stack(
        name=name,
        project_code="spotfleet",
        region="eu-west-1",
        template_handler_config={"path": "service.yaml.j2"},
        stack_group_config={"project_path": str(project), "account_id": ACCOUNT, **settings},
    )
    stack._connection_manager = Mock(call=aws.call)
    client = stack._connection_manager.get_session.return_value.client.return_value
    client.meta.endpoint_url = endpoint
    return stack
