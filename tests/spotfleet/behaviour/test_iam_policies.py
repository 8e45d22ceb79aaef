"""Whether IAM lets a role do something (rule N3)."""

from typing import Any

import pytest

from spotfleet.behaviour.iam_policies import Policies, Question, is_allowed

ROLE = "arn:aws:iam::123456789012:role/worker"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
CONTEXT = {"aws:SecureTransport": "true", "aws:RequestedRegion": "eu-west-1"}
RECEIVE = Question(ROLE, "sqs:ReceiveMessage", QUEUE, CONTEXT)


def document(effect: str = "Allow", action: Any = "sqs:*", resource: Any = "*", **more: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    """Return a policy of one statement."""
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


def allows(*documents: dict[str, Any], **others: dict[str, Any]) -> bool:
    """Return whether a role with these policies may receive."""
    return is_allowed(RECEIVE, Policies([*documents], **others))


def test_nothing_is_allowed_that_no_policy_allows() -> None:
    assert not allows()
    assert not allows(document(action="sqs:SendMessage"))
    assert not allows(document(resource="arn:aws:sqs:eu-west-1:123456789012:others"))


@pytest.mark.parametrize("action", ["*", "sqs:*", "SQS:receivemessage", "sqs:Receive?essage", ["s3:*", "sqs:Rec*"]])
def test_an_action_is_named_in_any_case_and_with_wildcards(action: Any) -> None:  # noqa: ANN401  # a text or a list
    assert allows(document(action=action))


@pytest.mark.parametrize("resource", ["*", QUEUE, "arn:aws:sqs:*:*:jobs", "arn:aws:sqs:eu-west-1:123456789012:j*"])
def test_a_resource_is_named_with_wildcards(resource: str) -> None:
    assert allows(document(resource=resource))


@pytest.mark.parametrize(
    "resource", [QUEUE.upper(), "arn:aws:sqs:*", "arn:aws:*:jobs", "arn:*", "arn:aws:sqs:eu-west-1:*jobs"]
)
def test_a_wildcard_reaches_over_no_colon(resource: str) -> None:
    assert not allows(document(resource=resource))


def test_a_denial_outweighs_wherever_it_stands() -> None:
    denial = document("Deny", "sqs:ReceiveMessage")
    assert not allows(document(), denial)
    assert not allows(document(), boundary={"Statement": [*document()["Statement"], *denial["Statement"]]})
    assert not allows(document(), of_resource=document("Deny", Principal="*"))
    assert not allows(document(), of_resource=document("Deny", Principal={"AWS": ROLE}))


def test_a_boundary_has_to_allow_as_well_and_allows_nothing_by_itself() -> None:
    assert allows(document(), boundary=document(action="sqs:Receive*"))
    assert not allows(document(), boundary=document(action="s3:*"))
    assert not allows(document(), boundary={})
    assert not allows(boundary=document())


def test_a_resource_policy_gives_nothing_and_takes_nothing_from_others() -> None:
    assert not allows(of_resource=document(Principal="*"))
    assert allows(document(), of_resource=document("Deny", Principal={"Service": "events.amazonaws.com"}))
    # A session of a role, or a role's unique id: it may be this one.
    assert not allows(document(), of_resource=document("Deny", Principal={"AWS": "AROAEXAMPLE"}))


def test_all_but_some() -> None:
    assert allows({"Statement": {"Effect": "Allow", "NotAction": "s3:*", "NotResource": "arn:aws:sqs:*:*:others"}})
    assert not allows({"Statement": {"Effect": "Allow", "NotAction": "sqs:*", "Resource": "*"}})
    assert not allows({"Statement": {"Effect": "Allow", "Action": "sqs:*", "NotResource": QUEUE}})


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        ({"StringEquals": {"AWS:requestedregion": ["us-east-1", "eu-west-1"]}}, True),
        ({"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}, False),
        ({"StringLike": {"aws:RequestedRegion": "eu-*"}, "Bool": {"aws:SecureTransport": "false"}}, False),
        ({"StringLikeIfExists": {"aws:RequestedRegion": "eu-*"}}, True),
    ],
)
def test_conditions_on_what_is_known(condition: dict[str, Any], met: bool) -> None:
    assert allows(document(Condition=condition)) is met
    assert allows(document(), document("Deny", Condition=condition)) is not met


@pytest.mark.parametrize(
    "unknown",
    [
        {"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
        {"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}},
        {"Condition": {"ForAllValues:StringEquals": {"aws:RequestedRegion": "eu-west-1"}}},
        {"Condition": {"StringEquals": {"aws:RequestedRegion": "${aws:PrincipalTag/region}"}}},
        {"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:root"}},
    ],
)
def test_what_is_not_understood_is_never_to_the_roles_advantage(unknown: dict[str, Any]) -> None:
    assert not allows(document(**unknown))
    assert not allows(document(), document("Deny", **unknown))


def test_a_variable_in_a_resource_is_not_understood() -> None:
    variable = "arn:aws:sqs:eu-west-1:123456789012:${aws:username}"
    assert not allows(document(resource=variable))
    assert not allows(document(), document("Deny", resource=variable))
