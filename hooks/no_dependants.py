"""The hook !no_dependants: a stack stays while another one that builds on it is still there.

Sceptre goes on deleting after a deletion has failed, and with --ignore-dependencies it deletes in any order. Without
this a network would be taken away from under machines that still run.
"""

from functools import cache

from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED


class NoDependants(Hook):
    """Waits for deletions under way, then checks that no stack which builds on this one exists."""

    def run(self) -> None:
        """Raise SceptreException that names the dependant and its state."""
        account.require_right(self.stack, self.logger)
        # A launch deletes such a stack to create it anew.
        if stack_state.describe(self.stack)["StackStatus"] in {ABSENT, *NEVER_CREATED}:
            return
        for dependant in self._dependants():
            status = stack_state.settled(dependant, self.logger)["StackStatus"]
            if status != ABSENT:
                raise SceptreException(
                    f"{self.stack.name} was not deleted: {dependant.name}, which builds on it, still exists and is "
                    f"{status}. To go on, run `sceptre delete {dependant.name}.yaml` first."
                )

    def _dependants(self) -> list[Stack]:
        stacks = _every_stack(self.stack.stack_group_config["project_path"])
        return sorted((s for s in stacks if self.stack.name in map(str, s.dependencies)), key=str)


@cache
def _every_stack(project_path: str) -> tuple[Stack, ...]:
    """Read the whole project anew, because Sceptre forgets all dependencies when it is told to ignore them.

    Once for a command: a project of ten environments takes seconds, and each stack that is deleted asks.
    """
    return tuple(SceptrePlan(SceptreContext(project_path, "", full_scan=True)).graph)
