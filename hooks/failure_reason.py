"""The hook !failure_reason: a launch or a deletion that failed ends with the reason, and with exit code 1.

After a stack has failed Sceptre would go on with the next ones and end with a state such as ROLLBACK_COMPLETE. Sceptre
runs the hooks after_launch and after_delete on failed stacks as well, and prints what one raises as its last line. The
same holds for its commands create, update and execute.
"""

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.stacks import account, ended_tasks, name_stack_in_errors, stack_state
from spotfleet.stacks.stack_state import ABSENT, REVIEW


class FailureReason(Hook):
    """Checks that the stack is as its configuration says, or gone."""

    def run(self) -> None:
        """Raise SceptreException with the stack, the first resource that failed and that resource's own reason."""
        account.require_right(self.stack, self.logger)
        description = stack_state.settled(self.stack, self.logger)
        status = description["StackStatus"]
        if refusal := name_stack_in_errors.unreported(self.stack):
            raise SceptreException(refusal)
        cause = ended_tasks.first_cause(self.stack)
        if cause and status == ABSENT:
            raise SceptreException(
                f"{self.stack.name} was deleted again, because {cause}. Mend that, then launch again"
            )
        # A change set that nobody has executed yet is all that there is of a stack in review.
        if status in {ABSENT, REVIEW} or stack_state.is_healthy(self.stack, description):
            return
        reason = stack_state.first_failure(self.stack).removesuffix(".")
        if cause:
            reason = f"{reason}. A task ended first: {cause}"
        # Of several stacks that fail at the same time Sceptre prints only one exception.
        self.logger.error("Failed: %s", reason)
        way_out = stack_state.way_out(self.stack, status)
        raise SceptreException(f"{self.stack.name} is {status}: {reason}. To go on, {way_out}.")
