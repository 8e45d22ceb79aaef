"""The hook !failure_reason: a launch or a deletion that failed ends with the reason, and with exit code 1.

After a stack has failed Sceptre would go on with the next ones and end with a state such as ROLLBACK_COMPLETE. Sceptre
runs the hooks after_launch and after_delete on failed stacks as well, and prints what one raises as its last line. The
same holds for its commands create, update and execute.
"""

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.settings import shown
from spotfleet.stacks import account, ended_tasks, gather, name_stack_in_errors, recovery, stack_state
from spotfleet.stacks.causes import first_cause
from spotfleet.stacks.causes.words import Cause
from spotfleet.stacks.stack_state import ABSENT, REVIEW

# What a container's own end says, of which its last lines know more.
OF_THE_CONTAINER = ("container_exited", "health_check_failed", "circuit_breaker")


class FailureReason(Hook):
    """Checks that the stack is as its configuration says, or gone."""

    def run(self) -> None:
        """Raise SceptreException with the stack, the first cause, what CloudFormation says of it, and the way out."""
        account.require_right(self.stack, self.logger)
        description = stack_state.settled(self.stack, self.logger)
        status = description["StackStatus"]
        if refusal := name_stack_in_errors.unreported(self.stack):
            raise SceptreException(refusal)
        lacks = ended_tasks.first_cause(self.stack)
        if lacks and status == ABSENT:
            raise SceptreException(
                f"{self.stack.name} was deleted again, because {lacks}. Mend that, then launch again"
            )
        # A change set that nobody has executed yet is all that there is of a stack in review.
        if status in {ABSENT, REVIEW} or stack_state.is_healthy(self.stack, description):
            return
        reason = stack_state.first_failure(self.stack).removesuffix(".")
        # Of several stacks that fail at the same time Sceptre prints only one exception.
        self.logger.error("Failed: %s", shown.harmless(reason))
        way_out = stack_state.way_out(self.stack, status)
        cause = self._cause()
        if lacks and (cause is None or cause.kind in OF_THE_CONTAINER):
            # Its log was read while it happened, and is gone with what was taken back.
            reason = f"{reason}. A task ended first: {lacks}"
        elif cause:
            reason = f"{cause.sentence} ({reason})"
            # A stack that stands still wants its own way out as well.
            way_out = f"{cause.way_out}; {way_out}" if status in recovery.HALF_UPDATED else cause.way_out
        raise SceptreException(shown.harmless(f"{self.stack.name} is {status}: {reason}. To go on, {way_out}."))

    def _cause(self) -> Cause | None:
        """Return what is behind the reason that CloudFormation gives; None where nothing more is known."""
        try:
            evidence = gather.gather([self.stack, *self.stack.dependencies])
        except (BotoCoreError, ClientError):
            # What has failed is told all the same.
            return None
        cause, _way = first_cause.of_stack(evidence.stacks[0], evidence)
        return None if cause.kind == first_cause.UNKNOWN else cause
