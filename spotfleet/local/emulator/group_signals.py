"""SignalResource for Auto Scaling groups, to which cfn-signal on their machines sends its signals.

MiniStack knows wait conditions only.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_SignalResource.html
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ministack.services import autoscaling
from ministack.services import cloudformation as stacks_of
from ministack.services.cloudformation import handlers, stacks

from spotfleet.local.api.rolling_policy import GROUP_TYPE
from spotfleet.local.backchannel import resource_signals
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response

LONGEST_ID = 64

# Groups that wait, by the id of their stack and their logical id.
_awaited: dict[tuple[str, str], str] = {}


@contextmanager
def awaited(stack_name: str, logical_id: str, group: str) -> Iterator[None]:
    """Take the signals of the machines that a group launches in the block."""
    place = (stacks_of._stacks[stack_name]["StackId"], logical_id)
    _awaited[place] = group
    resource_signals.begin(group, [item["InstanceId"] for item in autoscaling._asgs[group]["Instances"]])
    try:
        yield
    finally:
        del _awaited[place]
        resource_signals.end(group)


@extends(handlers._ACTION_HANDLERS, "SignalResource")
def signal_resource(original: Callable[[Record], Response], parameters: Record) -> Response:
    """Take the signal of a group's machine, on a stack's way back too, and tell of it in the stack's events."""
    stack = handlers._resolve_stack(handlers._p(parameters, "StackName"))
    logical_id = handlers._p(parameters, "LogicalResourceId")
    machine, status = (handlers._p(parameters, name) for name in ("UniqueId", "Status"))
    group = _awaited.get((stack["StackId"], logical_id)) if stack else None
    if not group or status not in {"SUCCESS", "FAILURE"} or not 1 <= len(machine) <= LONGEST_ID:
        return original(parameters)
    if resource_signals.note(group, machine, success=status == "SUCCESS"):
        state = "CREATE_IN_PROGRESS" if stack["StackStatus"].startswith("CREATE") else "UPDATE_IN_PROGRESS"
        reason = f"Received {status} signal with UniqueId {machine}"
        stacks._add_event(stack["StackId"], stack["StackName"], logical_id, GROUP_TYPE, state, reason, group)
    answer: Response = handlers._xml(200, "SignalResourceResponse", "")
    return answer
