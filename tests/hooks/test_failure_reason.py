"""The hook that ends a failed launch or deletion with the first failed resource's own reason."""

from typing import Any

import pytest
from sceptre.exceptions import SceptreException
from sceptre.plan.actions import StackActions

from hooks.failure_reason import FailureReason
from hooks.healthy_dependencies import HealthyDependencies
from spotfleet.stacks import stack_state
from tests.support import answers
from tests.support.stacks import Aws, client_error, make_stack

STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/spotfleet-dev-service/1"
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def fresh_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_state, "_updated_before", {})
    monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)


def event(logical_id: str, status: str, reason: str | None = None) -> Event:
    """Build an event of a resource, or of the stack itself when it is called `stack`."""
    of_stack = logical_id == "stack"
    found = {
        **{"StackId": STACK_ID, "StackName": "spotfleet-dev-service", "EventId": "1", "Timestamp": answers.EPOCH},
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": STACK_ID if of_stack else f"id of {logical_id}",
        "ResourceType": "AWS::CloudFormation::Stack" if of_stack else "AWS::ECS::Service",
        "ResourceStatus": status,
    }
    return found | ({"ResourceStatusReason": reason} if reason else {})


def aws(status: str, *events: Event, updated: int = 1) -> Aws:
    """Answer with a state and with events, the oldest first here, in pages of two."""
    newest_first = list(reversed(events))

    def page(kwargs: dict[str, Any]) -> dict[str, Any]:
        start = int(kwargs.get("NextToken", 0))
        more = {"NextToken": str(start + 2)} if start + 2 < len(newest_first) else {}
        return {"StackEvents": newest_first[start : start + 2], **more}

    described = answers.stack(status, LastUpdatedTime=updated)
    return Aws(
        {
            "cloudformation.describe_stacks": lambda _: {"Stacks": [described]},
            "cloudformation.describe_stack_events": page,
            "cloudformation.describe_stack_resources": lambda _: {"StackResources": []},
        }
    )


def reason(found: Aws) -> str:
    with pytest.raises(SceptreException) as caught:
        FailureReason(stack=make_stack("dev/service", found)).run()
    return str(caught.value)


