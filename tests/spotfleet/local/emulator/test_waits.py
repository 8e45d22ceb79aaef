"""How long the embedded AWS waits, on a clock that goes on only where something waits: rules C10, F3 and F9."""

import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from spotfleet.local.emulator.resource_types.base import Owner
from spotfleet.local.emulator.resource_types.ecs import Service
from tests.support.answers import Answer, answering


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let no wait take time; the waits are returned."""
    done: list[float] = []
    ours, sleep, monotonic = threading.get_ident(), time.sleep, time.monotonic
    # Loops of the emulator, which other tests have started, go on in real time.
    monkeypatch.setattr(
        "time.sleep", lambda length: done.append(length) if threading.get_ident() == ours else sleep(length)
    )
    monkeypatch.setattr("time.monotonic", lambda: sum(done) if threading.get_ident() == ours else monotonic())
    return done


class Ecs:
    """What ECS answers of a service that never gets steady."""

    def __init__(self, **configuration: int) -> None:
        deployment = {"id": "d", "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}
        self.service: Answer = {"serviceName": "s", "serviceArn": "arn:s", "clusterArn": "c", "events": []}
        self.service |= {"deployments": [deployment], "deploymentConfiguration": configuration}
        self.service |= {"runningCount": 0, "desiredCount": 1}

    def list_tasks(self, **_asked: str) -> Answer:
        """List no task."""
        return {"taskArns": []}

    def describe_services(self, **_asked: object) -> Answer:
        """Describe the service."""
        return {"services": [self.service]}


@pytest.mark.parametrize(("configuration", "seconds"), [({}, 10_800), ({"bakeTimeInMinutes": 5}, 129_600)])
def test_a_stack_waits_three_hours_for_a_service_and_36_with_a_bake_time(
    monkeypatch: pytest.MonkeyPatch, waits: list[float], configuration: dict[str, int], seconds: float
) -> None:
    monkeypatch.setattr("spotfleet.local.emulator.resource_types.ecs.STEADY_POLL_SECONDS", 120)
    ecs = Ecs(**configuration)
    with pytest.raises(ValueError, match=f"s was not steady after {seconds} s"):
        Service()._wait(answering("ecs", ecs), ecs.service, Owner("stack", "Service"))
    assert sum(waits) == pytest.approx(seconds, abs=120)


@pytest.fixture
def departures(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The departures from groups with their typical times, and what runs beside them done at once."""

    def at_once(function: Callable[..., None], *arguments: object) -> None:
        function(*arguments)

    found: ModuleType = emulator.group_departures
    monkeypatch.setattr(found, "spawn_background", at_once)
    monkeypatch.setattr(found.delays, "of", lambda delay, _occurrence: delay.typical)
    return found


def group_of(departures: ModuleType, monkeypatch: pytest.MonkeyPatch, **more: object) -> dict[str, Any]:
    """Return a group of two machines that run."""
    for number in range(2):
        machine = {"InstanceId": f"i-{number}", "State": {"Name": "running", "Code": 16}}
        monkeypatch.setitem(departures.ec2._instances, f"i-{number}", machine)
    instances = [{"InstanceId": f"i-{number}", "LifecycleState": "InService"} for number in range(2)]
    return {"AutoScalingGroupARN": "arn:group", "Instances": instances, "_activities": [], **more}


def test_the_machines_of_an_idle_group_are_gone_after_two_minutes(
    departures: ModuleType, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    group = group_of(departures, monkeypatch)
    for instance in list(group["Instances"]):
        departures.begin(group, instance)
    assert group["Instances"] == []
    # Side by side on AWS, one after the other here.
    assert waits == [120, 120]


def test_a_machine_whose_capacity_provider_has_gone_is_held_for_an_hour(
    departures: ModuleType, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    group = group_of(departures, monkeypatch, **{departures.LEFT: True})
    departures.begin(group, group["Instances"][0])
    assert waits == [3600, 120]


def test_a_task_without_room_is_stopped_after_a_quarter_of_an_hour(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    placement = emulator.ecs_placement
    monkeypatch.setattr(placement.delays, "of", lambda delay, _occurrence: delay.typical)
    monkeypatch.setattr(placement._placing, "wait", waits.append)
    monkeypatch.setattr(placement, "_choose_machine", lambda _task: None)
    failed: list[object] = []
    monkeypatch.setattr(placement.ecs, "_record_service_task_failure", failed.append)
    task = {"taskArn": "arn:task/c/1", "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING", "containers": []}
    task |= {"clusterArn": "arn:cluster/c", "startedBy": "web"}
    monkeypatch.setitem(placement.ecs._tasks, task["taskArn"], task)
    assert not placement._wait_for_machine(task)
    assert sum(waits) == pytest.approx(900, abs=1)
    assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", placement.NO_ROOM)
    assert failed == [task]
