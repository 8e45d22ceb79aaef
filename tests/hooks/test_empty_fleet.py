"""The hook that takes the machines away before their capacity provider goes."""

import logging
from importlib.metadata import entry_points
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hooks import empty_fleet
from hooks.empty_fleet import EmptyFleet
from spotfleet.stacks import stack_state
from tests.support import answers
from tests.support.stacks import Answer, Aws, client_error, make_stack

RESOURCES = [
    answers.resource("AWS::EC2::LaunchTemplate", "lt-1"),
    answers.resource("AWS::AutoScaling::AutoScalingGroup", "fleet"),
]


class Fleet:
    """An Auto Scaling group whose machines wait, once they are to go, for somebody to complete the lifecycle hook."""

    def __init__(self, *machines: str, **other: Answer) -> None:
        self.states = dict.fromkeys(machines, "InService")
        known: dict[str, Answer] = {
            "cloudformation.describe_stacks": lambda _: {"Stacks": [answers.stack("UPDATE_COMPLETE")]},
            "cloudformation.describe_stack_resources": lambda _: {"StackResources": RESOURCES},
            "autoscaling.describe_auto_scaling_groups": self.describe,
            "autoscaling.update_auto_scaling_group": self.update,
            "autoscaling.complete_lifecycle_action": self.complete,
        }
        self.aws = Aws(known | {name.replace("__", "."): answer for name, answer in other.items()})

    def describe(self, _: dict[str, Any]) -> dict[str, Any]:
        instances = [answers.member(name, LifecycleState=state) for name, state in self.states.items()]
        return {"AutoScalingGroups": [answers.group(Instances=instances)]}

    def update(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        assert (kwargs["MinSize"], kwargs["DesiredCapacity"]) == (0, 0)
        self.states = dict.fromkeys(self.states, "Terminating:Wait")
        return {}

    def complete(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        place = kwargs["LifecycleHookName"], kwargs["LifecycleActionResult"]
        assert place == empty_fleet.WAITING[self.states[kwargs["InstanceId"]]]
        del self.states[kwargs["InstanceId"]]
        return {}

    def delete(self) -> None:
        EmptyFleet(stack=make_stack("dev/machines", self.aws)).run()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="empty_fleet")
    assert entry_point.load() is EmptyFleet


def test_every_machine_is_let_go_before_the_stack_is_deleted() -> None:
    fleet = Fleet("i-1", "i-2")
    fleet.delete()
    assert fleet.states == {}
    assert "MaxSize" not in fleet.aws.called("autoscaling.update_auto_scaling_group")[0]


def test_a_machine_that_has_not_joined_yet_is_not_waited_for() -> None:
    def update(_: dict[str, Any]) -> dict[str, Any]:
        fleet.states["i-1"] = "Pending:Wait"
        return {}

    fleet = Fleet("i-1", autoscaling__update_auto_scaling_group=update)
    fleet.delete()
    assert fleet.states == {}


def test_a_group_without_machines_is_left_alone() -> None:
    fleet = Fleet()
    fleet.delete()
    assert not fleet.aws.called("autoscaling.update_auto_scaling_group")


def test_a_machine_that_ecs_lets_go_first_is_no_error() -> None:
    def refuse(kwargs: dict[str, Any]) -> dict[str, Any]:
        del fleet.states[kwargs["InstanceId"]]
        raise client_error("ValidationError", "No active Lifecycle Action found with instance ID i-1")

    fleet = Fleet("i-1", autoscaling__complete_lifecycle_action=refuse)
    fleet.delete()
    assert fleet.states == {}


def test_a_machine_that_does_not_go_is_left_to_cloudformation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(empty_fleet, "PATIENCE_SECONDS", 0)
    Fleet("i-1").delete()
    assert "CloudFormation waits for them" in caplog.messages[-1]


def test_a_role_that_may_not_empty_it_is_told_of_and_the_deletion_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "UpdateAutoScalingGroup")

    fleet = Fleet("i-1", autoscaling__update_auto_scaling_group=refuse)
    with caplog.at_level(logging.WARNING):
        fleet.delete()
    assert "lacks autoscaling:UpdateAutoScalingGroup" in caplog.text


def test_another_error_stops_the_deletion() -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ScalingActivityInProgress")

    with pytest.raises(ClientError, match="ScalingActivityInProgress"):
        Fleet("i-1", autoscaling__update_auto_scaling_group=refuse).delete()


def test_a_stack_that_is_gone_has_no_machines() -> None:
    def absent(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id spotfleet-dev-machines does not exist")

    fleet = Fleet("i-1", cloudformation__describe_stacks=absent)
    fleet.delete()
    assert fleet.states == {"i-1": "InService"}
