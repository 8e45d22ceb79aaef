"""The hook that keeps a launch from building on a stack that is not in a good state."""

from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks import healthy_dependencies
from hooks.healthy_dependencies import HealthyDependencies
from tests.stacks import Aws, client_error, make_stack

Description = dict[str, Any]


class CloudFormation:
    """Answers describe_stacks with each stack's descriptions one after the other; the last one stays."""

    def __init__(self, **descriptions: list[Description | None]) -> None:
        self.descriptions = descriptions
        self.aws = Aws({"cloudformation.describe_stacks": self.describe})

    def describe(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        layer = kwargs["StackName"].rpartition("-")[2]
        queue = self.descriptions[layer]
        description = queue.pop(0) if len(queue) > 1 else queue[0]
        if description is None:
            raise client_error("ValidationError", f"Stack with id {kwargs['StackName']} does not exist")
        return {"Stacks": [description]}


def status(name: str, updated: int = 0) -> Description:
    return {"StackStatus": name, "LastUpdatedTime": updated}


@pytest.fixture(autouse=True)
def fresh_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HealthyDependencies, "_updated_before_launch", {})
    monkeypatch.setattr(healthy_dependencies, "POLL_SECONDS", 0)


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


@pytest.mark.parametrize("bad", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"])
def test_refuses_to_build_on_a_failed_stack_and_names_it(bad: str) -> None:
    message = f"dev/service was not touched: it builds on dev/machines, which is {bad}"
    with pytest.raises(SceptreException, match=message):
        run_for_service(CloudFormation(machines=[status(bad)], service=[None]))


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
