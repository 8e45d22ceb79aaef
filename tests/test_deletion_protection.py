"""The hook that lets a protected environment go only when a person names it."""

from collections.abc import Callable
from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks.deletion_protection import DeletionProtection
from tests.stacks import Aws, client_error, make_stack


def resources(*types: str) -> dict[str, Any]:
    return {"StackResources": [{"ResourceType": name, "PhysicalResourceId": f"id of {name}"} for name in types]}


def stack_in(status: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda _: {"Stacks": [{"StackStatus": status}]}


def delete(aws: Aws, protected: bool) -> None:
    DeletionProtection(stack=make_stack("prod/cluster", aws, deletion_protection=protected)).run()


def test_an_unprotected_environment_goes_without_a_word() -> None:
    aws = Aws({})
    delete(aws, protected=False)
    assert aws.calls == []


@pytest.mark.parametrize("confirmation", ["", "dev", "yes"])
def test_a_protected_environment_stays_and_the_message_says_how_to_delete_it(
    monkeypatch: pytest.MonkeyPatch, confirmation: str
) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", confirmation)
    aws = Aws({"cloudformation.describe_stacks": stack_in("UPDATE_COMPLETE")})
    with pytest.raises(SceptreException, match=r"prod is protected: .*CONFIRM_DELETE=prod sceptre delete prod$"):
        delete(aws, protected=True)
    assert [name for name, _ in aws.calls] == ["cloudformation.describe_stacks"]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_launch_may_delete_a_stack_whose_creation_failed(status: str) -> None:
    # Sceptre deletes it to create it anew: a first launch that failed must be repeatable without a confirmation.
    answers = {"cloudformation.describe_stacks": stack_in(status)}
    aws = Aws(answers | {"cloudformation.describe_stack_resources": lambda _: resources()})
    delete(aws, protected=True)


def test_a_confirmed_deletion_lifts_the_load_balancers_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", "prod")
    balancer = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    aws = Aws(
        {
            "cloudformation.describe_stack_resources": lambda _: resources("AWS::EC2::SecurityGroup", balancer),
            "elbv2.modify_load_balancer_attributes": lambda _: {},
        }
    )
    delete(aws, protected=True)
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
            "cloudformation.describe_stack_resources": lambda _: resources("AWS::ECR::Repository"),
            "ecr.list_images": lambda _: {"imageIds": pages[0] if pages else []},
            "ecr.batch_delete_image": delete_image,
        }
    )
    delete(aws, protected=True)
    assert pages == []


def test_a_stack_that_is_gone_already_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM_DELETE", "prod")

    def absent(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id spotfleet-prod-cluster does not exist")

    delete(Aws({"cloudformation.describe_stack_resources": absent}), protected=True)