@pytest.mark.parametrize("good", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"])
def test_a_good_state_needs_no_word(good: str) -> None:
    FailureReason(stack=make_stack("dev/service", aws(good))).run()


def test_a_stack_that_is_gone_needs_no_word() -> None:
    def absent(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id spotfleet-dev-service does not exist")

    FailureReason(stack=make_stack("dev/service", Aws({"cloudformation.describe_stacks": absent}))).run()


def test_a_creation_that_fails_after_the_deletion_of_an_earlier_one_is_a_failure() -> None:
    found = aws("ROLLBACK_COMPLETE", event("Service", "CREATE_FAILED", "no room"))
    failed = found.answers["cloudformation.describe_stacks"]

    def absent(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id spotfleet-dev-service does not exist")

    stack = make_stack("dev/service", found)
    found.answers["cloudformation.describe_stacks"] = absent
    FailureReason(stack=stack).run()
    found.answers["cloudformation.describe_stacks"] = failed
    with pytest.raises(SceptreException, match="no room"):
        FailureReason(stack=stack).run()


def test_the_reason_is_that_of_the_resource_that_failed_first() -> None:
    text = reason(
        aws(
            "UPDATE_ROLLBACK_COMPLETE",
            event("Old", "CREATE_FAILED", "an earlier launch"),
            event("stack", "UPDATE_IN_PROGRESS", "User Initiated"),
            event("Service", "UPDATE_IN_PROGRESS"),
            event("Topic", "CREATE_FAILED", "Resource creation cancelled"),
            event("Service", "UPDATE_FAILED", "Resource handler returned\n  message: no room"),
            event("Alarm", "CREATE_FAILED", "later"),
            event("stack", "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Service]."),
            event("Alarm", "DELETE_FAILED", "during the rollback"),
            event("stack", "UPDATE_ROLLBACK_COMPLETE"),
        )
    )
    assert text == (
        "dev/service is UPDATE_ROLLBACK_COMPLETE: Service (AWS::ECS::Service) UPDATE_FAILED: Resource handler returned "
        "message: no room. To go on, mend the cause, then launch again."
    )


def test_without_a_failed_resource_the_reason_is_the_stacks() -> None:
    text = reason(
        aws(
            "ROLLBACK_COMPLETE",
            event("stack", "CREATE_IN_PROGRESS", "User Initiated"),
            event("stack", "ROLLBACK_IN_PROGRESS", "Stack creation time exceeded the specified timeout"),
            event("stack", "ROLLBACK_COMPLETE"),
        )
    )
    assert "Stack creation time exceeded the specified timeout" in text


def test_a_failed_deletion_says_what_stayed_and_how_to_repeat_it() -> None:
    text = reason(
        aws(
            "DELETE_FAILED",
            event("stack", "DELETE_IN_PROGRESS", "User Initiated"),
            event("Service", "DELETE_FAILED", "is in use"),
            event("stack", "DELETE_FAILED", "The following resource(s) failed to delete: [Service]."),
        )
    )
    assert text.startswith("dev/service is DELETE_FAILED: Service (AWS::ECS::Service) DELETE_FAILED: is in use.")
    assert text.endswith("run `sceptre delete dev/service.yaml`.")


def test_an_old_rollback_that_this_launch_found_in_order_is_no_failure() -> None:
    stack = make_stack("dev/service", aws("UPDATE_ROLLBACK_COMPLETE", event("Service", "UPDATE_FAILED", "long ago")))
    HealthyDependencies(stack=stack).run()
    FailureReason(stack=stack).run()


def test_a_rollback_of_this_launch_is_a_failure() -> None:
    HealthyDependencies(stack=make_stack("dev/service", aws("UPDATE_COMPLETE", updated=1))).run()
    failed = event("Service", "UPDATE_FAILED", "just now")
    assert "just now" in reason(aws("UPDATE_ROLLBACK_COMPLETE", failed, updated=2))


def test_sceptre_runs_it_after_a_launch_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = aws("UPDATE_ROLLBACK_COMPLETE", event("Service", "UPDATE_FAILED", "no room"))
    stack = make_stack("dev/service", found)
    stack.hooks = {"after_launch": [FailureReason()]}
    actions = StackActions(stack)
    monkeypatch.setattr(actions, "_get_status", lambda: "UPDATE_COMPLETE")
    monkeypatch.setattr(actions, "update", lambda: "failed")
    with pytest.raises(SceptreException, match="no room"):
        actions.launch()


NO_ADDRESS = "The maximum number of addresses has been reached"


def quota_of_addresses() -> Aws:
    return aws("ROLLBACK_COMPLETE", event("Service", "CREATE_FAILED", NO_ADDRESS))


def test_the_last_line_names_the_first_cause_what_cloudformation_says_and_the_way_out() -> None:
    text = reason(quota_of_addresses())
    assert text.startswith(
        "dev/service is ROLLBACK_COMPLETE: Service of dev/service could not be made: the account has "
    )
    assert f" (Service (AWS::ECS::Service) CREATE_FAILED: {NO_ADDRESS}). To go on, ask for more in Service Quo" in text
    assert "\n" not in text


def test_the_last_line_does_nothing_to_a_terminal() -> None:
    text = reason(aws("ROLLBACK_COMPLETE", event("Service", "CREATE_FAILED", "\x1b[2Jgone")))
    assert "\\x1b[2Jgone" in text
    assert text.isprintable()


def test_an_update_that_stands_still_keeps_its_own_way_out() -> None:
    text = reason(aws("UPDATE_ROLLBACK_FAILED", event("Service", "UPDATE_FAILED", "Rate exceeded")))
    assert "launch again" in text
    assert "aws cloudformation continue-update-rollback" in text


def test_where_nothing_more_may_be_read_the_last_line_is_cloudformations() -> None:
    found = quota_of_addresses()
    described = found.answers["cloudformation.describe_stacks"]
    asked = []

    def later_denied(kwargs: dict[str, Any]) -> dict[str, Any]:
        asked.append(kwargs)
        if len(asked) > 1:
            raise client_error("Throttling")
        return described(kwargs)

    found.answers["cloudformation.describe_stacks"] = later_denied
    assert reason(found).endswith("has been reached. To go on, mend the cause, then launch again.")
