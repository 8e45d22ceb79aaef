"""The hook !termination_protection: CloudFormation itself refuses to delete the stacks of a protected environment.

The hook !deletion_protection is asked by Sceptre only; this one holds in the console and in every other tool as well.
"""

from sceptre.hooks import Hook

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.once import once_per_command


class TerminationProtection(Hook):
    """Switches the stack's termination protection on or off, as the environment's `deletion_protection` says."""

    @once_per_command
    def run(self) -> None:
        """Change the protection of the launched stack if it is not as configured."""
        account.require_right(self.stack, self.logger)
        wanted = self.stack.stack_group_config["deletion_protection"]
        if stack_state.is_protected(stack_state.describe(self.stack)) != wanted:
            self.logger.info("Switching termination protection %s", "on" if wanted else "off")
            stack_state.protect(self.stack, wanted)
