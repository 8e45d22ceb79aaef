"""When and how the ECS agent starts a container again that has ended, without another task.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# AWS seconds that a container must have run when its definition does not say.
DEFAULT_ATTEMPT_PERIOD = 300


@dataclass(frozen=True)
class Policy:
    """What a container definition says of restarts."""

    enabled: bool = False
    ignored_exit_codes: tuple[int, ...] = ()
    attempt_period: int = DEFAULT_ATTEMPT_PERIOD


def policy_of(definition: Mapping[str, Any]) -> Policy:
    """Return the policy of a container definition, whose fields the API and a template write differently."""
    fields = {name.lower(): value for name, value in (definition.get("restartPolicy") or {}).items()}
    return Policy(
        enabled=str(fields.get("enabled")).lower() == "true",
        ignored_exit_codes=tuple(int(code) for code in fields.get("ignoredexitcodes") or []),
        attempt_period=int(fields.get("restartattemptperiod") or DEFAULT_ATTEMPT_PERIOD),
    )


def may_restart(policy: Policy, exit_code: int, ran_seconds: float) -> bool:
    """Tell whether a container is started again; `ran_seconds` are AWS's, since its start or the restart before.

    One that ends sooner than the attempt period ends its task, so that what cannot work is not hidden.
    """
    return policy.enabled and exit_code not in policy.ignored_exit_codes and ran_seconds >= policy.attempt_period


def moment(text: str) -> float:
    """Return a time in Docker's words, such as 2026-01-02T03:04:05.123456789Z, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def free_port() -> int:
    """Return a port of this machine that nothing listens on.

    The agent chooses a container's ports as well: one of Docker's choice would be another after a restart, and the load
    balancer would not know it (GetHostPort in https://github.com/aws/amazon-ecs-agent).
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
