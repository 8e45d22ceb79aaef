"""What the embedded AWS keeps of metrics, and how far AWS lets one read them."""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from spotfleet.local.api import metrics_store
from spotfleet.local.host import delays
from tests.support.clouds import Cloud, running

METRIC = ("AWS/ECS", "CPUUtilization", {"ServiceName": "web"})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run the embedded AWS."""
    with running(tmp_path_factory.mktemp("server") / "log") as started:
        yield started


class Published:
    """The metrics of a service that no other test has, in CloudWatch."""

    def __init__(self, cloud: Cloud, service: str) -> None:
        self.cloudwatch = cloud.client("cloudwatch")
        self.dimensions = {"ServiceName": service}

    def publish(self, number: int, values: list[float], name: str = "CPUUtilization", **more: Any) -> None:  # noqa: ANN401
        """Put values into one minute, or into another period."""
        metrics_store.publish(self.cloudwatch, "AWS/ECS", {name: values}, self.dimensions, number, **more)

    def read(
        self, statistic: str, last: int, count: int, name: str = "CPUUtilization", **more: int
    ) -> list[float | None]:
        """Return so many values up to the last."""
        return metrics_store.read(self.cloudwatch, ("AWS/ECS", name, self.dimensions), statistic, last, count, **more)


@pytest.fixture
def published(cloud: Cloud, request: pytest.FixtureRequest) -> Published:
    """Metrics named after the test."""
    return Published(cloud, request.node.name)


@pytest.mark.parametrize("speed", ["1", "7", "10", "60"])
def test_metrics_are_kept_by_aws_minutes(monkeypatch: pytest.MonkeyPatch, published: Published, speed: str) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    now = metrics_store.minute(time.time())
    for number, samples in ((now - 4, [10.0, 30.0]), (now - 2, [50.0]), (now - 1, [70.0])):
        published.publish(number, samples)
    assert published.read("Average", now, 5) == [20.0, None, 50.0, 70.0, None]
    assert published.read("Sum", now - 1, 2, minutes_each=2) == [40.0, 120.0]
    assert published.read("Maximum", now - 1, 1, minutes_each=4) == [70.0]


@pytest.mark.parametrize("speed", ["1", "7", "10", "20"])
def test_periods_of_20_seconds_are_kept_and_make_minutes(
    monkeypatch: pytest.MonkeyPatch, published: Published, speed: str
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    now = 3 * metrics_store.minute(time.time())
    for number, value in ((now, 30.0), (now + 1, 60.0), (now + 3, 90.0)):
        published.publish(number, [value], unit=20)
    assert published.read("Average", now + 3, 5, unit=20) == [None, 30.0, 60.0, None, 90.0]
    assert published.read("Average", now // 3 + 1, 2) == [45.0, 90.0]


def test_above_speed_20_periods_of_20_seconds_share_their_second(
    monkeypatch: pytest.MonkeyPatch, published: Published
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "60")
    now = 3 * metrics_store.minute(time.time())
    for number, value in ((now, 30.0), (now + 1, 60.0), (now + 2, 90.0)):
        published.publish(number, [value], unit=20)
    assert published.read("Average", now + 2, 3, unit=20) == [60.0] * 3


def test_values_may_stand_for_more_samples(published: Published) -> None:
    now = metrics_store.minute(time.time())
    published.publish(now, [1.0, 2.0], name="a", samples={"a": 50})
    published.publish(now, [1.0], name="b", samples={"a": 50})
    assert [published.read("SampleCount", now, 1, name=name) for name in ("a", "b")] == [[50.0], [1.0]]
    assert published.read("Average", now, 1, name="a") == [1.5]


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


def test_what_is_published_together_is_there_with_the_end_of_the_block(published: Published) -> None:
    now = metrics_store.minute(time.time())
    with metrics_store.together():
        published.publish(now - 1, [10.0])
        published.publish(now - 1, [30.0], "MemoryUtilization")
        assert published.read("Average", now, 2) == [None, None]
    assert published.read("Average", now, 2) == [10.0, None]
    assert published.read("Average", now, 2, "MemoryUtilization") == [30.0, None]


def test_metrics_that_are_read_together_have_their_own_periods(published: Published) -> None:
    now = metrics_store.minute(time.time())
    for number in range(6):
        published.publish(now - number, [float(number)])
        published.publish(now - number, [10.0 * number], "MemoryUtilization")
    cpu, memory = (("AWS/ECS", name, published.dimensions) for name in ("CPUUtilization", "MemoryUtilization"))
    wanted = [
        metrics_store.Periods(cpu, "Average", now, 2),
        metrics_store.Periods(memory, "Maximum", now - 1, 2, minutes_each=2),
    ]
    assert metrics_store.read_all(published.cloudwatch, wanted) == [[1.0, 0.0], [40.0, 20.0]]
    assert metrics_store.read_all(published.cloudwatch, []) == []
