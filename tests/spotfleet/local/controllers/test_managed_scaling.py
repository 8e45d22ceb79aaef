"""When managed scaling acts, on a clock that the tests set and without a server: rules C4, C6 and C8."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from spotfleet.behaviour.delays import Delay
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.placement import Need
from spotfleet.local.api import metrics_store
from spotfleet.local.controllers import managed_scaling
from spotfleet.local.controllers.managed_scaling import ManagedScaling
from tests.support import answers
from tests.support.answers import Answer, answering

# The start of a minute.
BEGAN = 1_000_000 * 60.0
PROVIDER = {"autoScalingGroupArn": "arn:group/web", "managedScaling": {"status": "ENABLED", "targetCapacity": 100}}


class Aws:
    """What AWS answers of a group with one machine, full of tasks; time goes on second by second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, typical: bool) -> None:
        self.now = BEGAN
        self.desired = 1
        self.waiting = 0
        self.ended: list[str] = []
        self.empty: list[str] = []
        self.changes: list[tuple[float, int]] = []
        self.tags: list[dict[str, Any]] = []
        self.points: dict[int, float] = {}
        self.published: dict[int, float] = {}
        monkeypatch.setattr("time.time", lambda: self.now)
        client = functools.cache(lambda service, _region: answering(service, self))
        monkeypatch.setattr("spotfleet.local.api.clients.client", client)
        monkeypatch.setattr(managed_scaling, "read_waiting_tasks", lambda *_place: [Need(256, 256)] * self.waiting)
        monkeypatch.setattr(metrics_store, "publish", self._publish)
        monkeypatch.setattr(metrics_store, "read", self._read)
        monkeypatch.setattr("spotfleet.local.host.delays.of", lambda delay, _name: self._of(delay) if typical else 0.0)
        self.scaling = ManagedScaling("eu-west-1", "web", "provider")

    @staticmethod
    def _of(delay: Delay) -> float:
        return delay.typical

    def _publish(self, _client: object, _namespace: str, values: Mapping[str, Sequence[float]], *rest: Any) -> None:  # noqa: ANN401
        _dimensions, minute = rest
        (self.points[minute],) = values["CapacityProviderReservation"]
        self.published[minute] = self.now - BEGAN

    def _read(self, _client: object, _metric: object, _statistic: str, last: int, count: int) -> list[float | None]:
        return [self.points.get(number) for number in range(last - count + 1, last + 1)]

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> Answer:  # noqa: N803
        """Describe the group."""
        (name,) = AutoScalingGroupNames
        return {"AutoScalingGroups": [answers.group(name, MaxSize=6, DesiredCapacity=self.desired, Tags=self.tags)]}

    def create_or_update_tags(self, Tags: list[dict[str, Any]]) -> None:  # noqa: N803
        """Keep the group's tags."""
        self.tags = Tags

    def set_desired_capacity(self, AutoScalingGroupName: str, DesiredCapacity: int) -> None:  # noqa: N803
        """Remember when the size was set."""
        assert AutoScalingGroupName == "web"
        self.desired = DesiredCapacity
        self.changes.append((self.now - BEGAN, DesiredCapacity))

    def terminate_instance_in_auto_scaling_group(
        self,
        InstanceId: str,  # noqa: N803
        ShouldDecrementDesiredCapacity: bool,  # noqa: N803
    ) -> Answer:
        """Remember which machine was ended."""
        assert ShouldDecrementDesiredCapacity
        self.ended.append(InstanceId)
        return {}

    def run(self, until: float, **provider: object) -> None:
        """Let the scaling look each second until so many seconds after the start."""
        described = {"name": "provider", "autoScalingGroupProvider": {**PROVIDER, **provider}}
        while self.now < BEGAN + until:
            self.scaling.step(described, [self._machine(number) for number in range(self.desired)])
            self.now += 1

    def _machine(self, number: int) -> Machine:
        tasks = 0 if f"i-{number}" in self.empty else 3
        room = [{"name": "CPU", "integerValue": 0}, {"name": "MEMORY", "integerValue": 0}]
        ecs = {"runningTasksCount": tasks, "pendingTasksCount": 0, "remainingResources": room, "status": "ACTIVE"}
        # The first was there long before; each other one since the size was set.
        launched = BEGAN - 3600 if number == 0 or not self.changes else BEGAN + self.changes[-1][0]
        return Machine(f"i-{number}", "web", "t3.micro", "a", True, True, False, launched, ecs=ecs)


@pytest.mark.parametrize(("typical", "asked"), [(True, 135), (False, 60)])
def test_a_waiting_task_asks_for_a_machine_when_its_minutes_point_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, typical: bool, asked: float
) -> None:
    aws = Aws(monkeypatch, typical)
    aws.run(5)
    aws.waiting = 1
    aws.run(240)
    assert aws.changes[0] == (asked, 2)
    assert 60 <= asked <= 180
    # Never before the point of the minute in which it began to wait can be read.
    assert aws.published[metrics_store.minute(BEGAN)] <= asked


def test_the_next_machine_is_asked_for_after_the_warm_up_only(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(monkeypatch, typical=True)
    aws.waiting = 1
    # The second machine takes no task, and another waits: with the default, 300 s pass from launch to launch.
    aws.run(135)
    assert aws.changes == []
    aws.run(700)
    (first, _), (second, wanted) = aws.changes[:2]
    assert (first, wanted) == (135, 3)
    assert 300 <= second - first < 360


@pytest.mark.parametrize(("protection", "ended"), [("ENABLED", ["i-2"]), ("DISABLED", [])])
def test_only_with_protection_an_empty_machine_goes_for_sure(
    monkeypatch: pytest.MonkeyPatch, protection: str, ended: list[str]
) -> None:
    aws = Aws(monkeypatch, typical=False)
    aws.desired, aws.empty = 3, ["i-2"]
    aws.run(15 * 60)
    assert (aws.ended, aws.changes) == ([], [])
    aws.run(15 * 60 + 1, managedTerminationProtection=protection)
    assert aws.ended == ended
    assert aws.changes == ([] if ended else [(900, 2)])


def test_a_restarted_controller_still_knows_when_it_scaled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule C7: fifteen minutes since the last scale-out, although the metric was low all the time."""
    aws = Aws(monkeypatch, typical=False)
    aws.waiting = 1
    aws.run(60)
    aws.run(61)
    assert aws.changes == [(60, 2)]
    aws.waiting, aws.empty = 0, ["i-1"]
    aws.points = {number: 50.0 for number in range(metrics_store.minute(BEGAN) - 20, metrics_store.minute(BEGAN) + 40)}
    aws.run(300)
    aws.scaling = ManagedScaling("eu-west-1", "web", "provider")
    aws.run(959)
    assert aws.changes == [(60, 2)]
    aws.run(961)
    assert aws.changes == [(60, 2), (960, 1)]
