"""Says which stack it was when AWS refuses to create or update one.

Such a refusal, of a template that it cannot read for instance, comes before there is a stack to describe. Without this
Sceptre's last line would be AWS's own text, without a name.
"""

from typing import Any

from sceptre.stack import Stack

# Sceptre knows it by its words.
NO_UPDATES = "No updates are to be performed."
NAME = "spotfleet_stack_name"


def name_stack(stack: Stack) -> None:
    """Put the stack's name into AWS's refusals.

    Clients take over the events of their session when they are made, so this has to come before the first call.
    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """
    events = stack.connection_manager.get_session().events
    for operation in ("CreateStack", "UpdateStack"):
        # All stacks of a run share the session: the unique ids keep it to one registration.
        events.register(f"before-parameter-build.cloudformation.{operation}", _remember_name, f"{NAME}-{operation}")
        events.register(f"after-call.cloudformation.{operation}", _add_name, f"{NAME}-added-{operation}")


def _remember_name(params: dict[str, Any], context: dict[str, Any], **_more: object) -> None:
    context[NAME] = params["StackName"]


def _add_name(parsed: dict[str, Any], context: dict[str, Any], **_more: object) -> None:
    error = parsed.get("Error", {"Message": NO_UPDATES})
    if error["Message"] != NO_UPDATES:
        error["Message"] = f"{context[NAME]}: {error['Message']}"
