"""Administrator rights for tasks: known by a policy's name, or found in what it allows."""

import json
from importlib.metadata import entry_points
from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks.administrator_policies import AdministratorPolicies
from spotfleet.facts.administration import grants_administration, is_administrative
from tests.support.stacks import ACCOUNT, Answer, Aws, client_error, make_stack

OWN = "arn:aws:iam::123456789012:policy/shop"
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "arn:aws-cn:iam::aws:policy/AdministratorAccess",
        "arn:aws-us-gov:iam::aws:policy/PowerUserAccess",
        "arn:aws:iam::aws:policy/IAMFullAccess",
        "arn:aws:iam::aws:policy/AdministratorAccess-Amplify",
        "arn:aws:iam::aws:policy/AdministratorAccess-AWSElasticBeanstalk",
        "arn:aws:iam::aws:policy/job-function/SystemAdministrator",
        "arn:aws:iam::aws:policy/job-function/DatabaseAdministrator",
        "arn:aws:iam::aws:policy/service-role/AmazonElasticMapReduceRole",
    ],
)
def test_administrators_of_aws_are_known_by_name(arn: str) -> None:
    assert is_administrative(arn)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:policy/AdministratorAccess",
        "arn:aws:iam::123456789012:policy/teams/shop/IAMFullAccess",
        "arn:aws:iam::123456789012:policy/shop-administrator",
        "arn:aws:iam::123456789012:policy/ShopAdminAccess",
        "arn:aws:iam::123456789012:policy/full_admin/full-admin",
    ],
)
def test_the_name_of_ones_own_policy_decides_where_its_content_cannot_be_read_only(arn: str) -> None:
    assert not is_administrative(arn)
    with pytest.raises(SceptreException, match="lets a task raise itself to administrator"):
        launch(Aws({"iam.get_policy": denied}), arn)
    launch(Aws(holding({"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})), arn)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::aws:policy/AmazonS3FullAccess",
        "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser",
        "arn:aws:iam::aws:policy/AmazonAPIGatewayAdministrator",
        "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
        "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
        "arn:aws:iam::123456789012:policy/admin/shop-reads-orders",
        "arn:aws:iam::123456789012:policy/shop-admin-page",
    ],
)
def test_others_pass(arn: str) -> None:
    assert not is_administrative(arn)
    launch(Aws({"iam.get_policy": denied}), arn)


@pytest.mark.parametrize(
    "statement",
    [
        ALL,
        {"Effect": "Allow", "Action": ["s3:GetObject", "iam:*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "IAM:attachrolepolicy", "Resource": ["arn:aws:s3:::a/*", "*"]},
        {"Effect": "Allow", "Action": "iam:Put*", "Resource": "arn:aws:iam::123456789012:role/*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:*", "Resource": "arn:aws-cn:iam::*:role/*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::123456789012:role/*"},
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"},
    ],
)
def test_administration_is_found_in_a_policy(statement: dict[str, Any]) -> None:
    assert grants_administration({"Statement": statement}, ACCOUNT)
    denial = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    assert grants_administration({"Statement": [denial, statement]}, ACCOUNT)


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "Action": "*", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::shop/*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/shop"},
        {"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::999999999999:role/*"},
        {**ALL, "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}},
    ],
)
def test_narrower_policies_are_none(statement: dict[str, Any]) -> None:
    assert not grants_administration({"Statement": [statement]}, ACCOUNT)


def holding(document: object) -> dict[str, Answer]:
    return {
        "iam.get_policy": lambda _: {"Policy": {"DefaultVersionId": "v3"}},
        # As it comes over the wire: boto3 reads it.
        "iam.get_policy_version": lambda _: {"PolicyVersion": {"Document": json.dumps(document)}},
    }


def denied(_: dict[str, Any]) -> dict[str, Any]:
    raise client_error("AccessDenied")


def launch(aws: Aws, *arns: str, setting: str = "task_policy_arns", allowed: bool = False) -> None:
    argument = {"setting": setting, "policy_arns": list(arns), "allowed": allowed}
    AdministratorPolicies(argument=argument, stack=make_stack("dev/service", aws)).run()


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="administrator_policies")
    assert entry_point.load() is AdministratorPolicies


@pytest.mark.parametrize("document", [{"Statement": [ALL]}, json.dumps({"Statement": ALL})])
def test_a_policy_of_ones_own_that_allows_everything_is_refused_with_the_way_out(document: object) -> None:
    aws = Aws(holding(document))
    with pytest.raises(SceptreException, match=r"shop in task_policy_arns .* allow_administrator_tasks: true\.$"):
        launch(aws, OWN)
    assert aws.called("iam.get_policy_version") == [{"PolicyArn": OWN, "VersionId": "v3"}]


def test_machines_are_never_administrators() -> None:
    with pytest.raises(SceptreException, match=r"policy/shop in machine_policy_arns lets a machine .* Give less\.$"):
        launch(Aws(holding({"Statement": [ALL]})), OWN, setting="machine_policy_arns")


def test_a_name_that_a_further_service_inherits_is_found_here_too() -> None:
    with pytest.raises(SceptreException, match="policy/IAMFullAccess in task_policy_arns"):
        launch(Aws({}), "arn:aws:iam::aws:policy/IAMFullAccess")


def test_a_narrow_policy_passes() -> None:
    launch(Aws(holding({"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})), OWN)


def test_nothing_is_asked_where_it_is_meant_or_of_aws() -> None:
    launch(Aws({}), OWN, allowed=True)
    launch(Aws({}), "arn:aws-cn:iam::aws:policy/AmazonS3ReadOnlyAccess")
    launch(Aws({}))


def test_a_policy_that_cannot_be_read_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        launch(Aws({"iam.get_policy": denied}), OWN)
    (message,) = caplog.messages
    assert message.endswith(f"Did not look into {OWN}: AccessDenied")
