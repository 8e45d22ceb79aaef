"""Stacks that are launched with `sceptre --ignore-dependencies`."""

import pytest
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan
from sceptre.resolvers.stack_output import StackOutput

from hooks import ignored_dependencies
from tests.support import sample_project


@pytest.mark.parametrize(
    ("layer", "dependencies"),
    [("vpc", []), ("load-balancer", ["dev/vpc"]), ("machines", ["dev/cluster", "dev/vpc"])],
)
def test_a_stack_knows_its_dependencies_again(layer: str, dependencies: list[str]) -> None:
    plan = SceptrePlan(SceptreContext(str(sample_project.folder()), f"dev/{layer}.yaml", ignore_dependencies=True))
    plan.resolve("launch")
    (stack,) = plan.command_stacks
    assert stack.dependencies == []
    ignored_dependencies.recall(stack)
    assert sorted(found.name for found in stack.dependencies) == dependencies


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("layer", ["vpc", "cluster", "load-balancer", "machines", "service"])
def test_a_diff_of_one_stack_knows_them_too(environment: str, layer: str) -> None:
    context = SceptreContext(str(sample_project.folder()), f"{environment}/{layer}.yaml", ignore_dependencies=True)
    plan = SceptrePlan(context)
    plan.resolve("diff")
    (stack,) = plan.command_stacks
    for hook in stack.hooks.get("before_diff", []):
        hook.run()
    outputs = [value for value in stack.config["parameters"].values() if isinstance(value, StackOutput)]
    assert bool(stack.dependencies) == bool(outputs)
