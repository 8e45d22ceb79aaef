"""Stacks that are launched with `sceptre --ignore-dependencies`."""

import pytest
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan

from hooks import ignored_dependencies
from local import environment


@pytest.mark.parametrize(
    ("layer", "dependencies"),
    [("vpc", []), ("load-balancer", ["dev/vpc"]), ("machines", ["dev/cluster", "dev/vpc"])],
)
def test_a_stack_knows_its_dependencies_again(layer: str, dependencies: list[str]) -> None:
    plan = SceptrePlan(SceptreContext(str(environment.ROOT), f"dev/{layer}.yaml", ignore_dependencies=True))
    plan.resolve("launch")
    (stack,) = plan.command_stacks
    assert stack.dependencies == []
    ignored_dependencies.recall(stack)
    assert sorted(found.name for found in stack.dependencies) == dependencies
