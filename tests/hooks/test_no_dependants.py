"""The hook that keeps a stack while another one still builds on it."""

import re
from typing import Any
from unittest.mock import Mock

import pytest
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from hooks.no_dependants import NoDependants
from spotfleet.stacks import stack_state
from tests.support import answers, sample_project
from tests.support.stacks import Aws, client_error, make_stack


class Environment:
    """The stacks of dev, in the states that the test gives them; those it does not name do not exist."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: str) -> None:
        self.states = states
        self.aws = Aws({"cloudformation.describe_stacks": self.describe})
        # The hook reads the environment anew, so its stacks are not the ones that this test makes.
        monkeypatch.setattr(Stack, "connection_manager", property(lambda _: Mock(call=self.aws.call)))
        monkeypatch.setattr(stack_state, "POLL_SECONDS", 0)

    def describe(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        layer = kwargs["StackName"].removeprefix("spotfleet-dev-").replace("-", "_")
        if layer not in self.states:
            raise client_error("ValidationError", f"Stack with id {kwargs['StackName']} does not exist")
        return {"Stacks": [answers.stack(self.states[layer])]}

    def delete(self, layer: str) -> None:
        NoDependants(stack=make_stack(f"dev/{layer}", self.aws, sample_project.folder())).run()


@pytest.mark.parametrize(
    ("layer", "dependant", "status"),
    [
        ("machines", "service", "DELETE_FAILED"),
        ("vpc", "machines", "UPDATE_COMPLETE"),
        ("cluster", "machines", "ROLLBACK_COMPLETE"),
    ],
)
def test_refuses_and_names_the_stack_that_is_still_there(
    monkeypatch: pytest.MonkeyPatch, layer: str, dependant: str, status: str
) -> None:
    environment = Environment(monkeypatch, **{layer: "CREATE_COMPLETE", dependant: status})
    text = f"dev/{layer} was not deleted: dev/{dependant}, which builds on it, still exists and is {status}. "
    with pytest.raises(SceptreException, match=re.escape(text) + f".*sceptre delete dev/{dependant}.yaml"):
        environment.delete(layer)


def test_lets_a_stack_go_that_nothing_builds_on_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(monkeypatch, vpc="CREATE_COMPLETE", cluster="CREATE_COMPLETE")
    environment.delete("vpc")
    assert {call["StackName"] for call in environment.aws.called("cloudformation.describe_stacks")} >= {
        "spotfleet-dev-vpc",
        "spotfleet-dev-machines",
        "spotfleet-dev-service",
        "spotfleet-dev-load-balancer",
    }


def test_sees_dependants_when_sceptre_is_told_to_ignore_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(monkeypatch, vpc="CREATE_COMPLETE", machines="CREATE_COMPLETE")
    stacks = SceptrePlan(SceptreContext(str(sample_project.folder()), "dev", ignore_dependencies=True)).graph
    vpc = next(stack for stack in stacks if stack.name == "dev/vpc")
    with pytest.raises(SceptreException, match="dev/machines, which builds on it"):
        NoDependants(stack=vpc).run()
    assert environment.aws.calls


def test_a_launch_may_replace_a_stack_whose_creation_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    Environment(monkeypatch, vpc="ROLLBACK_COMPLETE", machines="CREATE_COMPLETE").delete("vpc")
