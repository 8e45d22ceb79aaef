"""How large what a service's settings make may be: IAM, ECS and CloudFormation refuse more."""

import json
from collections.abc import Iterator

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters of a role's inline policies
# together, without white space.
LARGEST_INLINE_POLICIES = 10_240
# What the execution role's policy says beside its secrets, with the longest names that CloudFormation gives.
OTHER_STATEMENTS = 1_500
# Before the name of a parameter, in the longest partition and region.
PARAMETER_ARN = "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/"
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html: bytes of a task definition.
LARGEST_TASK_DEFINITION = 64 * 1024
# Of that, what the template says beside variables and secrets.
OTHER_DEFINITIONS = 4_000
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html: bytes of a parameter.
LARGEST_PARAMETER = 4_096


def problems(
    secrets: dict[str, str], key_arns: list[str], variables: dict[str, str], cors_origins: str
) -> Iterator[tuple[str, str]]:
    """Yield each of these settings of a service that makes something too large, and what would be right."""
    resources = {_resource(source) for source in secrets.values()} | {*key_arns}
    size = OTHER_STATEMENTS + len(json.dumps(sorted(resources), separators=(",", ":")))
    if size > LARGEST_INLINE_POLICIES:
        yield (
            "secrets",
            f"must be fewer: with the keys of secret_key_arns they need a policy of about {size} characters, and IAM "
            f"allows {LARGEST_INLINE_POLICIES}; one secret of Secrets Manager can hold many values as JSON",
        )
    definitions = [{"name": name, "value": value} for name, value in (variables | secrets).items()]
    size = OTHER_DEFINITIONS + len(json.dumps(definitions, ensure_ascii=False).encode())
    if size > LARGEST_TASK_DEFINITION:
        yield (
            "environment_variables",
            f"must be shorter: with the secrets they need a task definition of about {size} bytes, and ECS allows "
            f"{LARGEST_TASK_DEFINITION}",
        )
    if len(cors_origins.encode()) > LARGEST_PARAMETER:
        yield "cors_origins", f"must have at most {LARGEST_PARAMETER} bytes, as a parameter of CloudFormation"


def _resource(source: str) -> str:
    """Return what a policy allows to read: without the part of a secret that a variable gets."""
    if not source.startswith("arn:"):
        return PARAMETER_ARN + source.removeprefix("/")
    return ":".join(source.split(":")[:7])
