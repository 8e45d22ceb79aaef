"""Says which stack it was when AWS refuses to create or update one, and keeps what Sceptre does not tell.

Such a refusal, of a template that it cannot read for instance, comes before there is a stack to describe. Without this
Sceptre's last line would be AWS's own text, without a name. One that concerns a change set Sceptre only logs, and ends
with exit code 0.
"""

import re
from typing import Any

from botocore.model import OperationModel
from sceptre.stack import Stack

# Sceptre knows it by its words.
NO_UPDATES = "No updates are to be performed."
NAME = "spotfleet_stack_name"
CHANGE_SETS = ("CreateChangeSet", "ExecuteChangeSet")

# What AWS has said no to, by the stack's name in AWS.
_unreported: dict[str, str] = {}
# Why a stack was deleted while Sceptre waits for it, by its name in AWS.
_causes: dict[str, str] = {}
GONE = re.compile(r"Stack with id (\S+) does not exist")


def name_stack(stack: Stack) -> None:
    """Put the stack's name into AWS's refusals.

    Clients take over the events of their session when they are made, so this has to come before the first call.
    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """
    events = stack.connection_manager.get_session().events
    for operation in ("CreateStack", "UpdateStack", *CHANGE_SETS):
        # All stacks of a run share the session: the unique ids keep it to one registration.
        events.register(f"before-parameter-build.cloudformation.{operation}", _remember_name, f"{NAME}-{operation}")
        events.register(f"after-call.cloudformation.{operation}", _add_name, f"{NAME}-added-{operation}")
    events.register("after-call.cloudformation.DescribeStacks", _add_cause, f"{NAME}-cause")


def explain_end(stack: Stack, cause: str) -> None:
    """Say why a stack is gone to Sceptre, which waits for it and would end with AWS's words, that it does not exist."""
    _causes[stack.external_name] = f"{stack.name} was deleted again, because {cause}. Mend that, then launch again"


def forget_end(stack: Stack) -> None:
    """Take back what `explain_end` was told, of a stack that could not be deleted."""
    _causes.pop(stack.external_name, None)


def unreported(stack: Stack) -> str | None:
    """Return, once, the refusal of a change set of this stack that Sceptre has passed over."""
    return _unreported.pop(stack.external_name, None)


def _add_cause(parsed: dict[str, Any], **_more: object) -> None:
    gone = GONE.fullmatch(parsed.get("Error", {}).get("Message", ""))
    if gone and (cause := _causes.pop(gone[1], None)):
        parsed["Error"]["Message"] = cause


def _remember_name(params: dict[str, Any], context: dict[str, Any], **_more: object) -> None:
    context[NAME] = params["StackName"]


def _add_name(parsed: dict[str, Any], context: dict[str, Any], model: OperationModel, **_more: object) -> None:
    error = parsed.get("Error", {"Message": NO_UPDATES})
    if error["Message"] != NO_UPDATES:
        error["Message"] = f"{context[NAME]}: {error['Message']}"
        if model.name in CHANGE_SETS:
            _unreported[context[NAME]] = error["Message"]
