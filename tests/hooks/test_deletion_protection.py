"""The hooks that protect an environment after each launch, and let it go only when a person names it."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from sceptre.exceptions import SceptreException
from sceptre.plan.actions import StackActions

from hooks.deletion_protection import DeletionProtection
from hooks.termination_protection import TerminationProtection
from tests.support import answers
from tests.support.stacks import Answer, Aws, client_error, make_stack

UPDATE = "cloudformation.update_termination_protection"


def resources(*types: str) -> dict[str, Any]:
    return {"StackResources": [answers.resource(name, f"id of {name}") for name in types]}


def stack_in(status: str, protected: bool = False) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda _: {"Stacks": [answers.stack(status, EnableTerminationProtection=protected)]}


def absent(_: dict[str, Any]) -> dict[str, Any]:
    raise client_error("ValidationError", "Stack with id spotfleet-prod-cluster does not exist")


def holding(*types: str, protected: bool = False) -> dict[str, Answer]:
    """Answer as a stack that holds one resource of each type."""
    return {
        "cloudformation.describe_stacks": stack_in("UPDATE_COMPLETE", protected),
        "cloudformation.describe_stack_resources": lambda _: resources(*types),
        "cloudformation.update_termination_protection": lambda _: {},
    }


def delete(aws: Aws, protected: bool) -> None:
    DeletionProtection(stack=make_stack("prod/cluster", aws, deletion_protection=protected)).run()


@pytest.mark.parametrize("found", [stack_in("UPDATE_COMPLETE"), absent])
def test_an_unprotected_environment_goes_without_a_word(found: Answer) -> None:
    aws = Aws({"cloudformation.describe_stacks": found})
    delete(aws, protected=False)
    assert [name for name, _ in aws.calls] == ["cloudformation.describe_stacks"]


@pytest.mark.parametrize("confirmation", ["", "dev", "yes"])
def test_a_protected_environment_stays_and_the_message_says_how_to_delete_it(
    monkeypatch: pytest.MonkeyPatch, confirmation: str
) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", confirmation)
    aws = Aws({"cloudformation.describe_stacks": stack_in("UPDATE_COMPLETE", protected=True)})
    with pytest.raises(SceptreException, match=r"prod is protected: .*CONFIRM_DELETE=prod sceptre delete prod$"):
        delete(aws, protected=True)
    assert [name for name, _ in aws.calls] == ["cloudformation.describe_stacks"]


def test_an_environment_stays_protected_until_a_launch_with_the_changed_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = Aws(holding(protected=True))
    with pytest.raises(SceptreException, match="prod is protected: deletion_protection was true at its last launch"):
        delete(aws, protected=False)
    monkeypatch.setenv("CONFIRM_DELETE", "prod")
    delete(aws, protected=False)
    assert [call["EnableTerminationProtection"] for call in aws.called(UPDATE)] == [False]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_launch_may_delete_a_stack_whose_creation_failed(status: str) -> None:
    # Sceptre deletes it to create it anew: a first launch that failed must be repeatable without a confirmation.
    delete(Aws({**holding(), "cloudformation.describe_stacks": stack_in(status)}), protected=True)


def test_a_confirmed_deletion_lifts_the_protection_of_stack_and_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", "prod")
    balancer = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    aws = Aws(
        {
            **holding("AWS::EC2::SecurityGroup", balancer, protected=True),
            "elbv2.modify_load_balancer_attributes": lambda _: {},
        }
    )
    delete(aws, protected=True)
    assert aws.called(UPDATE) == [{"StackName": "spotfleet-prod-cluster", "EnableTerminationProtection": False}]
    assert aws.called("elbv2.modify_load_balancer_attributes") == [
        {
            "LoadBalancerArn": f"id of {balancer}",
            "Attributes": [{"Key": "deletion_protection.enabled", "Value": "false"}],
        }
    ]


def test_a_confirmed_deletion_empties_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", "prod")
    pages = [[{"imageTag": "a"}], [{"imageTag": "b"}]]

    def delete_image(kwargs: dict[str, Any]) -> dict[str, Any]:
        pages.remove(kwargs["imageIds"])
        return {}

    aws = Aws(
        {
            **holding("AWS::ECR::Repository"),
            "ecr.list_images": lambda _: {"imageIds": pages[0] if pages else []},
            "ecr.batch_delete_image": delete_image,
        }
    )
    delete(aws, protected=True)
    assert pages == []


def test_a_stack_that_is_gone_already_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", "prod")
    delete(Aws({"cloudformation.describe_stacks": absent}), protected=True)


@pytest.mark.parametrize(
    ("wanted", "found", "switched"),
    [(True, False, [True]), (False, True, [False]), (True, True, []), (False, False, [])],
)
def test_a_launch_makes_termination_protection_what_the_setting_says(
    wanted: bool, found: bool, switched: list[bool]
) -> None:
    aws = Aws(holding(protected=found))
    stack = make_stack("prod/cluster", aws, deletion_protection=wanted)
    stack.hooks = {"after_launch": [TerminationProtection()]}
    actions = StackActions(stack)
    with patch.object(actions, "_get_status", lambda: "UPDATE_COMPLETE"), patch.object(actions, "update", lambda: None):
        actions.launch()
    assert [call["EnableTerminationProtection"] for call in aws.called(UPDATE)] == switched
