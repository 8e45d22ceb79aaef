"""The hook that keeps a launch from building on a stack that is not in a good state."""

from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks.healthy_dependencies import HealthyDependencies
from spotfleet.stacks import recovery, stack_state
from tests.support import answers
from tests.support.stacks import Aws, client_error, make_stack

Description = dict[str, Any]


EVENTS = [
    {
        **{"StackId": "arn", "StackName": "machines", "EventId": "1", "Timestamp": answers.EPOCH},
        "PhysicalResourceId": "i-1",
        "LogicalResourceId": "Machine",
        "ResourceType": "AWS::EC2::Instance",
        "ResourceStatus": "DELETE_FAILED",
        "ResourceStatusReason": "it may\n not be terminated",
    }
]
REASON = "Machine (AWS::EC2::Instance) DELETE_FAILED: it may not be terminated"


class CloudFormation:
    """Answers describe_stacks with each stack's descriptions one after the other; the last one stays."""

    def __init__(self, **descriptions: list[Description | None]) -> None:
        self.descriptions = descriptions
        self.aws = Aws(
            {
                "cloudformation.describe_stacks": self.describe,
                "cloudformation.describe_stack_events": lambda _: {"StackEvents": EVENTS},
            }
        )

    def describe(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        layer = kwargs["StackName"].rpartition("-")[2]
        queue = self.descriptions[layer]
        description = queue.pop(0) if len(queue) > 1 else queue[0]
        if description is None:
            raise client_error("ValidationError", f"Stack with id {kwargs['StackName']} does not exist")
        return {"Stacks": [description]}


def status(name: str, updated: int = 0) -> Description:
    return answers.stack(name, LastUpdatedTime=updated)


@pytest.fixture(autouse=True)
def fresh_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_state, "_updated_before", {})
    monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)


def run_for_service(cloudformation: CloudFormation) -> None:
    """Run the hook as a launch does: for the dependency first, then for the service that builds on it."""
    machines = make_stack("dev/machines", cloudformation.aws)
    service = make_stack("dev/service", cloudformation.aws)
    service.dependencies = [machines]
    HealthyDependencies(stack=machines).run()
    HealthyDependencies(stack=service).run()


@pytest.mark.parametrize("good", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"])
def test_passes_when_all_it_builds_on_is_good(good: str) -> None:
    run_for_service(CloudFormation(machines=[status(good)], service=[None]))


CONTINUE = "aws cloudformation continue-update-rollback --stack-name spotfleet-dev-machines --region eu-west-1"
GIVE_UP = f"{CONTINUE} --resources-to-skip <its name>"


@pytest.mark.parametrize(
    ("bad", "way_out"),
    [
        ("ROLLBACK_COMPLETE", "mend the cause, then launch again"),
        ("CREATE_FAILED", "mend the cause, then launch again"),
        ("UPDATE_ROLLBACK_FAILED", f"launch again, or give up the resource that does not go back: `{GIVE_UP}`"),
        ("UPDATE_FAILED", "mend the cause, then launch again"),
        ("DELETE_FAILED", "mend the cause, then launch again, or run `sceptre delete dev/machines.yaml`"),
        ("ROLLBACK_FAILED", "mend the cause, then launch again, or run `sceptre delete dev/machines.yaml`"),
    ],
)
def test_refuses_to_build_on_a_failed_stack_and_says_how_to_go_on(bad: str, way_out: str) -> None:
    cloudformation = CloudFormation(machines=[status(bad)], service=[None])
    machines, service = make_stack("dev/machines", cloudformation.aws), make_stack("dev/service", cloudformation.aws)
    service.dependencies = [machines]
    with pytest.raises(SceptreException) as caught:
        HealthyDependencies(stack=service).run()
    assert str(caught.value).startswith(f"dev/service was not touched: it builds on dev/machines, which is {bad}. ")
    assert str(caught.value).endswith(f"{way_out}.")


@pytest.mark.parametrize("stuck", ["UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED"])
def test_a_launch_of_a_stack_that_stays_stuck_says_its_state_the_reason_and_the_way_out(
    stuck: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "recover", lambda _stack, description, _logger: description)
    stack = make_stack("dev/machines", CloudFormation(machines=[status(stuck)]).aws)
    with pytest.raises(SceptreException) as caught:
        HealthyDependencies(stack=stack).run()
    text = str(caught.value)
    assert text.startswith(f"dev/machines was not touched: it is {stuck}, because {REASON}. To go on, ")
    assert "mend the cause, then launch again" in text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("ROLLBACK_COMPLETE", "dev/machines - Stack is ROLLBACK_COMPLETE: a launch deletes it and creates it anew"),
        ("UPDATE_ROLLBACK_COMPLETE", f"dev/machines - The last update was rolled back, because {REASON}"),
    ],
)
def test_a_launch_after_a_failure_that_it_can_mend_itself_says_so(
    found: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        HealthyDependencies(stack=make_stack("dev/machines", CloudFormation(machines=[status(found)]).aws)).run()
    assert said in caplog.messages


def test_a_change_that_does_not_end_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_state, "PATIENCE_SECONDS", 0)
    cloudformation = CloudFormation(machines=[status("UPDATE_IN_PROGRESS")], service=[None])
    machines, service = make_stack("dev/machines", cloudformation.aws), make_stack("dev/service", cloudformation.aws)
    service.dependencies = [machines]
    with pytest.raises(SceptreException, match="builds on dev/machines, which is UPDATE_IN_PROGRESS"):
        HealthyDependencies(stack=service).run()
    with pytest.raises(SceptreException, match="dev/machines was not touched: it is UPDATE_IN_PROGRESS"):
        HealthyDependencies(stack=machines).run()


def test_refuses_to_build_on_an_absent_stack() -> None:
    with pytest.raises(SceptreException, match="it builds on dev/machines, which is ABSENT"):
        run_for_service(CloudFormation(machines=[None], service=[None]))


def test_refuses_to_build_on_an_update_that_was_rolled_back_in_this_run() -> None:
    machines = [status("UPDATE_COMPLETE", updated=1), status("UPDATE_ROLLBACK_COMPLETE", updated=2)]
    with pytest.raises(SceptreException, match="which is UPDATE_ROLLBACK_COMPLETE"):
        run_for_service(CloudFormation(machines=list(machines), service=[None]))


def test_an_old_rollback_that_this_run_found_in_order_is_no_obstacle() -> None:
    run_for_service(CloudFormation(machines=[status("UPDATE_ROLLBACK_COMPLETE", updated=1)], service=[None]))


def test_waits_for_the_change_that_an_interrupted_launch_left() -> None:
    machines = [status("CREATE_IN_PROGRESS"), status("CREATE_IN_PROGRESS"), status("CREATE_COMPLETE")]
    service: list[Description | None] = [status("DELETE_IN_PROGRESS"), None]
    cloudformation = CloudFormation(machines=list(machines), service=service)
    run_for_service(cloudformation)
    assert len(cloudformation.aws.calls) == 6


def test_an_error_of_aws_is_not_taken_for_an_absent_stack() -> None:
    def throttled(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("Throttling")

    stack = make_stack("dev/vpc", Aws({"cloudformation.describe_stacks": throttled}))
    with pytest.raises(Exception, match="Throttling"):
        HealthyDependencies(stack=stack).run()
