"""Brings a stack that an operation has left half done into a state in which it can be launched.

Sceptre refuses such a stack, and for some of the ways out it has no command. They are those of CloudFormation's guide:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
"""

from logging import Logger

from sceptre.plan.actions import StackActions
from sceptre.stack import Stack

from spotfleet.stacks import stack_state
from spotfleet.stacks.stack_state import Description

# Nothing can be done with what is left of it but to finish its deletion.
HALF_DELETED = {"ROLLBACK_FAILED", "DELETE_FAILED"}
# It still runs what it ran before, and can go back to that.
HALF_UPDATED = {"UPDATE_FAILED": "rollback_stack", "UPDATE_ROLLBACK_FAILED": "continue_update_rollback"}


def recover(stack: Stack, description: Description, logger: Logger) -> Description:
    """Finish what was begun on a stuck stack, wait for it, and describe the stack then; any other stack is left alone.

    Raises SceptreException where the stack may not be deleted: it is protected, or another one builds on it.
    """
    status = description["StackStatus"]
    if status in HALF_DELETED:
        logger.info("Stack is %s: its deletion is finished first", status)
        StackActions(stack).delete()  # with the hooks of every deletion
    elif status in HALF_UPDATED:
        logger.info("Stack is %s: it goes back to what it was before the update first", status)
        stack_state.call_with_role(stack, HALF_UPDATED[status])
    else:
        return description
    return stack_state.settled(stack, logger)
