"""Which IAM policies make whoever has them an administrator of the account, or let them make themselves one."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

# Of the 1,485 policies of AWS's that moto 5.2.0 has a copy of, those in which `grants_administration` finds something;
# AWSMcpServiceActionsFullAccess is left out, which holds for calls through one service of AWS only.
AWS_POLICIES = {
    *("AdministratorAccess", "AdministratorAccess-Amplify", "IAMFullAccess", "PowerUserAccess"),
    *("AWSElasticBeanstalkService", "AmazonDynamoDBFullAccesswithDataPipeline"),
    *("AmazonElasticMapReduceFullAccess", "AmazonElasticMapReduceRole"),
    *("SageMakerStudioAdminIAMDefaultExecutionPolicy", "SageMakerStudioAdminIAMPermissiveExecutionPolicy"),
    *("SageMakerStudioUserIAMDefaultExecutionPolicy", "SageMakerStudioUserIAMPermissiveExecutionPolicy"),
}
# AWS's variants of the first one, and its policies for the people in jobs such as SystemAdministrator.
AWS_ADMINISTRATORS = re.compile(r"AdministratorAccess.*|job-function/\w*Administrator")
# What an account's own policy says of itself.
TELLING_NAME = re.compile(r"administrator|admin-?access|full-?admin|power-?user|iam-?full-?access", re.IGNORECASE)
# With any one of them, for all roles or users, a role raises itself or takes on another one.
RAISING_ACTIONS = (
    *("iam:AddUserToGroup", "iam:AttachGroupPolicy", "iam:AttachRolePolicy", "iam:AttachUserPolicy"),
    *("iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreatePolicyVersion", "iam:DeleteRolePermissionsBoundary"),
    *("iam:PassRole", "iam:PutGroupPolicy", "iam:PutRolePolicy", "iam:PutUserPolicy", "iam:SetDefaultPolicyVersion"),
    *("iam:UpdateAssumeRolePolicy", "iam:UpdateLoginProfile", "sts:AssumeRole"),
)
EVERYTHING = re.compile(r"\*|arn:[\w*-]+:iam::(?P<account>\*|\d{12}):((role|user|policy|group|\*)/?)?\*")

Statement = dict[str, Any]


def is_of_aws(policy_arn: str) -> bool:
    """Return whether a policy is one that AWS manages, in any partition."""
    return policy_arn.partition(":policy/")[0].endswith(":aws")


def is_administrative(policy_arn: str) -> bool:
    """Tell by the name of a policy of AWS's, in any partition, whether it gives administrator rights.

    What an account's own policy holds its name does not say: `grants_administration` looks into it.
    """
    place = policy_arn.partition(":policy/")[2]
    known = place.rpartition("/")[2] in AWS_POLICIES or AWS_ADMINISTRATORS.fullmatch(place) is not None
    return is_of_aws(policy_arn) and known


def sounds_administrative(policy_arn: str) -> bool:
    """Return whether an account's own policy is called as those that give administrator rights are."""
    name = policy_arn.rpartition("/")[2]
    return name in AWS_POLICIES or TELLING_NAME.search(name) is not None


def grants_administration(document: dict[str, Any], account: str) -> bool:
    """Return whether a policy allows everything, everything but a list, or actions with which a role raises itself.

    `account` is the number of the policy's own: roles of another one do not raise anybody here. A statement with a
    condition counts as bounded: what the condition means cannot be judged here.
    """
    return any(_is_administrative(statement, account) for statement in _statements(document))


def _statements(document: dict[str, Any]) -> Iterator[Statement]:
    for statement in _list(document.get("Statement", [])):
        if statement.get("Effect") == "Allow" and not statement.get("Condition"):
            yield statement


def _is_administrative(statement: Statement, account: str) -> bool:
    if "Resource" in statement and not any(_is_everything(item, account) for item in _list(statement["Resource"])):
        return False
    if "NotAction" in statement:
        return True
    patterns = [str(action).lower() for action in _list(statement.get("Action", []))]
    return any(fnmatchcase(action.lower(), pattern) for action in RAISING_ACTIONS for pattern in patterns)


def _is_everything(resource: str, account: str) -> bool:
    found = EVERYTHING.fullmatch(resource)
    return found is not None and found["account"] in {None, "*", account}


def _list(node: Any) -> list[Any]:  # noqa: ANN401  # a policy gives one thing or a list of them
    return node if isinstance(node, list) else [node]
