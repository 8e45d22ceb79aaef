"""What CloudFormation says about a stack: its state, what failed in it first, and the command that mends it."""

import time
from collections.abc import Iterator
from logging import Logger
from typing import Any

from botocore.exceptions import ClientError
from sceptre.stack import Stack

HEALTHY = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
# A creation that came to nothing: the next launch deletes the stack and creates it anew.
REVIEW = "REVIEW_IN_PROGRESS"
NEVER_CREATED = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", REVIEW}
ABSENT = "ABSENT"
# The first event of an operation, on the stack itself. A rollback is part of the operation that it undoes.
OPERATION_STARTS = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"}
POLL_SECONDS = 2
# Longer than a rollback of these layers takes; what a person started elsewhere may take hours.
PATIENCE_SECONDS = 600

Description = dict[str, Any]

# When each stack was last updated as of its own turn in this run: tells a rollback of this run from an old one.
_updated_before: dict[str, Any] = {}


def describe(stack: Stack, name: str | None = None) -> Description:
    """Return CloudFormation's description of a stack; its StackStatus is ABSENT when there is none.

    `name` is that of another stack in the same account and region.
    """
    try:
        answer = _call(stack, "describe_stacks", StackName=name or stack.external_name)
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return {"StackStatus": ABSENT}
        raise
    description: Description = answer["Stacks"][0]
    return description


def parameters(description: Description) -> dict[str, str]:
    """Return the values that a stack has for its parameters; one that names a public parameter has what that held."""
    given = description.get("Parameters", [])
    return {one["ParameterKey"]: str(one.get("ResolvedValue") or one.get("ParameterValue", "")) for one in given}


def settled(stack: Stack, logger: Logger) -> Description:
    """Describe a stack once nothing is changing it, or after ten minutes as it is then."""
    description = describe(stack)
    if _changes(description):
        logger.info("Waiting for %s: %s", stack.name, description["StackStatus"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _changes(description) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        description = describe(stack)
    return description


def _changes(description: Description) -> bool:
    status = description["StackStatus"]
    # A change set that nobody executed leaves a stack in review for ever.
    return bool(status.endswith("_IN_PROGRESS") and status != REVIEW)


def remember(stack: Stack, description: Description) -> None:
    """Keep how a stack was found before its launch."""
    _updated_before[stack.external_name] = description.get("LastUpdatedTime")


def is_healthy(stack: Stack, description: Description) -> bool:
    """Return whether a stack is as its configuration says.

    After a rollback from before this run it is: its own launch has found nothing to change since.
    """
    if description["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE":
        before = _updated_before.get(stack.external_name)
        return before is not None and before == description.get("LastUpdatedTime")
    return description["StackStatus"] in HEALTHY


def is_protected(description: Description) -> bool:
    """Return whether CloudFormation refuses to delete a stack."""
    return bool(description.get("EnableTerminationProtection", False))


def protect(stack: Stack, wanted: bool) -> None:
    """Switch CloudFormation's termination protection of a stack on or off."""
    _call(stack, "update_termination_protection", EnableTerminationProtection=wanted)


def cancel_update(stack: Stack) -> None:
    """Let a running update of a stack go back to what was before, with the role that it has begun with."""
    _call(stack, "cancel_update_stack")


def call_with_role(stack: Stack, command: str) -> None:
    """Start an operation on a stack, with the role that its configuration gives CloudFormation."""
    role = stack.cloudformation_service_role
    _call(stack, command, **({"RoleARN": role} if role else {}))


def first_failure(stack: Stack) -> str:
    """Return which resource failed first in the last operation on a stack, and the reason that it gave, on one line.

    What CloudFormation cancelled because of that failure is passed over. Without a failed resource, as after a timeout,
    it is the stack's own reason.
    """
    first, of_stack = None, None
    for event in _events_of_last_operation(stack):
        if _is_about_stack(event):
            # What starts an operation has a reason too: that a person wanted it.
            explains = event.get("ResourceStatusReason") and event["ResourceStatus"] not in OPERATION_STARTS
            of_stack = event if explains else of_stack
        elif event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in event.get("ResourceStatusReason", ""):
            first = event
    cause = first or of_stack
    if cause is None:
        return "CloudFormation gives no reason"
    reason = " ".join(cause.get("ResourceStatusReason", "no reason given").split())
    return f"{cause['LogicalResourceId']} ({cause['ResourceType']}) {cause['ResourceStatus']}: {reason}"


def _events_of_last_operation(stack: Stack) -> Iterator[dict[str, Any]]:
    """Yield the newest events first, as CloudFormation gives them."""
    token: dict[str, str] = {}
    while True:
        page = _call(stack, "describe_stack_events", **token)
        for event in page["StackEvents"]:
            yield event
            if _is_about_stack(event) and event["ResourceStatus"] in OPERATION_STARTS:
                return
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _is_about_stack(event: dict[str, Any]) -> bool:
    return bool(event.get("PhysicalResourceId") == event["StackId"])


def way_out(stack: Stack, status: str) -> str:
    """Return what to do about a stack in this state: the command that mends it, where one does.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
    """
    place = f"--stack-name {stack.external_name}{aws_options(stack)}"
    if status == "UPDATE_ROLLBACK_FAILED":
        skip = f"aws cloudformation continue-update-rollback {place} --resources-to-skip <its name>"
        return f"mend the cause, then launch again, or give up the resource that does not go back: `{skip}`"
    if status in {"DELETE_FAILED", "ROLLBACK_FAILED"}:
        return f"mend the cause, then launch again, or run `sceptre delete {stack.name}.yaml`"
    if status == ABSENT:
        return f"run `sceptre launch {stack.name}.yaml`"
    if status.endswith("_IN_PROGRESS"):
        return "run this again when CloudFormation is done with it"
    return "mend the cause, then launch again"


def aws_options(stack: Stack) -> str:
    """Return the options, each after a space, with which the command aws asks where a stack is."""
    profile = f" --profile {stack.profile}" if stack.profile else ""
    return f" --region {stack.region}{profile}"


def _call(stack: Stack, command: str, **more: str | bool) -> dict[str, Any]:
    kwargs = {"StackName": stack.external_name, **more}
    answer: dict[str, Any] = stack.connection_manager.call(service="cloudformation", command=command, kwargs=kwargs)
    return answer
