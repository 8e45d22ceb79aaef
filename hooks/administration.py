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
EVERYTHING = re.compile(r"\*|arn:[\w*-]+:iam::(\*|\d{12}):((role|user|policy|group|\*)/?)?\*")

Statement = dict[str, Any]


def is_administrative(policy_arn: str) -> bool:
    """Tell by the name of a policy, in any partition, account and path, whether it gives administrator rights.

    What an account's own policy holds cannot be seen from its name: `grants_administration` looks into it.
    """
    owner, _, place = policy_arn.partition(":policy/")
    name = place.rpartition("/")[2]
    telling = AWS_ADMINISTRATORS.fullmatch(place) if owner.endswith(":aws") else TELLING_NAME.search(name)
    return name in AWS_POLICIES or telling is not None


def grants_administration(document: dict[str, Any]) -> bool:
    """Tell whether a policy allows everything, everything but a list, or actions with which a role raises itself.

    A statement with a condition counts as bounded: what the condition means cannot be judged here.
    """
    return any(map(_is_administrative, _statements(document)))


def _statements(document: dict[str, Any]) -> Iterator[Statement]:
    for statement in _list(document.get("Statement", [])):
        if statement.get("Effect") == "Allow" and not statement.get("Condition"):
            yield statement


def _is_administrative(statement: Statement) -> bool:
    if "Resource" in statement and not any(EVERYTHING.fullmatch(item) for item in _list(statement["Resource"])):
        return False
    if "NotAction" in statement:
        return True
    patterns = [str(action).lower() for action in _list(statement.get("Action", []))]
    return any(fnmatchcase(action.lower(), pattern) for action in RAISING_ACTIONS for pattern in patterns)


def _list(node: Any) -> list[Any]:  # noqa: ANN401  # a policy gives one thing or a list of them
    return node if isinstance(node, list) else [node]
