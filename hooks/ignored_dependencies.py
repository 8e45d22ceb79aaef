"""The hook !ignored_dependencies, and what it does: `sceptre --ignore-dependencies` forgets what a stack builds on.

Sceptre then acts on nothing but the stack itself, which is what was asked for, and forgets its dependencies, so that
no !stack_output of it can be resolved: https://github.com/Sceptre/sceptre/issues/778
"""

from sceptre.context import SceptreContext
from sceptre.hooks import Hook
from sceptre.plan.plan import SceptrePlan
from sceptre.resolvers.stack_output import StackOutput
from sceptre.stack import Stack


class IgnoredDependencies(Hook):
    """Lets `sceptre --ignore-dependencies diff` compare values: it would show a placeholder for each as a change."""

    def run(self) -> None:
        """Give the stack its dependencies back."""
        recall(self.stack)


def recall(stack: Stack) -> None:
    """Give a stack its dependencies back, unless it has some or needs none."""
    parameters = (stack.config or {}).get("parameters", {})
    known = [dependency for dependency in stack.dependencies if isinstance(dependency, Stack)]
    if known or not any(isinstance(value, StackOutput) for value in parameters.values()):
        return
    context = SceptreContext(stack.stack_group_config["project_path"], "", full_scan=True)
    everything = SceptrePlan(context).graph
    stack.dependencies = next(found.dependencies for found in everything if found.name == stack.name)
