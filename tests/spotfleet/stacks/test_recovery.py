"""What the launch of a stuck stack does first."""

from typing import Any

import pytest
from sceptre.plan.actions import StackActions

from hooks.healthy_dependencies import HealthyDependencies
from spotfleet.stacks import recovery, stack_state
from tests.support import answers
from tests.support.stacks import Aws, client_error, make_stack


class CloudFormation:
    """One stack, whose way out from its state leads to another one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before: str, after: str | None) -> None:
        monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)
        monkeypatch.setattr(stack_state, "_updated_before", {})
        monkeypatch.setattr(StackActions, "delete", lambda _self: self.move({"deleted": True}))
        self.status: str | None = before
        self.after = after
        self.moves: list[dict[str, Any]] = []
        self.aws = Aws(
            {
                "cloudformation.describe_stacks": self.describe,
                "cloudformation.describe_stack_events": lambda _: {"StackEvents": []},
                "cloudformation.continue_update_rollback": self.move,
                "cloudformation.rollback_stack": self.move,
            }
        )

    def describe(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if self.status is None:
            raise client_error("ValidationError", f"Stack with id {kwargs['StackName']} does not exist")
        return {"Stacks": [answers.stack(self.status, LastUpdatedTime=answers.EPOCH)]}

    def move(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        self.moves.append(kwargs)
        self.status = self.after
        return {}


@pytest.mark.parametrize(
    ("before", "after", "call"),
    [
        ("ROLLBACK_FAILED", None, None),
        ("DELETE_FAILED", None, None),
        ("UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE", "continue_update_rollback"),
        ("UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "rollback_stack"),
    ],
)
def test_a_launch_finishes_what_was_begun_on_a_stuck_stack(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str | None, call: str | None
) -> None:
    cloudformation = CloudFormation(monkeypatch, before, after)
    stack = make_stack("dev/machines", cloudformation.aws)
    stack.cloudformation_service_role = "arn:aws:iam::123456789012:role/cloudformation"
    HealthyDependencies(stack=stack).run()
    assert len(cloudformation.moves) == 1
    if call:
        given = {"StackName": "spotfleet-dev-machines", "RoleARN": stack.cloudformation_service_role}
        assert cloudformation.aws.called(f"cloudformation.{call}") == [given]
    # The hook at the end of the launch then knows this rollback as an old one.
    assert after is None or stack_state.is_healthy(stack, stack_state.describe(stack))


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_any_other_stack_is_left_alone(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    cloudformation = CloudFormation(monkeypatch, status, None)
    description = {"StackStatus": status}
    stack = make_stack("dev/vpc", cloudformation.aws)
    assert recovery.recover(stack, description, HealthyDependencies.logger) is description
    assert cloudformation.aws.calls == []
