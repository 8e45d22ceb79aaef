"""What happened, found in what AWS tells of deployments, scaling and machines."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spotfleet.local.daemon.environment_status import Machine
from spotfleet.local.daemon.page import events
from spotfleet.local.daemon.page.events import Event, Log

NOW = 1_800_000_000.0
SPOT = Machine("i-1", "eu-west-1a", "InService", "t3.micro", "spot")
WORDS = "spot machine i-1 (t3.micro, eu-west-1a)"


def at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def deployment(state: str, reason: str = "") -> dict[str, Any]:
    """Return a deployment as DescribeServices tells of it."""
    arn = "arn:aws:ecs:eu-west-1:000000000000:task-definition/web:2"
    times = {"createdAt": at(NOW), "updatedAt": at(NOW + 9)}
    return {"id": "ecs-svc/1", "taskDefinition": arn, "rolloutState": state, "rolloutStateReason": reason} | times


BEGINS = Event(NOW, "deployment", "web: deployment of web:2 begins")


@pytest.mark.parametrize(
    ("state", "more"),
    [
        ("IN_PROGRESS", []),
        ("COMPLETED", [Event(NOW + 9, "deployed", "web: deployment of web:2 is complete", "why")]),
        ("FAILED", [Event(NOW + 9, "failed", "web: deployment of web:2 has failed", "why")]),
    ],
)
def test_a_deployment_begins_and_ends(state: str, more: list[Event]) -> None:
    found = events.of_deployments("web", [deployment(state, "why")])
    assert list(found.values()) == [BEGINS, *more]


def test_scaling_has_its_reason() -> None:
    activity = {"ActivityId": "a", "StartTime": at(NOW), "Description": "Setting desired count to 3.", "Cause": "busy"}
    found = events.of_scaling("web", [activity])
    assert list(found.values()) == [Event(NOW, "scaling", "web: Setting desired count to 3.", "busy")]


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ([], [SPOT], ["came"]),
        ([SPOT], [SPOT], []),
        ([SPOT], [replace(SPOT, state="Terminating:Wait")], []),
        ([SPOT], [replace(SPOT, draining=True)], ["draining"]),
        ([replace(SPOT, draining=True)], [replace(SPOT, draining=True)], []),
        ([SPOT], [replace(SPOT, notice=NOW + 120)], ["notice"]),
        ([SPOT], [replace(SPOT, notice=NOW + 120, draining=True)], ["notice", "draining"]),
        ([replace(SPOT, notice=NOW + 120)], [replace(SPOT, notice=NOW + 120)], []),
        ([SPOT], [], ["gone"]),
    ],
)
def test_machines_that_change_between_two_looks(before: list[Machine], after: list[Machine], kinds: list[str]) -> None:
    found = events.of_machines(before, after, [], NOW)
    assert [event.kind for event in found.values()] == kinds
    assert {event.time for event in found.values()} <= {NOW}


def test_a_machine_comes_and_goes_for_the_reason_that_its_group_gives() -> None:
    activities = [
        {"Description": "Terminating EC2 instance: i-1", "Cause": "no task"},
        {"Description": "Launching a new EC2 instance: i-1", "Cause": "tasks wait"},
        {"Description": "Launching a new EC2 instance: i-2", "Cause": "another one"},
    ]
    came = events.of_machines([], [SPOT], activities, NOW)
    gone = events.of_machines([SPOT], [], activities, NOW)
    assert list(came.values()) == [Event(NOW, "came", f"{WORDS} comes", "tasks wait")]
    assert list(gone.values()) == [Event(NOW, "gone", f"{WORDS} is gone", "no task")]


def test_a_notice_that_no_look_has_seen_is_told_by_the_group() -> None:
    cause = "At 2026-03-02T00:00:00.000Z an instance was taken out of service in response to an EC2 {}."
    activity = {"Description": "Terminating EC2 instance: i-1", "Cause": cause.format("Spot interruption notice")}
    found = events.of_machines([SPOT], [], [activity], NOW)
    assert [event.kind for event in found.values()] == ["notice", "gone"]
    assert found["gone", "i-1"].why == cause.format("Spot interruption notice").partition("Z ")[2]
    other = activity | {"Cause": cause.format("health check")}
    assert [event.kind for event in events.of_machines([SPOT], [], [other], NOW).values()] == ["gone"]


def test_a_notice_tells_of_the_time_that_is_left_in_seconds_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    (event,) = events.of_machines([SPOT], [replace(SPOT, notice=NOW + 12)], [], NOW).values()
    assert event == Event(NOW, "notice", f"{WORDS} has its Spot notice", "EC2 takes it back in 120 s of AWS's time")


def test_an_event_is_kept_once_as_it_was_first_found() -> None:
    log = Log()
    log.add({("deployed", "1"): Event(5, "deployed", "first")}, since=0)
    # As when scaling has touched the deployment since.
    log.add({("deployed", "1"): Event(8, "deployed", "again"), ("came", "i-1"): Event(4, "came", "x")}, since=0)
    assert [event["what"] for event in log.as_json()] == ["x", "first"]


def test_what_aws_goes_on_telling_does_not_come_back_when_it_was_forgotten() -> None:
    log = Log()
    log.add({("deployed", "1"): Event(5, "deployed", "first")}, since=0)
    for since in (6, 7):
        log.add({("deployed", "1"): Event(8, "deployed", "touched since")}, since)
    assert log.as_json() == []


def test_the_log_forgets_what_is_old_and_does_not_grow() -> None:
    log = Log(most=3)
    log.add({("came", str(number)): Event(number, "came", str(number)) for number in range(10)}, since=0)
    assert [event["time"] for event in log.as_json()] == [7, 8, 9]
    log.add({}, since=8.5)
    assert [event["time"] for event in log.as_json()] == [9]
