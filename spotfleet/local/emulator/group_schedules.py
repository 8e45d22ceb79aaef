"""Scheduled actions of Auto Scaling groups: what is no schedule is refused, which MiniStack keeps.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack.services import autoscaling

from spotfleet.facts import crontab
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response

SIZES = ("MinSize", "MaxSize", "DesiredCapacity")


@extends(autoscaling, "_scheduled_action_record")
def checked(original: Callable[..., Record], group: str, name: str, arn: str, fields: Record) -> Record:
    """Keep an action that can be followed. Raises ValueError with the reason, which fails the stack that has it."""
    if not any(fields.get(size) not in ("", None) for size in SIZES):
        raise ValueError(f"You must specify at least one of {', '.join(SIZES)}")
    if not (fields.get("Recurrence") or fields.get("StartTime")):
        raise ValueError("You must specify a start time or a recurrence")
    if recurrence := fields.get("Recurrence"):
        try:
            crontab.parse(recurrence)
        except ValueError as error:
            raise ValueError(f"Given recurrence string: {recurrence} is invalid: {error}") from error
    try:
        ZoneInfo(fields.get("TimeZone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"Given time zone: {fields['TimeZone']} is invalid") from error
    return original(group, name, arn, fields)


@extends(autoscaling._ACTION_MAP, "PutScheduledUpdateGroupAction")
def put(original: Callable[[Record], Response], parameters: Record) -> Response:
    try:
        return original(parameters)
    except ValueError as error:
        refusal: Response = autoscaling._error("ValidationError", str(error))
        return refusal
