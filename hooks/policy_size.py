"""How large the policy is with which ECS reads a service's secrets: IAM refuses one that is too large."""

import json
from collections.abc import Iterator

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters of a role's inline policies
# together, without white space.
LARGEST_INLINE_POLICIES = 10_240
# What the execution role's policy says beside its secrets, with the longest names that CloudFormation gives.
OTHER_STATEMENTS = 1_500
# Before the name of a parameter, in the longest partition and region.
PARAMETER_ARN = "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/"


def problems(secrets: dict[str, str], key_arns: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the setting of a service that makes its policy too large, and what would be right."""
    resources = {_resource(source) for source in secrets.values()} | {*key_arns}
    size = OTHER_STATEMENTS + len(json.dumps(sorted(resources), separators=(",", ":")))
    if size > LARGEST_INLINE_POLICIES:
        yield (
            "secrets",
            f"must be fewer: with the keys of secret_key_arns they need a policy of about {size} characters, and IAM "
            f"allows {LARGEST_INLINE_POLICIES}; one secret of Secrets Manager can hold many values as JSON",
        )


def _resource(source: str) -> str:
    if not source.startswith("arn:"):
        return PARAMETER_ARN + source.removeprefix("/")
    return ":".join(source.split(":")[:7])
