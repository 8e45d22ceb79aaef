"""What scaling has done and why, from the controllers that decide to the API that tells."""

import threading
import time
from typing import Any
from uuid import uuid4

from spotfleet.behaviour.target_tracking import Change
from spotfleet.local.backchannel import changes as changes_of_all

# What DescribeScalingActivities of a region goes back to.
KEPT_ACTIVITIES = 1000

DEFAULT_ACCOUNT = "000000000000"

Parameters = dict[str, Any]


# Activities by account and region, newest first. AWS has no API to add one: its own scaling does, here record_activity.
_activities: dict[tuple[str, str], list[tuple[Parameters, Change]]] = {}
_recording = threading.Lock()


def record_activity(
    region: str, place: Parameters, description: str, cause: str, capacity: tuple[int, int], account: str = ""
) -> None:
    """Keep what scaling did to a target (namespace, resource, dimension) for DescribeScalingActivities.

    `capacity` is the number of tasks before and after.
    """
    now = time.time()
    outcome = description.replace("Setting", "Successfully set", 1).rstrip(".")
    activity = {
        "ActivityId": str(uuid4()),
        **place,
        "Description": description,
        "Cause": cause,
        "StartTime": now,
        "EndTime": now,
        "StatusCode": "Successful",
        "StatusMessage": f"{outcome}. Change successfully fulfilled by ecs.",
    }
    with _recording:
        kept = _activities.setdefault((account or DEFAULT_ACCOUNT, region), [])
        kept.insert(0, (activity, Change(now, *capacity)))
        del kept[KEPT_ACTIVITIES:]
    changes_of_all.note()


def changes(region: str, place: Parameters, account: str = "") -> list[Change]:
    """Return the changes of a target's capacity, newest first."""
    return [
        change
        for activity, change in _kept(region, account)
        if all(activity[name] == value for name, value in place.items())
    ]


def told(region: str, account: str) -> list[Parameters]:
    """Return the activities of an account, newest first, as DescribeScalingActivities tells them."""
    return [activity for activity, _change in _kept(region, account)]


def _kept(region: str, account: str) -> list[tuple[Parameters, Change]]:
    with _recording:
        return list(_activities.get((account or DEFAULT_ACCOUNT, region), []))
