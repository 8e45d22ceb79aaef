"""What alarms, target tracking and schedules decide, on numbers and a clock that the tests set."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotfleet.behaviour import schedules, usage
from spotfleet.behaviour.placement import Need
from spotfleet.behaviour.scaling import Capacity, Tracked, alarm_state, track
from spotfleet.local.api import metrics_store
from spotfleet.local.backchannel import scaling_activities
from spotfleet.local.controllers import service_scaling
from spotfleet.local.emulator import application_autoscaling


def alarm(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # each member has its own type
    """Return an alarm that fires above 70."""
    return {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 70.0, "StateValue": "OK", **changes}


@pytest.mark.parametrize(
    ("changes", "values", "state"),
    [
        ({}, [71.0, 80.0, 99.0], "ALARM"),
        ({}, [71.0, 70.0, 99.0], "OK"),
        ({"DatapointsToAlarm": 2}, [71.0, 70.0, 99.0], "ALARM"),
        ({}, [None, 80.0, 99.0], "OK"),
        ({}, [None, None, None], "INSUFFICIENT_DATA"),
        ({"TreatMissingData": "breaching"}, [None, 80.0, 99.0], "ALARM"),
        ({"TreatMissingData": "notBreaching"}, [None, None, None], "OK"),
        ({"TreatMissingData": "ignore", "StateValue": "ALARM"}, [None, 1.0, 1.0], "ALARM"),
        ({"ComparisonOperator": "LessThanThreshold"}, [69.0] * 3, "ALARM"),
        ({"ComparisonOperator": "LessThanOrEqualToThreshold"}, [70.0] * 3, "ALARM"),
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, [70.0] * 3, "ALARM"),
    ],
)
def test_alarm_state(changes: dict[str, Any], values: list[float | None], state: str) -> None:
    assert alarm_state(alarm(**changes), values)[0] == state


def test_an_alarm_says_why() -> None:
    assert alarm_state(alarm(), [71.0, 80.25, None])[1] == (
        "Threshold Crossed: only 2 out of the last 3 datapoints [71, 80.25, no data] was greater than 70 "
        "(minimum 3 for ALARM)."
    )


def cpu(value: float | None, high: bool = False, low: bool = False, **changes: Any) -> Tracked:  # noqa: ANN401
    """Return a policy that keeps the CPU at 70 %."""
    return Tracked(policy="cpu", value=value, target=70.0, high=high, low=low, **changes)


@pytest.mark.parametrize(
    ("desired", "counted", "tracked", "wanted"),
    [
        # In proportion: 2 tasks at 98 % are as much as 2.8 at 70 %.
        (2, 2, cpu(98.0, high=True), 3),
        (2, 2, cpu(280.0, high=True), 8),
        (2, 2, cpu(9000.0, high=True), 12),
        (4, 4, cpu(70.1, high=True), None),
        # What is in flight is not asked for again: 2 tasks made the metric, 4 are wanted already.
        (4, 2, cpu(140.0, high=True), None),
        (4, 2, cpu(170.0, high=True), 5),
        (12, 12, cpu(99.0, high=True), None),
        (8, 8, cpu(20.0, low=True), 3),
        (8, 8, cpu(0.0, low=True), 2),
        (2, 2, cpu(0.0, low=True), None),
        (8, 8, cpu(20.0, low=True, can_scale_in=False), None),
        (8, 8, cpu(20.0), None),
        (8, 8, cpu(None, high=True), None),
    ],
)
def test_target_tracking(desired: int, counted: int, tracked: Tracked, wanted: int | None) -> None:
    decision = track(Capacity(desired, counted, minimum=2, maximum=12), [tracked])
    assert (decision[0] if decision else None) == wanted


def test_one_policy_scales_out_and_all_scale_in() -> None:
    capacity = Capacity(4, 4, minimum=1, maximum=12)
    memory = Tracked(policy="memory", value=60.0, target=80.0, high=False, low=True)
    out = track(capacity, [memory, cpu(140.0, high=True)])
    assert out is not None
    assert (out[0], out[1].policy) == (8, "cpu")
    assert track(capacity, [memory, cpu(65.0)]) is None
    both = track(capacity, [memory, cpu(10.0, low=True)])
    assert both is not None
    assert (both[0], both[1].policy) == (3, "memory")


def test_a_data_point_is_acted_upon_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    # Of minutes of 6 s: number 20 ended at 126, number 21 at 132.
    changes = [scaling_activities.Change(moment=126.5, before=3, after=5)]
    assert service_scaling.was_acted_upon(20, changes)
    assert not service_scaling.was_acted_upon(21, changes)
    assert not service_scaling.was_acted_upon(20, [])


def test_the_tasks_that_made_a_data_point_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")

    def task(started: float, **changes: str) -> dict[str, Any]:
        moment = datetime.fromtimestamp(started, UTC)
        return {"startedBy": "web", "lastStatus": "RUNNING", "startedAt": moment, **changes}

    # Minute number 20, of 6 s, ended at 126.
    tasks = [
        task(100.0),
        task(125.9),
        task(100.0),
        task(126.1),
        task(100.0, startedBy="api"),
        task(100.0, lastStatus="DEACTIVATING"),
        {"startedBy": "web", "lastStatus": "PROVISIONING"},
    ]
    assert service_scaling.measured_tasks(tasks, "web", 20) == 3


@pytest.mark.parametrize(
    ("wanted", "changes", "may"),
    [
        (5, {}, True),
        (5, {"DynamicScalingOutSuspended": True}, False),
        (5, {"DynamicScalingInSuspended": True, "deploying": True, "changed_ago": 1}, True),
        (3, {}, True),
        (3, {"DynamicScalingInSuspended": True}, False),
        (3, {"deploying": True}, False),
        (3, {"changed_ago": 119}, False),
        (3, {"changed_ago": 121}, True),
    ],
)
def test_what_forbids_a_change(wanted: int, changes: dict[str, Any], may: bool) -> None:
    suspended = {"DynamicScalingOutSuspended": False, "DynamicScalingInSuspended": False}
    target = {"SuspendedState": {name: changes.get(name, value) for name, value in suspended.items()}}
    state = "IN_PROGRESS" if changes.get("deploying") else "COMPLETED"
    service = {"desiredCount": 4, "deployments": [{"rolloutState": state}]}
    policy = {"TargetTrackingScalingPolicyConfiguration": {"ScaleInCooldown": 120}}
    moment = time.time() - changes.get("changed_ago", 1000)
    activities = [scaling_activities.Change(moment, 3, 4)]
    assert service_scaling._may(target, service, wanted, [policy], activities) is may


NOW = datetime(2026, 3, 2, 12, 0, 20, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "zone", "due"),
    [
        ("at(2026-03-02T12:00:15)", "UTC", True),
        ("at(2026-03-02T12:00:05)", "UTC", False),
        ("at(2026-03-02T13:00:15)", "Europe/Berlin", True),
        ("cron(0 12 * * ? *)", "UTC", False),
        ("rate(1 minute)", "UTC", False),
    ],
)
def test_a_schedule_is_due_once(expression: str, zone: str, due: bool) -> None:
    last = NOW - timedelta(seconds=10)
    assert schedules.is_due(expression, zone, NOW - timedelta(seconds=50), last, NOW) is due
    assert not schedules.is_due(expression, zone, NOW - timedelta(seconds=50), NOW, NOW + timedelta(seconds=1))


def test_a_cron_schedule_is_due_in_its_minute() -> None:
    last = NOW - timedelta(seconds=30)
    assert schedules.is_due("cron(0 12 ? * MON *)", "UTC", NOW, last, NOW)
    assert schedules.is_due("cron(0 13 ? * MON *)", "Europe/Berlin", NOW, last, NOW)
    assert not schedules.is_due("cron(0 12 ? * TUE *)", "UTC", NOW, last, NOW)
    # What nothing looked at for a while is made up for, not what is long past.
    assert schedules.is_due("cron(30 11 * * ? *)", "UTC", NOW, NOW - timedelta(days=1), NOW)
    assert not schedules.is_due("cron(30 10 * * ? *)", "UTC", NOW, NOW - timedelta(days=1), NOW)


def test_a_rate_follows_the_speed() -> None:
    created = NOW - timedelta(seconds=12)
    assert schedules.is_due("rate(2 minutes)", "UTC", created, NOW - timedelta(seconds=1), NOW, 10)
    assert not schedules.is_due("rate(5 minutes)", "UTC", created, NOW - timedelta(seconds=1), NOW, 10)


def test_a_tasks_use_is_measured_against_its_reservation() -> None:
    before, after = usage.Use(100.0, 5.0, 0), usage.Use(160.0, 20.0, 128 * 1024 * 1024)
    measured = usage.Measured({}, [before], [after])
    # 15 CPU seconds in 60 are a quarter of a CPU, which is what 256 units are.
    values = usage.utilization(measured, Need(cpu=256, memory=256))
    assert values == {"CPUUtilization": [100.0], "MemoryUtilization": [50.0]}
    assert usage.utilization(measured, Need()) == {}
    assert usage.utilization(usage.Measured({}, [], []), Need(cpu=256)) == {}


def test_docker_counts_the_page_cache_and_ecs_does_not() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
        "memory_stats": {"usage": 900, "stats": {"inactive_file": 300}},
        "networks": {"eth0": {"rx_bytes": 7, "tx_bytes": 9}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}},
    }
    assert usage.use_of(stats, 1.0) == usage.Use(1.0, 2.5, 600, received=8, sent=11)
    assert usage.use_of({}, 1.0) == usage.Use(1.0, 0.0, 0)


def test_a_clusters_use_and_reservation() -> None:
    machine = {
        "registeredResources": [{"name": "CPU", "integerValue": 2048}, {"name": "MEMORY", "integerValue": 800}],
        "remainingResources": [{"name": "CPU", "integerValue": 1024}, {"name": "MEMORY", "integerValue": 600}],
    }
    before, after = usage.Use(100.0, 5.0, 0), usage.Use(160.0, 35.0, 400 * 1024 * 1024)
    assert usage.cluster_use([machine], [usage.Measured({}, [before], [after])]) == {
        "CPUReservation": [50.0],
        "CPUUtilization": [25.0],
        "MemoryReservation": [25.0],
        "MemoryUtilization": [50.0],
    }
    assert usage.cluster_use([], []) == {}


def test_a_group_tells_its_size() -> None:
    instances = [{"LifecycleState": state} for state in ("InService", "InService", "Pending", "Terminating:Wait")]
    size = usage.group_size({"DesiredCapacity": 3, "MinSize": 1, "MaxSize": 5, "Instances": instances})
    assert (size["GroupInServiceInstances"], size["GroupTotalInstances"]) == ([2.0], [4.0])
    assert (size["GroupPendingInstances"], size["GroupTerminatingInstances"]) == ([1.0], [1.0])
    assert (size["GroupDesiredCapacity"], size["GroupMinSize"], size["GroupMaxSize"]) == ([3.0], [1.0], [5.0])


class FakeCloudWatch:
    """Keeps data points as CloudWatch does and answers with them."""

    def __init__(self) -> None:
        self.points: list[tuple[datetime, float]] = []

    def put_metric_data(self, MetricData: list[dict[str, Any]], **_more: str) -> None:  # noqa: N803  # boto3's name
        """Keep the values."""
        self.points += [(item["Timestamp"], value) for item in MetricData for value in item["Values"]]

    def get_metric_data(self, StartTime: datetime, EndTime: datetime, **_more: object) -> dict[str, Any]:  # noqa: N803
        """Return the average of each moment, with its fraction of a second lost."""
        moments = sorted({moment for moment, _ in self.points if StartTime <= moment < EndTime})
        values = [[value for other, value in self.points if other == moment] for moment in moments]
        found = {
            "Timestamps": [moment.replace(microsecond=0) for moment in moments],
            "Values": [sum(item) / len(item) for item in values],
        }
        return {"MetricDataResults": [found]}


@pytest.mark.parametrize("speed", ["1", "7", "10", "60"])
def test_metrics_are_kept_by_aws_minutes(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    cloudwatch, now = FakeCloudWatch(), metrics_store.minute(1_800_000_000.0)
    for number, samples in ((now - 4, [10.0, 30.0]), (now - 2, [50.0]), (now - 1, [70.0])):
        metrics_store.publish(cloudwatch, "AWS/ECS", {"CPUUtilization": samples}, {"ServiceName": "web"}, number)
    metric = ("AWS/ECS", "CPUUtilization", {"ServiceName": "web"})
    assert metrics_store.read(cloudwatch, metric, "Average", now, 5) == [20.0, None, 50.0, 70.0, None]
    assert metrics_store.read(cloudwatch, metric, "Sum", now - 1, 2, minutes_each=2) == [20.0, 120.0]
    assert metrics_store.read(cloudwatch, metric, "Maximum", now - 1, 1, minutes_each=4) == [70.0]


def test_an_activity_is_told_with_its_reason() -> None:
    place = {"ServiceNamespace": "ecs", "ResourceId": "service/c/told", "ScalableDimension": "ecs:service:DesiredCount"}
    scaling_activities.record_activity("eu-test-1", place, "Setting desired count to 3.", "because", (2, 3))
    service = application_autoscaling.ApplicationAutoScaling()
    status, body = service.answer(
        "DescribeScalingActivities", "000000000000", "eu-test-1", b'{"ServiceNamespace": "ecs"}'
    )
    assert status == 200
    assert b'"Cause": "because"' in body
    assert b"Successfully set desired count to 3. Change successfully fulfilled by ecs." in body
    change = scaling_activities.changes("eu-test-1", place)[0]
    assert (change.before, change.after) == (2, 3)
    assert scaling_activities.changes("eu-test-1", {**place, "ResourceId": "service/c/other"}) == []
