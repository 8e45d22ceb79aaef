"""What Sceptre makes of the sample's config/ and our wiring: stacks, their names, order, tags and hooks."""

import re

import pytest
from sceptre.plan.plan import SceptrePlan

from tests.support.sample_project import ENVIRONMENTS, plan

LAYERS = {"vpc", "load-balancer", "cluster", "machines", "service"}
LAUNCH_ORDER = [{"vpc", "cluster"}, {"load-balancer", "machines"}, {"service"}]
HOOKS_BEFORE_LAUNCH = ["ValidSettings", "SafeChanges", "HealthyDependencies"]
HOOKS_OF_LAYERS = {
    "vpc": ["AdministratorPolicies", "ReplacedMachines"],
    "load-balancer": ["PlainHttp"],
    "machines": ["AdministratorPolicies", "WayIn", "ReplacedMachines"],
    "service": ["AdministratorPolicies", "WatchedTasks", "DockerImage"],
}
HOOKS_BEFORE_DELETE = ["NoDependants", "DeletionProtection"]
HOOKS_BEFORE_DELETE_OF_LAYERS = {"machines": ["EmptyFleet"]}


def order(environment: str, command: str, *, reverse: bool = False) -> list[set[str]]:
    """Return the layers in the batches in which Sceptre works on them."""
    resolved: SceptrePlan = plan(environment)
    resolved.resolve(command, reverse)
    return [{stack.name.removeprefix(f"{environment}/") for stack in batch} for batch in resolved.launch_order]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_stack_names_are_valid_and_tell_project_environment_and_layer(environment: str) -> None:
    for stack in plan(environment).graph:
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,127}", stack.external_name)
        assert stack.external_name == f"spotfleet-{stack.name.replace('/', '-')}"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_launches_each_layer_after_what_it_builds_on(environment: str) -> None:
    assert order(environment, "launch") == LAUNCH_ORDER


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_deletes_the_service_first_and_the_network_last(environment: str) -> None:
    batches = order(environment, "delete", reverse=True)
    assert batches[:2] == [{"service"}, {"load-balancer", "machines"}]
    assert batches.index(next(batch for batch in batches if "vpc" in batch)) == len(batches) - 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_stacks_carry_the_tags_that_bills_are_split_by(environment: str) -> None:
    for stack in plan(environment).graph:
        assert stack.tags["Project"] == "spotfleet"
        assert stack.tags["Environment"] == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_has_hooks_of_its_own(environment: str) -> None:
    # Hooks inherited from a config.yaml are shared objects in Sceptre 4.7 and act for the wrong stack.
    for stack in plan(environment).graph:
        for hooks in stack.hooks.values():
            assert all(hook.stack is stack for hook in hooks)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_is_checked_before_a_launch_and_protected_from_deletion(environment: str) -> None:
    for stack in plan(environment).graph:
        layer = stack.name.rpartition("/")[2]
        assert [type(hook).__name__ for hook in stack.hooks["before_launch"]] == [
            *HOOKS_BEFORE_LAUNCH,
            *HOOKS_OF_LAYERS.get(layer, []),
        ]
        assert [type(hook).__name__ for hook in stack.hooks["before_delete"]] == [
            *HOOKS_BEFORE_DELETE,
            *HOOKS_BEFORE_DELETE_OF_LAYERS.get(layer, []),
        ]
        own = ["ClosedDefaultSecurityGroup"] if layer == "vpc" else []
        assert [type(hook).__name__ for hook in stack.hooks["after_launch"]] == [
            "FailureReason",
            *own,
            "TerminationProtection",
        ]
        assert [type(hook).__name__ for hook in stack.hooks["after_delete"]] == ["FailureReason"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_launch_of_a_service_without_room_ends(environment: str) -> None:
    # Tasks that wait for a machine never trip the circuit breaker.
    service = next(stack for stack in plan(environment).graph if stack.name.endswith("/service"))
    assert 0 < service.stack_timeout <= 60
