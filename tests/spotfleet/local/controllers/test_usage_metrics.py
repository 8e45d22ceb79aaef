"""How often the use of tasks and machines is published (rules T12, W6, W7 and G12)."""

import functools
import time
from typing import Any

import pytest

from spotfleet.behaviour import usage
from spotfleet.behaviour.usage import Use
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.controllers.container_use import Reader
from spotfleet.local.controllers.fast_usage_metrics import FastMetrics
from spotfleet.local.controllers.usage_metrics import Metrics
from tests.spotfleet.local.controllers.test_published_metrics import Engine, running_service
from tests.support.answers import answering

REGION = "eu-west-1"
FAST = {"metricConfigurations": [{"metricNames": ["CPUUtilization"], "resolutionSeconds": 20}]}


def test_a_revision_tells_which_metrics_come_every_20_seconds() -> None:
    assert usage.fast_metrics({"monitoring": FAST}) == {"CPUUtilization"}
    slow = {"metricNames": ["MemoryUtilization"], "resolutionSeconds": 60}
    assert usage.fast_metrics({"monitoring": {"metricConfigurations": [slow]}}) == frozenset()
    assert usage.fast_metrics({}) == frozenset()


def test_a_services_use_is_that_of_its_tasks_by_what_they_reserve() -> None:
    """Rule W6: 2 tasks of 256 units use 0.1 and 0.2 of a CPU: 307.2 of 512 units."""
    task: dict[str, Any] = {"containers": []}
    percents = [
        usage.Measured(task, [Use(0, 0.0, 0)], [Use(60, 60 * cores, 0)]).cpu_percent(256) for cores in (0.1, 0.2)
    ]
    assert sum(percents) / len(percents) == pytest.approx(60.0)


def test_basic_monitoring_tells_of_every_fifth_minute() -> None:
    """Rules G12 and W7: the first full point is that of 0 to 300 s, which its last minute has."""
    assert [minute for minute in range(10) if usage.tells_of_machines(minute, detailed=False)] == [4, 9]
    assert all(usage.tells_of_machines(minute, detailed=True) for minute in range(10))


class Moment:
    """A clock that a test sets."""

    now = 0.0


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Moment:
    """The clock of the controllers; it begins with five of AWS's minutes."""
    moment = Moment()
    moment.now = (int(time.time()) // 300 + 1) * 300.0
    monkeypatch.setattr(time, "time", lambda: moment.now)
    return moment


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, moment: Moment) -> list[tuple[str, str, int, int, list[float]]]:
    """What controllers publish of the service: namespace, metric, number and seconds of its period, and values."""
    del moment
    found: list[tuple[str, str, int, int, list[float]]] = []

    def publish(
        _client: object,
        namespace: str,
        values: dict[str, list[float]],
        _dimensions: dict[str, str],
        number: int,
        *,
        unit: int = 60,
        **_more: object,
    ) -> None:
        found.extend((namespace, name, number, unit, taken) for name, taken in values.items())

    monkeypatch.setattr(metrics_store, "publish", publish)
    monkeypatch.setattr(embedded_aws, "regions", lambda: [REGION])
    return found


def services(monkeypatch: pytest.MonkeyPatch, *, detailed: bool, fast: bool) -> dict[str, Any]:
    """Let the clients answer for a service that publishes its CPU use every 20 seconds, or each minute."""
    found = running_service()
    revisions = [{"arn": "revision"}] if fast else []
    service = {"serviceName": "web", "status": "ACTIVE", "currentServiceRevisions": revisions}
    found["ecs"]._answers |= {
        "list_services": {"serviceArns": ["service/c/web"]},
        "describe_services": {"services": [service]},
        "describe_service_revisions": {
            "serviceRevisions": [{"serviceRevisionArn": "revision", "monitoring": FAST}],
        },
    }
    template = {"LaunchTemplateData": {"Monitoring": {"Enabled": detailed}}}
    found["ec2"]._answers["describe_launch_template_versions"] = {"LaunchTemplateVersions": [template]}
    client = functools.cache(lambda service, *_place: answering(service, found[service]))
    monkeypatch.setattr(clients, "client", client)
    return found


@pytest.mark.parametrize(("detailed", "minutes"), [(False, [4]), (True, [0, 1, 2, 3, 4])])
def test_ec2_tells_of_machines_as_often_as_they_are_monitored(
    monkeypatch: pytest.MonkeyPatch,
    moment: Moment,
    published: list[tuple[str, str, int, int, list[float]]],
    detailed: bool,
    minutes: list[int],
) -> None:
    services(monkeypatch, detailed=detailed, fast=False)
    controller = Metrics(Engine())  # type: ignore[arg-type]
    began = metrics_store.minute(moment.now)
    for _ in range(5):
        moment.now += 60
        controller.step()
    points = [
        (number - began, taken)
        for namespace, name, number, _, taken in published
        if (namespace, name) == ("AWS/EC2", "CPUUtilization")
    ]
    assert [number for number, _ in points] == minutes
    assert [len(taken) for _, taken in points] == [1] * len(minutes), "each machine has one value"


def test_a_fast_service_is_published_every_20_seconds_and_not_each_minute_as_well(
    monkeypatch: pytest.MonkeyPatch, moment: Moment, published: list[tuple[str, str, int, int, list[float]]]
) -> None:
    services(monkeypatch, detailed=True, fast=True)
    engine: Any = Engine()
    fast, slow = FastMetrics(Reader(engine)), Metrics(engine)
    began = metrics_store.minute(moment.now, 20)
    fast.step()
    for _ in range(4):
        moment.now += 20
        fast.step()
        slow.step()
    of_service = [item for item in published if item[0] == "AWS/ECS" and item[4] and item[1] == "CPUUtilization"]
    # The first 20 seconds are not known: what the task had used when they began was never read.
    assert [(number - began, unit) for _, _, number, unit, _ in of_service if unit == 20] == [(1, 20), (2, 20), (3, 20)]
    of_minutes = [item for item in published if item[3] == 60 and item[0] == "AWS/ECS"]
    assert sum(name == "MemoryUtilization" for _, name, *_ in of_minutes) == 2, "of the service and the cluster"
    assert sum(name == "CPUUtilization" for _, name, *_ in of_minutes) == 1, "of the cluster"
