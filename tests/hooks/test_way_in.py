"""The hook that keeps machines in their security group until requests get into the next one."""

from importlib.metadata import entry_points
from typing import Any
from unittest.mock import Mock

import pytest
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from hooks import way_in
from hooks.way_in import WayIn
from spotfleet.stacks import stack_state
from tests.support import answers, sample_project
from tests.support.stacks import Aws, client_error, make_stack

RULE = {"IpProtocol": "tcp", "UserIdGroupPairs": [{"GroupId": "sg-balancer"}]}


class Upgrade:
    """The machines and load balancer of dev, of which one is asked for its state and the group for its rules."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, group: str | None, rules: list[list[dict[str, Any]]], **states: str
    ) -> None:
        self.parameters = [{"ParameterKey": "MachinesSecurityGroupId", "ParameterValue": group}] if group else []
        # What the group holds each time that it is looked at; the last for ever.
        self.rules = rules
        self.states = {"machines": "UPDATE_COMPLETE", "load_balancer": "UPDATE_COMPLETE"} | states
        self.aws = Aws({"cloudformation.describe_stacks": self.describe, "ec2.describe_security_groups": self.groups})
        monkeypatch.setattr(Stack, "connection_manager", property(lambda _: Mock(call=self.aws.call)))
        monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)

    def describe(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        layer = kwargs["StackName"].removeprefix("spotfleet-dev-").replace("-", "_")
        if self.states[layer] == "ABSENT":
            raise client_error("ValidationError", f"Stack with id {kwargs['StackName']} does not exist")
        return {"Stacks": [answers.stack(self.states[layer], Parameters=self.parameters)]}

    def groups(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        assert kwargs == {"GroupIds": ["sg-new"]}
        rules = self.rules.pop(0) if len(self.rules) > 1 else self.rules[0]
        return {"SecurityGroups": [{"IpPermissions": rules}]}

    def launch(self) -> int:
        """Launch the machines; return how often the group was looked at."""
        hook = WayIn(
            stack=make_stack("dev/machines", self.aws, sample_project.folder()),
            argument={"security_group_id": "sg-new"},
        )
        hook.run()
        return len(self.aws.called("ec2.describe_security_groups"))


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="way_in")
    assert entry_point.load() is WayIn


def test_machines_that_stay_in_their_group_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Upgrade(monkeypatch, "sg-new", [[]]).launch() == 0


@pytest.mark.parametrize("state", ["ABSENT", "ROLLBACK_COMPLETE"])
def test_a_first_launch_waits_for_nothing(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    assert Upgrade(monkeypatch, None, [[]], machines=state).launch() == 0


@pytest.mark.parametrize("group", [None, "sg-old"])
def test_machines_that_change_their_group_wait_for_the_rule(monkeypatch: pytest.MonkeyPatch, group: str | None) -> None:
    assert Upgrade(monkeypatch, group, [[], [], [RULE]]).launch() == 4


def test_a_rule_for_everybody_is_not_the_load_balancers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_in, "PATIENCE_SECONDS", 0)
    with pytest.raises(SceptreException, match="lets no load balancer in"):
        Upgrade(monkeypatch, None, [[{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]]).launch()


def test_a_rule_that_a_rollback_takes_away_again_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = Upgrade(monkeypatch, None, [[RULE], []], load_balancer="UPDATE_ROLLBACK_COMPLETE")
    with pytest.raises(SceptreException, match=r"dev/machines was not touched: .* sg-new, .*`sceptre launch dev/load"):
        upgrade.launch()
