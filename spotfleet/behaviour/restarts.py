"""When the ECS agent starts a container again that has ended, without another task: decisions only (rule E17).

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Return whether a container is started again; `ran_seconds` are AWS's, since its start or the restart before.

    One that ends sooner than the attempt period ends its task, so that what cannot work is not hidden.
    """
    return policy.enabled and exit_code not in policy.ignored_exit_codes and ran_seconds >= policy.attempt_period
