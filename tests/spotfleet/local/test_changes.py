"""Answers are remembered while nothing changes, and asked for again when something has."""

from collections.abc import Iterator
from typing import Any

import pytest

from spotfleet.local.api import embedded_aws
from spotfleet.local.api.remembered import Answers
from spotfleet.local.backchannel import changes
from tests.support.clouds import Cloud, running


class Tables:
    """The tables of an embedded AWS, for which a number stands; None while they change."""

    def __init__(self) -> None:
        self.number: int | None = 1

    def look(self) -> int | None:
        """Return what a look at them gives."""
        return self.number


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.0)
    watched = Tables()
    changes.watch(watched.look)
    yield watched
    changes.watch(None)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(tmp_path_factory.mktemp("server") / "log") as started:
        yield started


class Asking:
    """A client with remembered answers, and the calls that it sent."""

    def __init__(self, cloud: Cloud, service: str) -> None:
        self.client: Any = cloud.new_client(service)
        self.sent: list[str] = []
        Answers().attach(self.client)
        self.client.meta.events.register("before-send", lambda request, **_rest: self.sent.append(request.url))


def test_nothing_is_remembered_where_the_embedded_aws_runs_elsewhere(cloud: Cloud) -> None:
    ecs = Asking(cloud, "ecs")

    assert ecs.client.list_clusters()["clusterArns"] == ecs.client.list_clusters()["clusterArns"]

    assert len(ecs.sent) == 2


def test_an_answer_is_remembered_until_something_changes(cloud: Cloud, tables: Tables) -> None:
    ecs = Asking(cloud, "ecs")
    first = ecs.client.list_clusters()
    first["clusterArns"].append("what somebody who asked has done with it")

    assert ecs.client.list_clusters()["clusterArns"] == []
    assert len(ecs.sent) == 1

    changes.note()
    ecs.client.list_clusters()
    assert len(ecs.sent) == 2
    tables.number = 2
    ecs.client.list_clusters()
    assert len(ecs.sent) == 3


def test_nothing_is_remembered_amid_changes(cloud: Cloud, tables: Tables) -> None:
    tables.number = None
    ecs = Asking(cloud, "ecs")

    ecs.client.list_clusters()
    ecs.client.list_clusters()

    assert len(ecs.sent) == 2


@pytest.mark.usefixtures("tables")
def test_another_question_has_another_answer(cloud: Cloud) -> None:
    ecs = Asking(cloud, "ecs")

    ecs.client.list_tasks(cluster="one")
    ecs.client.list_tasks(cluster="other")

    assert len(ecs.sent) == 2


@pytest.mark.usefixtures("tables")
def test_what_changes_something_is_always_sent(cloud: Cloud) -> None:
    ecs = Asking(cloud, "ecs")

    for _ in range(2):
        ecs.client.register_task_definition(family="web", containerDefinitions=[{"name": "web", "image": "web"}])

    assert len(ecs.sent) == 2


@pytest.mark.usefixtures("tables")
def test_a_published_metric_is_read_at_once_and_changes_nothing_else(cloud: Cloud) -> None:
    cloudwatch, ecs = Asking(cloud, "cloudwatch"), Asking(cloud, "ecs")
    query = {"Id": "m", "MetricStat": {"Metric": {"Namespace": "A", "MetricName": "B"}, "Period": 60, "Stat": "Sum"}}
    question = {"MetricDataQueries": [query], "StartTime": 1_800_000_000, "EndTime": 1_800_000_060}
    for _ in range(2):
        cloudwatch.client.get_metric_data(**question)
        ecs.client.list_clusters()
    assert (len(cloudwatch.sent), len(ecs.sent)) == (1, 1)

    changes.note_metrics()
    cloudwatch.client.get_metric_data(**question)
    ecs.client.list_clusters()

    assert (len(cloudwatch.sent), len(ecs.sent)) == (2, 1)


@pytest.mark.usefixtures("tables")
def test_the_regions_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def find() -> dict[str, Any]:
        asked.append(1)
        return {"stacks": [{"name": "web", "region": "eu-west-1"}]}

    monkeypatch.setattr(embedded_aws, "find", find)
    changes.note()

    assert embedded_aws.regions() == embedded_aws.regions() == ["eu-west-1"]
    assert len(asked) == 1
    changes.note()
    embedded_aws.regions()
    assert len(asked) == 2


def test_a_look_counts_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(changes, "LOOK_SECONDS", 3600.0)
    changes.watch(lambda: looks.append(1) or 1)  # type: ignore[func-returns-value]

    changes.version()
    changes.version()
    changes.watch(None)

    assert len(looks) == 1
