"""What Auto Scaling groups make of their machines' CPU use, on numbers and a clock that the tests set."""

import functools
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from spotfleet.behaviour import usage
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.target_tracking import Tracked
from spotfleet.behaviour.usage import Measured, Use
from spotfleet.local.api import metrics_store
from spotfleet.local.backchannel import alarm_actions
from spotfleet.local.controllers.machine_scaling import MachineScaling, wanted_machines
from tests.support import answers
from tests.support.answers import Answer, answering

# The AWS minute that the newest data point is of, and when it ended.
MINUTE = 20_000
ENDED = (MINUTE + 1) * 60.0
WARMUP = 120.0


def machine(name: str = "i-1", age: float = 1000, **changes: Any) -> Machine:  # noqa: ANN401  # each its own type
    """Return a machine of two processors that was launched some seconds before the minute ended."""
    arn = f"arn:aws:ecs:eu-west-1:000000000000:container-instance/web/{name}"
    ecs = {"containerInstanceArn": arn, "registeredResources": [{"name": "CPU", "integerValue": 2048}]}
    settings = {"spot": True, "running": True, "leaving": False, "ecs": ecs, **changes}
    return Machine(name, "group", "t3.micro", "eu-west-1a", launched=ENDED - age, warmup=WARMUP, **settings)


def cpu(value: float, high: bool = False, low: bool = False) -> Tracked:
    """Return the article's policy: 70 % of the machines' CPU."""
    return Tracked(policy="cpu", value=value, target=70.0, high=high, low=low, ended=ENDED)


