"""What schedules decide, what metrics are made of and what is kept of them, on a clock that the tests set."""

from datetime import UTC, datetime, timedelta

import pytest

from spotfleet.behaviour import schedules, usage
from spotfleet.behaviour.placement import Need
from spotfleet.local.backchannel import scaling_activities
from spotfleet.local.emulator import application_autoscaling

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


def test_an_action_of_a_group_is_due_at_its_start_and_as_often_as_it_recurs() -> None:
    """Rule G13."""
    last, start = NOW - timedelta(seconds=30), NOW - timedelta(seconds=5)
    assert schedules.is_action_due({"StartTime": start}, last, NOW)
    assert not schedules.is_action_due({"StartTime": start}, NOW, NOW + timedelta(seconds=30))
    assert schedules.is_action_due({"Recurrence": "0 12 * * *"}, last, NOW)
    assert schedules.is_action_due({"Recurrence": "30 6 * * *", "StartTime": start}, last, NOW)
    assert not schedules.is_action_due({"Recurrence": "0 12 * * *", "StartTime": NOW + timedelta(1)}, last, NOW)
    # Not at the end itself any more.
    assert not schedules.is_action_due({"Recurrence": "0 12 * * *", "EndTime": NOW}, last, NOW)
    assert not schedules.is_action_due({}, last, NOW)


def test_an_action_of_a_group_follows_daylight_saving() -> None:
    action = {"Recurrence": "30 6 * * *", "TimeZone": "Europe/Berlin"}

    def due(day: datetime) -> list[int]:
        """Return the hours of a day in UTC in which the action is due."""
        hours = [day + timedelta(hours=number) for number in range(24)]
        return [hour.hour for hour in hours if schedules.is_action_due(action, hour, hour + timedelta(minutes=59))]

    # The clocks went forward on 29 March 2026.
    assert due(datetime(2026, 3, 28, tzinfo=UTC)) == [5]
    assert due(datetime(2026, 3, 30, tzinfo=UTC)) == [4]
    assert due(datetime(2026, 10, 26, tzinfo=UTC)) == [5]


GROUP = {"MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2}


@pytest.mark.parametrize(
    ("action", "sizes"),
    [
        ({"DesiredCapacity": 3}, (1, 4, 3)),
        ({"MinSize": 3}, (3, 4, 3)),
        ({"MaxSize": 1}, (1, 1, 1)),
        ({"MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0}, (0, 0, 0)),
        ({"MinSize": 5, "MaxSize": 6}, (5, 6, 5)),
    ],
)
def test_what_an_action_of_a_group_sets(action: dict[str, int], sizes: tuple[int, int, int]) -> None:
    assert tuple(schedules.sizes_after(action, GROUP).values()) == sizes


@pytest.mark.parametrize("action", [{"DesiredCapacity": 5}, {"MinSize": 5}, {"MinSize": 3, "DesiredCapacity": 2}])
def test_an_action_that_contradicts_the_group_fails(action: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be between the specified min size"):
        schedules.sizes_after(action, GROUP)


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
