"""What Auto Scaling groups make of their machines' CPU use, on numbers and a clock that the tests set."""

from collections.abc import Iterator
from typing import Any

import pytest

from local import fleet, metrics, metrics_store
from local.fleet import Machine
from local.machine_scaling import MachineScaling, wanted_machines
from local.metrics import Measured, Use
from local.scaling_rules import Tracked

NOW = 1_000_000.0
WARMUP = 120.0


def machine(name: str = "i-1", age: float = 1000, **changes: Any) -> Machine:  # noqa: ANN401  # each its own type
    """Return a machine of two processors that was launched some seconds ago."""
    arn = f"arn:aws:ecs:eu-west-1:000000000000:container-instance/web/{name}"
    ecs = {"containerInstanceArn": arn, "registeredResources": [{"name": "CPU", "integerValue": 2048}]}
    settings = {"spot": True, "running": True, "leaving": False, "ecs": ecs, **changes}
    return Machine(name, "group", "t3.micro", "eu-west-1a", launched=NOW - age, warmup=WARMUP, **settings)


def cpu(value: float, high: bool = False, low: bool = False) -> Tracked:
    """Return the article's policy: 70 % of the machines' CPU."""
    return Tracked(policy="cpu", value=value, target=70.0, high=high, low=low)


@pytest.mark.parametrize(
    ("desired", "ages", "tracked", "wanted"),
    [
        (2, [999, 999], cpu(95.0, high=True), 3),
        (2, [999, 999], cpu(200.0, high=True), 4),
        # The second machine, still warming up, is part of what the first one's use asks for.
        (2, [999, 119], cpu(95.0, high=True), None),
        (2, [999, 121], cpu(95.0, high=True), 3),
        (4, [999] * 4, cpu(95.0, high=True), None),
        (3, [999] * 3, cpu(10.0, low=True), 1),
        (3, [999, 999, 119], cpu(10.0, low=True), None),
        (1, [999], cpu(10.0, low=True), None),
        (2, [999, 999], cpu(65.0), None),
    ],
)
def test_a_group_follows_its_machines_cpu(desired: int, ages: list[float], tracked: Tracked, wanted: int) -> None:
    group = {"DesiredCapacity": desired, "MinSize": 1, "MaxSize": 4}
    machines = [machine(f"i-{number}", age) for number, age in enumerate(ages)]
    decision = wanted_machines(group, machines, [tracked], NOW)
    assert (decision[0] if decision else None) == wanted


def test_machines_that_go_do_not_count() -> None:
    group = {"DesiredCapacity": 2, "MinSize": 1, "MaxSize": 9}
    machines = [machine("i-1"), machine("i-2"), machine("i-3", leaving=True), machine("i-4", running=False)]
    decision = wanted_machines(group, machines, [cpu(95.0, high=True)], NOW)
    assert decision is not None
    assert decision[0] == 3


def test_a_warm_up_follows_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fleet.is_warm(machine(age=13), NOW)
    monkeypatch.setenv("LOCAL_SPEED", "10")
    assert fleet.is_warm(machine(age=13), NOW)


def test_a_machines_cpu_is_what_its_tasks_use_of_it() -> None:
    first, idle, booting = machine("i-1"), machine("i-2"), machine("i-3", ecs=None)

    def task(cpu_seconds: float) -> Measured:
        on_first = {"containerInstanceArn": first.ecs and first.ecs["containerInstanceArn"]}
        return Measured(on_first, [Use(100.0, 0.0, 0)], [Use(160.0, cpu_seconds, 0)])

    # 30 and 60 CPU seconds of the 120 that two processors have in a minute.
    found = metrics.machine_cpu([first, idle, booting], [task(30.0), task(60.0)])
    assert found == {"group": [75.0, 0.0]}
    assert metrics.machine_cpu([booting], []) == {}


class FakeAws:
    """Auto Scaling and CloudWatch of a group whose policy's high alarm is on."""

    def __init__(self) -> None:
        self.desired = 1

    def get_paginator(self, _operation: str) -> "FakeAws":
        """Return itself, for describe_policies."""
        return self

    def paginate(self) -> Iterator[dict[str, Any]]:
        """Yield the policies: one by CPU, and one that only follows alarms of its own."""
        names = [f"TargetTracking-group-Alarm{kind}-{number}-0" for number, kind in enumerate(("High", "Low"))]
        common = {"AutoScalingGroupName": "group", "Alarms": [{"AlarmName": name} for name in names]}
        tracking = {"TargetTrackingConfiguration": {"TargetValue": 70.0}, "PolicyName": "cpu"}
        step = {**common, "PolicyType": "StepScaling"}
        yield {"ScalingPolicies": [step, {**common, **tracking, "PolicyType": "TargetTrackingScaling"}]}

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:  # noqa: N803, ARG002
        """Describe the group."""
        return {"AutoScalingGroups": [{"DesiredCapacity": self.desired, "MinSize": 1, "MaxSize": 4}]}

    def set_desired_capacity(self, AutoScalingGroupName: str, DesiredCapacity: int) -> None:  # noqa: N803
        """Set the group's size."""
        assert AutoScalingGroupName == "group"
        self.desired = DesiredCapacity

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:  # noqa: N803
        """Describe the alarms of the policy."""
        alarm = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Period": 60, "EvaluationPeriods": 3}
        alarm |= {"Dimensions": [{"Name": "AutoScalingGroupName", "Value": "group"}]}
        states = {name: "ALARM" if "AlarmHigh" in name else "OK" for name in AlarmNames}
        return {"MetricAlarms": [alarm | {"AlarmName": name, "StateValue": state} for name, state in states.items()]}


def test_the_policy_of_a_group_sets_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, dict[str, str]]] = []

    def read(_cloudwatch: object, metric: tuple[str, str, dict[str, str]], *_rest: object, **_more: int) -> list[float]:
        asked.append(metric)
        return [95.0, 95.0, 95.0, 95.0]

    monkeypatch.setattr(metrics_store, "read", read)
    everything = FakeAws()
    controller = MachineScaling(
        regions=lambda: ["eu-west-1"], client=lambda *_names: everything, read_machines=lambda _region: [machine()]
    )
    controller.step()
    assert everything.desired == 2
    controller.step()
    assert everything.desired == 2, "the second machine is under way already"
    assert asked[0] == ("AWS/EC2", "CPUUtilization", {"AutoScalingGroupName": "group"})