@pytest.mark.parametrize(
    ("desired", "ages", "tracked", "wanted"),
    [
        (2, [999, 999], cpu(95.0, high=True), 3),
        (2, [999, 999], cpu(200.0, high=True), 4),
        # The second machine, still warming up, is part of what the first one's use asks for.
        (2, [999, 119], cpu(95.0, high=True), None),
        (2, [999, 121], cpu(95.0, high=True), 3),
        # The second machine was not warm yet when the minute ended, whatever it is now.
        (2, [999, 90], cpu(95.0, high=True), None),
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
    decision = wanted_machines(group, machines, [tracked])
    assert (decision[0] if decision else None) == wanted


@pytest.mark.parametrize(
    ("desired", "tracked", "wanted"),
    [
        # The work of three machines at 95 % is that of five at 70 %.
        (2, cpu(95.0, high=True), 5),
        # That of three at 40 % is that of two: the group has shrunk to them already.
        (2, cpu(40.0, low=True), None),
    ],
)
def test_a_machine_that_drains_still_made_the_metric(desired: int, tracked: Tracked, wanted: int | None) -> None:
    group = {"DesiredCapacity": desired, "MinSize": 1, "MaxSize": 9}
    machines = [machine("i-1"), machine("i-2"), machine("i-3", leaving=True), machine("i-4", running=False)]
    decision = wanted_machines(group, machines, [tracked])
    assert (decision[0] if decision else None) == wanted


def test_a_machines_use_is_that_of_its_tasks_and_of_its_system() -> None:
    """Rule G12: EC2 measures the whole machine; at rest a t3.micro shows a percent of its two processors."""
    first, idle, booting = machine("i-1"), machine("i-2"), machine("i-3", ecs=None)

    def task(cpu_seconds: float) -> Measured:
        on_first = {"containerInstanceArn": first.ecs and first.ecs["containerInstanceArn"]}
        before, after = Use(100.0, 0.0, 0, received=10, sent=100), Use(160.0, cpu_seconds, 0, received=15, sent=107)
        return Measured(on_first, [before], [after])

    # 30 and 60 CPU seconds of the 120 that two processors have in a minute, and two containers to watch.
    ages = {"i-1": 900.0, "i-2": 900.0}
    found = usage.machine_use([first, idle, booting], [task(30.0), task(60.0)], ages, {})
    assert found == {
        "group": {
            "i-1": {"CPUUtilization": pytest.approx(75.0 + 1.0 + 1.2), "NetworkIn": 10.0, "NetworkOut": 14.0},
            "i-2": {"CPUUtilization": pytest.approx(1.0), "NetworkIn": 0.0, "NetworkOut": 0.0},
        }
    }
    assert usage.machine_use([booting], [], {}, {}) == {}
    # Without credits tasks and system have the baseline together, as B5 shows it: 10 percent.
    starving = usage.machine_use([first], [task(12.0)], ages, {"i-1": 0.2})
    assert starving["group"]["i-1"]["CPUUtilization"] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("since_launch", "vcpus"),
    [(900, 0.02), (135, 0.02), (105, 0.02 + 0.5 * 15 / 75), (60, 0.02 + 60 / 75 * 15 / 60)],
)
def test_a_boot_shows_in_the_minutes_that_it_is_in(since_launch: float, vcpus: float) -> None:
    """Rules G12 and B3: 15 CPU seconds in the 75 s of a boot."""
    assert usage.system_vcpus(0, since_launch, 75) == pytest.approx(vcpus)


def test_a_machine_that_began_within_five_minutes_counts_as_much_as_the_others() -> None:
    """Rule G12: EC2 has one value of each machine, and the group's is their average."""
    busy = [{"CPUUtilization": 24.0, "NetworkIn": 10.0}] * 5
    new = [{"CPUUtilization": 0.0, "NetworkIn": 0.0}] * 2

    assert usage.of_machines({"i-1": busy, "i-2": new}) == {"CPUUtilization": [24.0, 0.0], "NetworkIn": [50.0, 0.0]}


class Group:
    """What Auto Scaling and CloudWatch answer of a group whose policy's high or low alarm is on."""

    def __init__(self, desired: int, alarm: str = "AlarmHigh") -> None:
        self.desired = desired
        self.alarm = alarm
        self.now = ENDED + 5
        self.activities: list[Answer] = []

    @property
    def name_of_alarm(self) -> str:
        """The alarm that is on, which calls its policy each time that the test's clock has moved."""
        return f"TargetTracking-group-{self.alarm}-{int(self.alarm == 'AlarmLow')}-0"

    def describe_policies(self) -> Answer:
        """Describe the policies: one by CPU, and one that only follows alarms of its own."""
        names = [f"TargetTracking-group-Alarm{kind}-{number}-0" for number, kind in enumerate(("High", "Low"))]
        common = {"AutoScalingGroupName": "group", "Alarms": [{"AlarmName": name} for name in names]}
        by_cpu = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
        tracking = {"TargetTrackingConfiguration": {"TargetValue": 70.0, **by_cpu}, "PolicyName": "cpu"}
        step = {**common, "PolicyType": "StepScaling"}
        return {"ScalingPolicies": [step, {**common, **tracking, "PolicyType": "TargetTrackingScaling"}]}

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> Answer:  # noqa: N803
        """Describe the group."""
        sizes = {"DesiredCapacity": self.desired, "MinSize": 1, "MaxSize": 9}
        return {"AutoScalingGroups": [answers.group(name, **sizes) for name in AutoScalingGroupNames]}

    def describe_scaling_activities(self, AutoScalingGroupName: str) -> Answer:  # noqa: N803
        """Describe what the group did, newest first."""
        assert AutoScalingGroupName == "group"
        return {"Activities": self.activities}

    def set_desired_capacity(self, AutoScalingGroupName: str, DesiredCapacity: int) -> None:  # noqa: N803
        """Set the group's size."""
        assert AutoScalingGroupName == "group"
        self.desired = DesiredCapacity
        self.note(self.now)

    def note(self, started: float, ended: float | None = None) -> None:
        """Keep an activity."""
        moments = [datetime.fromtimestamp(moment, UTC) for moment in (started, started if ended is None else ended)]
        self.activities.insert(0, answers.activity(moments[0], EndTime=moments[1]))

    def describe_alarms(self, AlarmNames: list[str]) -> Answer:  # noqa: N803
        """Describe the alarms of the policy."""
        alarm = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Period": 60, "EvaluationPeriods": 3}
        alarm |= {"Dimensions": [{"Name": "AutoScalingGroupName", "Value": "group"}]}
        states = {name: "ALARM" if self.alarm in name else "OK" for name in AlarmNames}
        return {"MetricAlarms": [alarm | {"AlarmName": name, "StateValue": state} for name, state in states.items()]}


Metric = tuple[str, str, dict[str, str]]


def controller(
    monkeypatch: pytest.MonkeyPatch, group: Group, value: float, asked: list[Metric] | None = None
) -> MachineScaling:
    """Return the controller over a group whose metric has one value; its machines are all there at once, and warm."""

    def read_all(_cloudwatch: object, wanted: Sequence[metrics_store.Periods]) -> list[list[float]]:
        if asked is not None:
            asked.extend((*one.metric[:2], dict(one.metric[2])) for one in wanted)
        return [[value] * 5 for _ in wanted]

    monkeypatch.setattr(metrics_store, "read_all", read_all)
    monkeypatch.setattr(alarm_actions, "called", lambda _region: {group.name_of_alarm: group.now})
    monkeypatch.setattr(time, "time", lambda: group.now)
    return MachineScaling(
        regions=lambda: ["eu-west-1"],
        client=functools.cache(lambda service, _region: answering(service, group)),
        read_machines=lambda _region: [machine(f"i-{number}") for number in range(group.desired)],
    )


def test_the_policy_of_a_group_sets_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Metric] = []
    group = Group(1)
    controller(monkeypatch, group, 95.0, asked).step()
    assert group.desired == 2
    assert asked[0] == ("AWS/EC2", "CPUUtilization", {"AutoScalingGroupName": "group"})


def test_a_data_point_is_acted_upon_once(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(8, alarm="AlarmLow")
    following = controller(monkeypatch, group, 40.0)
    for _ in range(3):
        following.step()
        group.now += 5
    assert group.desired == 5
    group.now = ENDED + 65
    following.step()
    assert group.desired == 3


def test_a_data_point_from_before_the_end_of_a_drain_is_not_acted_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(5, alarm="AlarmLow")
    group.note(ENDED - 90, ended=ENDED + 1)
    controller(monkeypatch, group, 40.0).step()
    assert group.desired == 5
