"""What is kept of metrics, and how far AWS lets one read them."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from spotfleet.local.api import metrics_store
from spotfleet.local.host import delays

METRIC = ("AWS/ECS", "CPUUtilization", {"ServiceName": "web"})


class FakeCloudWatch:
    """Keeps data points as CloudWatch does and answers with them."""

    def __init__(self) -> None:
        self.points: list[tuple[datetime, float]] = []

    def put_metric_data(self, MetricData: list[dict[str, Any]], **_more: str) -> None:  # noqa: N803  # boto3's name
        """Keep the values."""
        self.points += [(item["Timestamp"], value) for item in MetricData for value in item["Values"]]

    def get_metric_data(self, StartTime: datetime, EndTime: datetime, **_more: object) -> dict[str, Any]:  # noqa: N803
        """Return the average of each second."""
        found_in = [
            (moment.replace(microsecond=0), value) for moment, value in self.points if StartTime <= moment < EndTime
        ]
        seconds = sorted({second for second, _ in found_in})
        values = [[value for other, value in found_in if other == second] for second in seconds]
        found = {"Timestamps": seconds, "Values": [sum(item) / len(item) for item in values]}
        return {"MetricDataResults": [found]}


@pytest.mark.parametrize("speed", ["1", "7", "10", "60"])
def test_metrics_are_kept_by_aws_minutes(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    cloudwatch, now = FakeCloudWatch(), metrics_store.minute(1_800_000_000.0)
    for number, samples in ((now - 4, [10.0, 30.0]), (now - 2, [50.0]), (now - 1, [70.0])):
        metrics_store.publish(cloudwatch, "AWS/ECS", {"CPUUtilization": samples}, {"ServiceName": "web"}, number)
    assert metrics_store.read(cloudwatch, METRIC, "Average", now, 5) == [20.0, None, 50.0, 70.0, None]
    assert metrics_store.read(cloudwatch, METRIC, "Sum", now - 1, 2, minutes_each=2) == [20.0, 120.0]
    assert metrics_store.read(cloudwatch, METRIC, "Maximum", now - 1, 1, minutes_each=4) == [70.0]


@pytest.mark.parametrize("speed", ["1", "7", "10", "20"])
def test_periods_of_20_seconds_are_kept_and_make_minutes(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    cloudwatch, now = FakeCloudWatch(), 3 * metrics_store.minute(1_800_000_000.0)
    for number, value in ((now, 30.0), (now + 1, 60.0), (now + 3, 90.0)):
        values = {"CPUUtilization": [value]}
        metrics_store.publish(cloudwatch, "AWS/ECS", values, {"ServiceName": "web"}, number, unit=20)
    assert metrics_store.read(cloudwatch, METRIC, "Average", now + 3, 5, unit=20) == [None, 30.0, 60.0, None, 90.0]
    assert metrics_store.read(cloudwatch, METRIC, "Average", now // 3 + 1, 2) == [45.0, 90.0]


def test_above_speed_20_periods_of_20_seconds_share_their_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "60")
    cloudwatch, now = FakeCloudWatch(), 3 * metrics_store.minute(1_800_000_000.0)
    for number, value in ((now, 30.0), (now + 1, 60.0), (now + 2, 90.0)):
        values = {"CPUUtilization": [value]}
        metrics_store.publish(cloudwatch, "AWS/ECS", values, {"ServiceName": "web"}, number, unit=20)
    assert metrics_store.read(cloudwatch, METRIC, "Average", now + 2, 3, unit=20) == [60.0] * 3


def test_values_may_stand_for_more_samples() -> None:
    given: list[dict[str, Any]] = []

    class Kept:
        def put_metric_data(self, MetricData: list[dict[str, Any]], **_more: str) -> None:  # noqa: N803  # boto3's name
            given.extend(MetricData)

    metrics_store.publish(Kept(), "n", {"a": [1.0, 2.0], "b": [1.0]}, {}, 1, samples={"a": 50})
    assert [item["Counts"] for item in given] == [[25.0, 25.0], [1.0]]


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest delays: 180 s, and 20 s."""
    monkeypatch.setenv(delays.VARIABLE, "slow")


@pytest.mark.usefixtures("_slow")
@pytest.mark.parametrize(
    ("unit", "number", "delay"),
    [(60, 30_000_000, 180), (20, 90_000_000, 20)],
)
def test_a_value_cannot_be_read_before_its_delay_is_over(unit: int, number: int, delay: int) -> None:
    """Rule W1."""
    ended = metrics_store.end(number, unit)
    assert metrics_store.newest_readable(METRIC, ended + delay - 0.1, unit) == number - 1
    assert metrics_store.newest_readable(METRIC, ended + delay, unit) == number


def test_a_typical_value_can_be_read_one_to_three_minutes_after_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(delays.VARIABLE, "typical")
    monkeypatch.setenv(delays.SEED_VARIABLE, "7")
    monkeypatch.setenv("LOCAL_SPEED", "10")
    newest = [metrics_store.newest_readable(METRIC, 1_800_000_000.0 + tenth / 10) for tenth in range(600)]
    assert newest == sorted(newest), "what could be read stays so"
    ages = [
        10 * (1_800_000_000.0 + tenth / 10 - metrics_store.end(after))
        for tenth, (before, after) in enumerate(pairwise(newest), 1)
        if after != before
    ]
    assert min(ages) >= 60
    assert max(ages) <= 181
    assert len(set(ages)) > 3, "each minute has its own delay"


def test_without_delays_a_minute_can_be_read_when_it_has_ended() -> None:
    assert metrics_store.newest_readable(METRIC, metrics_store.end(100)) == 100
    assert metrics_store.newest_readable(METRIC, metrics_store.end(100) - 0.1) == 99
