"""The hook that takes all rules from the default security group of the environment's VPC."""

import logging
from importlib.metadata import entry_points
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hooks.closed_default_security_group import ClosedDefaultSecurityGroup
from tests.support import answers
from tests.support.stacks import Answer, Aws, client_error, make_stack

TO_ITSELF = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "123456789012"}]}
EVERYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
INGRESS, EGRESS = "ec2.revoke_security_group_ingress", "ec2.revoke_security_group_egress"
RESOURCES = [
    answers.resource("AWS::EC2::Subnet", "subnet-1"),
    answers.resource("AWS::EC2::VPC", "vpc-1"),
]


def aws(ingress: list[dict[str, Any]], egress: list[dict[str, Any]], **other: Answer) -> Aws:
    """Answer as a VPC whose default group has these rules."""
    group = {"GroupId": "sg-1", "IpPermissions": ingress, "IpPermissionsEgress": egress}
    known: dict[str, Answer] = {
        "cloudformation.describe_stack_resources": lambda _: {"StackResources": RESOURCES},
        "ec2.describe_security_groups": lambda _: {"SecurityGroups": [group]},
        "ec2.describe_network_interfaces": lambda _: {"NetworkInterfaces": []},
        INGRESS: lambda _: {},
        EGRESS: lambda _: {},
    }
    return Aws(known | {name.replace("__", "."): answer for name, answer in other.items()})


def launch(found: Aws) -> None:
    ClosedDefaultSecurityGroup(stack=make_stack("dev/vpc", found)).run()


def denied(_: dict[str, Any]) -> dict[str, Any]:
    raise client_error("UnauthorizedOperation")


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="closed_default_security_group")
    assert entry_point.load() is ClosedDefaultSecurityGroup


def test_a_new_vpcs_group_is_closed_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    found = aws([TO_ITSELF], [EVERYWHERE])
    with caplog.at_level(logging.INFO):
        launch(found)
    asked = {item["Name"]: item["Values"] for item in found.called("ec2.describe_security_groups")[0]["Filters"]}
    assert asked == {"vpc-id": ["vpc-1"], "group-name": ["default"]}
    assert found.called(INGRESS) == [{"GroupId": "sg-1", "IpPermissions": [TO_ITSELF]}]
    assert found.called(EGRESS) == [{"GroupId": "sg-1", "IpPermissions": [EVERYWHERE]}]
    (message,) = [text for text in caplog.messages if "Acting on" not in text]
    assert message.endswith("Closed the default security group sg-1 of the VPC; rules taken away: 2")


def test_a_closed_group_is_left_alone_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    found = aws([], [])
    with caplog.at_level(logging.INFO):
        launch(found)
    assert not found.called(INGRESS) + found.called(EGRESS)
    assert caplog.records == []


def test_a_rule_that_somebody_added_later_goes_too() -> None:
    found = aws([EVERYWHERE], [])
    launch(found)
    assert found.called(INGRESS) == [{"GroupId": "sg-1", "IpPermissions": [EVERYWHERE]}]
    assert not found.called(EGRESS)


def test_what_is_in_the_group_is_not_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    users = {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"}, {"NetworkInterfaceId": "eni-2"}]}
    found = aws([TO_ITSELF], [EVERYWHERE], ec2__describe_network_interfaces=lambda _: users)
    launch(found)
    assert not found.called(INGRESS) + found.called(EGRESS)
    (record,) = caplog.records
    assert "sg-1 stays open: eni-1, eni-2 are in it" in record.message


@pytest.mark.parametrize(
    "call", ["ec2__describe_security_groups", "ec2__describe_network_interfaces", "ec2__revoke_security_group_ingress"]
)
def test_a_role_that_may_not_close_it_is_told_of_in_one_line(caplog: pytest.LogCaptureFixture, call: str) -> None:
    launch(aws([TO_ITSELF], [EVERYWHERE], **{call: denied}))
    (record,) = caplog.records
    assert "may still be open" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    ("call", "code", "right"),
    [
        (
            "cloudformation__describe_stack_resources",
            "AccessDenied",
            ("cloudformation", "DescribeStackResources"),
        ),
        ("ec2__revoke_security_group_egress", "UnauthorizedOperation", ("ec2", "RevokeSecurityGroupEgress")),
    ],
)
def test_the_right_that_is_lacking_is_named_as_iam_knows_it(
    caplog: pytest.LogCaptureFixture, call: str, code: str, right: tuple[str, str]
) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, right[1])

    launch(aws([TO_ITSELF], [EVERYWHERE], **{call: refuse}))
    assert caplog.messages[0].endswith(f"this role lacks {':'.join(right)}")


def test_a_stack_without_its_vpc_has_no_group() -> None:
    found = aws([TO_ITSELF], [], cloudformation__describe_stack_resources=lambda _: {"StackResources": []})
    launch(found)
    assert not found.called("ec2.describe_security_groups")
