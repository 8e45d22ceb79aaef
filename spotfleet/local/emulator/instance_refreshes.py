"""StartInstanceRefresh, DescribeInstanceRefreshes and CancelInstanceRefresh, of which MiniStack only keeps a note.

The machines that are to be replaced get a tag here, by which the controller and the group know them.
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_StartInstanceRefresh.html
"""

import math
from http import HTTPStatus

from ministack.core.responses import now_iso
from ministack.services import autoscaling, cloudwatch, ec2

from spotfleet.behaviour.instance_refresh import OUTDATED, REFRESH_TAG, SUCCEEDED, Outcome
from spotfleet.behaviour.rolling_update import is_current
from spotfleet.local.backchannel import instance_refreshes
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, Response

IN_PROGRESS = "InProgress"
# What a refresh may be told, and AWS's defaults where the group has none.
NUMBERS = {"MinHealthyPercentage": "90", "MaxHealthyPercentage": "100", "InstanceWarmup": "0", "BakeTime": "0"}


def is_succeeded(instance: Record) -> bool:
    """Return whether a machine's successor was launched, so that it no longer counts in its group's size."""
    return _mark_of(instance) == SUCCEEDED


@replaces(autoscaling._ACTION_MAP, "StartInstanceRefresh")
def start(parameters: Record) -> Response:
    name = autoscaling._p(parameters, "AutoScalingGroupName")
    group = autoscaling._asgs.get(name)
    if not group:
        return _error("ValidationError", "AutoScalingGroup name not found - null")
    if _active(group):
        return _error(
            "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution"
        )
    alarms = autoscaling._parse_member_list(parameters, "Preferences.AlarmSpecification.Alarms")
    for alarm in alarms:
        state = (cloudwatch._alarms.get(alarm) or {}).get("StateValue", "missing")
        if state != "OK":
            return _error(
                "ValidationError", f"The CloudWatch alarm {alarm} is {state}: a refresh starts only when it is OK"
            )
    skip = autoscaling._p(parameters, "Preferences.SkipMatching") == "true"
    present = [item for item in group["Instances"] if not item["LifecycleState"].startswith("Terminating")]
    outdated = [item for item in present if not (skip and is_current(item, group))]
    for instance in present:
        _mark(instance, OUTDATED if instance in outdated else None)
    numbers = {key: autoscaling._p(parameters, f"Preferences.{key}") or value for key, value in NUMBERS.items()}
    refresh = {
        "InstanceRefreshId": autoscaling.new_uuid(),
        "AutoScalingGroupName": name,
        "StartTime": now_iso(),
        "Status": IN_PROGRESS,
        "Preferences": {**numbers, "SkipMatching": skip, "AlarmSpecification": {"Alarms": alarms}},
        "_total": len(outdated),
    }
    group.setdefault("InstanceRefreshes", []).insert(0, refresh)
    return _answer("StartInstanceRefresh", {"InstanceRefreshId": refresh["InstanceRefreshId"]})


@replaces(autoscaling._ACTION_MAP, "DescribeInstanceRefreshes")
def describe(parameters: Record) -> Response:
    group = autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName"))
    if not group:
        return _error("ValidationError", "AutoScalingGroup name not found - null")
    wanted = autoscaling._parse_member_list(parameters, "InstanceRefreshIds")
    # What ended one is known here before the next look at it.
    _active(group)
    found = [
        _told(refresh, group)
        for refresh in group.get("InstanceRefreshes", [])
        if not wanted or refresh["InstanceRefreshId"] in wanted
    ]
    return _answer("DescribeInstanceRefreshes", {"InstanceRefreshes": found})


@replaces(autoscaling._ACTION_MAP, "CancelInstanceRefresh")
def cancel(parameters: Record) -> Response:
    group = autoscaling._asgs.get(autoscaling._p(parameters, "AutoScalingGroupName"))
    active = _active(group) if group else None
    if not active or not group:
        return _error("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found")
    _end(group, active, Outcome("Cancelled", "Cancelled due to user request."))
    return _answer("CancelInstanceRefresh", {"InstanceRefreshId": active["InstanceRefreshId"]})


def _active(group: Record) -> Record | None:
    """Return the refresh of a group that goes on; one that the controller has ended is ended here first."""
    for refresh in group.get("InstanceRefreshes", []):
        if refresh["Status"] == IN_PROGRESS:
            if (outcome := instance_refreshes.outcome_of(refresh["InstanceRefreshId"])) is None:
                found: Record = refresh
                return found
            _end(group, refresh, outcome)
    return None


def _end(group: Record, refresh: Record, outcome: Outcome) -> None:
    instance_refreshes.end(refresh["InstanceRefreshId"], outcome)
    refresh |= {"Status": outcome.status, "StatusReason": outcome.reason, "EndTime": now_iso()}
    # Where it ends half done, old machines count in the group's size again, and what is too many goes.
    for instance in group["Instances"]:
        _mark(instance, None)
    autoscaling._reconcile_instances(group)


def _told(refresh: Record, group: Record) -> Record:
    left = sum(_mark_of(item) is not None for item in group["Instances"]) if refresh["Status"] == IN_PROGRESS else 0
    total = refresh["_total"]
    done = math.floor(100 * (total - left) / total) if total else 100
    shown = {key: value for key, value in refresh.items() if not key.startswith("_")}
    if refresh["Status"] in {"Failed", "Cancelled"}:
        return shown
    return {**shown, "PercentageComplete": done, "InstancesToUpdate": left}


def _mark_of(instance: Record) -> str | None:
    tags = ec2._tags.get(instance["InstanceId"], [])
    return next((tag["Value"] for tag in tags if tag["Key"] == REFRESH_TAG), None)


def _mark(instance: Record, mark: str | None) -> None:
    tags = [tag for tag in ec2._tags.get(instance["InstanceId"], []) if tag["Key"] != REFRESH_TAG]
    ec2._tags[instance["InstanceId"]] = [*tags, *([{"Key": REFRESH_TAG, "Value": mark}] if mark else [])]


def _answer(operation: str, content: Record) -> Response:
    inner = autoscaling._member_xml(content)
    answer: Response = autoscaling._xml(
        HTTPStatus.OK, f"{operation}Response", f"<{operation}Result>{inner}</{operation}Result>"
    )
    return answer


def _error(code: str, text: str) -> Response:
    error: Response = autoscaling._error(code, text)
    return error
