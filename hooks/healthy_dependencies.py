"""The hook !healthy_dependencies: stops a launch before it builds on a stack that is not in a good state.

Sceptre itself goes on with the next stacks after one has failed, so a service could be updated against the outputs of
a network that was just rolled back (https://github.com/Sceptre/sceptre/issues/747).
"""

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from hooks import ignored_dependencies
from spotfleet.stacks import account, name_stack_in_errors, recovery, stack_state
from spotfleet.stacks.once import once_per_command
from spotfleet.stacks.stack_state import NEVER_CREATED, Description

# Sceptre cannot update a stack in one of these: where finishing what was begun fails again, a person has to choose.
STUCK = {*recovery.HALF_DELETED, *recovery.HALF_UPDATED}


class HealthyDependencies(Hook):
    """Waits for a change under way (an interrupted launch leaves one), then checks this stack and all it builds on.

    What a failed operation has left of this stack is mended on the way.
    """

    @once_per_command
    def run(self) -> None:
        """Raise SceptreException when a dependency is absent, failed or was rolled back, or this stack is stuck.

        The text names the stack, its state and the command that mends it. A change that takes longer than ten minutes
        is a refusal as well, and so is a wrong account.
        """
        # Here, because no hook before this one calls AWS.
        name_stack_in_errors.name_stack(self.stack)
        account.require_right(self.stack, self.logger)
        ignored_dependencies.recall(self.stack)
        own = stack_state.settled(self.stack, self.logger)
        for dependency in self.stack.dependencies:
            description = stack_state.settled(dependency, self.logger)
            if not stack_state.is_healthy(dependency, description):
                status = description["StackStatus"]
                raise SceptreException(
                    f"{self.stack.name} was not touched: it builds on {dependency.name}, which is {status}. "
                    f"To go on, {stack_state.way_out(dependency, status)}."
                )
        own = recovery.recover(self.stack, own, self.logger)
        stack_state.remember(self.stack, own)
        self._check_own_state(own)

    def _check_own_state(self, own: Description) -> None:
        status = own["StackStatus"]
        if status in STUCK or (status.endswith("_IN_PROGRESS") and status not in NEVER_CREATED):
            raise SceptreException(
                f"{self.stack.name} was not touched: it is {status}, because {stack_state.first_failure(self.stack)}. "
                f"To go on, {stack_state.way_out(self.stack, status)}."
            )
        if status in NEVER_CREATED:
            self.logger.info("Stack is %s: a launch deletes it and creates it anew", status)
        if status == "UPDATE_ROLLBACK_COMPLETE":
            self.logger.info("The last update was rolled back, because %s", stack_state.first_failure(self.stack))
