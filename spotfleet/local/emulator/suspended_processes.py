"""SuspendProcesses and ResumeProcesses of a group, which MiniStack lacks.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SuspendProcesses.html
"""

from collections.abc import Callable
from datetime import UTC, datetime

from ministack.services import autoscaling

from spotfleet.behaviour.suspended_processes import Process
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, Response

KEPT = "SuspendedProcesses"
ALL = {process.value for process in Process}


@replaces(autoscaling._ACTION_MAP, "SuspendProcesses")
def suspend(parameters: Record) -> Response:
    return _change("SuspendProcesses", parameters, lambda have, asked: have | asked)


@replaces(autoscaling._ACTION_MAP, "ResumeProcesses")
def resume(parameters: Record) -> Response:
    answer = _change("ResumeProcesses", parameters, lambda have, asked: have - asked)
    if group := autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName")):
        autoscaling._reconcile_instances(group)
    return answer


def _change(operation: str, parameters: Record, changed: Callable[[set[str], set[str]], set[str]]) -> Response:
    """Change which processes of a group are suspended; without names it is all of them."""
    group = autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName"))
    asked = set(autoscaling._parse_member_list(parameters, "ScalingProcesses")) or ALL
    unknown = sorted(asked - ALL)
    if group is None or unknown:
        text = f"Invalid process type: {', '.join(unknown)}" if unknown else "AutoScalingGroup name not found - null"
        refusal: Response = autoscaling._error("ValidationError", text)
        return refusal
    before = {item["ProcessName"]: item for item in group.get(KEPT, [])}
    reason = f"User suspended at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    group[KEPT] = [
        before.get(name, {"ProcessName": name, "SuspensionReason": reason})
        for name in sorted(changed(set(before), asked))
    ]
    answer: Response = autoscaling._xml(200, f"{operation}Response", "")
    return answer
