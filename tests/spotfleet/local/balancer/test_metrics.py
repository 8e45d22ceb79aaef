"""What the load balancer counts and measures, what is published of it, and what is done about unhealthy tasks."""

from collections import Counter
from typing import Any

import pytest

from spotfleet.cli import load
from spotfleet.local.api import metrics_store
from spotfleet.local.backchannel import traffic
from spotfleet.local.balancer import metrics
from spotfleet.local.balancer.metrics import BalancerMetrics, Tally, Times, group_metrics
from spotfleet.local.balancer.metrics import balancer_metrics as own_answers
from spotfleet.local.host.console import Failure
from tests.support.balancers import Elbv2

BACKEND = "targetgroup.blue.3333"
FRONTEND = "app.web.1111:80"
MINUTE = 60


def line(proxy: str, server: str, ok: int, failed: int = 0, errors: int = 0) -> dict[str, str]:
    """Return HAProxy's statistics of one server or frontend."""
    counts = {"hrsp_2xx": ok, "hrsp_3xx": 0, "hrsp_4xx": 0, "hrsp_5xx": failed, "econ": errors}
    counts |= {"conn_tot": ok, "bin": 100 * ok, "bout": 400 * ok}
    return {"pxname": proxy, "svname": server} | {name: str(value) for name, value in counts.items()}


def test_counters_become_what_is_new() -> None:
    tally = Tally()
    assert tally.new([line(BACKEND, "a", 10), line(BACKEND, "b", 5)])[BACKEND]["2xx"] == 15
    assert tally.new([line(BACKEND, "a", 12), line(BACKEND, "b", 5)])[BACKEND]["2xx"] == 2
    # A new worker counts from zero; a new server too; one that is gone is gone.
    assert tally.new([line(BACKEND, "a", 3), line(BACKEND, "c", 1)])[BACKEND]["2xx"] == 4


def test_a_backend_counts_what_it_was_asked_whether_it_has_targets_or_not() -> None:
    tally = Tally()
    tally.new([line(BACKEND, "BACKEND", 99) | {"req_tot": "99"}])
    now = line(BACKEND, "BACKEND", 100, failed=2) | {"req_tot": "102"}
    assert tally.new([now])[BACKEND] == {"requests": 3, "failed": 2}


@pytest.mark.parametrize(
    ("requests", "states", "per_target"),
    [
        # Rule L11, its examples.
        (600, ["unhealthy"] * 3, 200),
        (0, ["healthy"] * 3, 0),
        (600, ["healthy", "unhealthy", "healthy", "draining"], 300),
        # Rule T10: nobody is there, and somebody asks.
        (1, [], 1),
        (1, ["draining"], 1),
        (0, [], 0),
    ],
)
def test_requests_for_each_target(requests: int, states: list[str], per_target: float) -> None:
    assert metrics.requests_per_target(Counter({"requests": requests}), states) == per_target
    assert metrics.requests_per_target(Counter({"2xx": requests}), states) == per_target


def test_hosts_are_counted_in_groups_that_have_some() -> None:
    """Rule L11: an alarm on HealthyHostCount below 1 has no data for an empty group."""
    assert metrics.host_counts([]) == metrics.host_counts(["draining"]) == {}
    assert metrics.host_counts(["unhealthy"]) == {"HealthyHostCount": [0.0], "UnHealthyHostCount": [1.0]}


def test_every_request_of_the_ring_is_read_once() -> None:
    times = Times()
    assert times.new(f"1 {BACKEND} 5\n2 {BACKEND} 7\n3 {FRONTEND} -1\n") == {BACKEND: [0.005, 0.007]}
    assert times.new(f"2 {BACKEND} 7\n3 {FRONTEND} -1\n4 {BACKEND} 9\n") == {BACKEND: [0.009]}
    assert times.new(f"1 {BACKEND} 2\n") == {BACKEND: [0.002]}, "a new worker numbers from one"
    assert times.new("") == {}


def test_percentiles() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert metrics.percentile(values, 0.5) == 501
    assert metrics.percentile(values, 0.99) == 991
    assert metrics.percentile([], 0.5) is None
    few = metrics.representatives(values)
    assert len(few) == 100
    assert sum(few) / 100 == pytest.approx(500.5, rel=0.01)


def test_a_minute_counts_what_a_whole_one_would_at_the_same_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")

    # Six real seconds with 5 requests a second.
    assert metrics.whole_minute({BACKEND: Counter({"2xx": 30})}) == {BACKEND: Counter({"2xx": 300})}


def test_what_did_not_happen_is_not_reported() -> None:
    assert group_metrics(Counter(), []) == {}
    assert group_metrics(Counter({"2xx": 8, "5xx": 1, "errors": 1}), [0.25]) == {
        "HTTPCode_Target_2XX_Count": [8.0],
        "HTTPCode_Target_5XX_Count": [1.0],
        "RequestCount": [10.0],
        "TargetConnectionErrorCount": [1.0],
        "TargetResponseTime": [0.25],
    }


def test_the_load_balancers_own_answers_are_those_that_no_target_gave() -> None:
    clients = Counter({"client_2xx": 10, "client_4xx": 3, "client_5xx": 4})
    assert own_answers(clients, Counter({"2xx": 10, "4xx": 3, "5xx": 1})) == {"HTTPCode_ELB_5XX_Count": [3.0]}
    clients = Counter({"client_5xx": 5, "own_502": 4, "own_504": 1})
    assert own_answers(clients, Counter()) == {
        "HTTPCode_ELB_5XX_Count": [5.0],
        "HTTPCode_ELB_502_Count": [4.0],
        "HTTPCode_ELB_504_Count": [1.0],
    }


def test_own_answers_become_what_is_new() -> None:
    tally = Tally()
    assert tally.new([], [(FRONTEND, 502, 3)])[FRONTEND] == {"own_502": 3}
    assert tally.new([], [(FRONTEND, 502, 5)])[FRONTEND] == {"own_502": 2}
    assert tally.new([], [(FRONTEND, 502, 1)])[FRONTEND] == {"own_502": 1}, "a new worker counts from zero"


def test_capacity_units_are_those_of_connections_or_of_bytes() -> None:
    tally = Tally()
    clients = tally.new([line(FRONTEND, "FRONTEND", 3000)])[FRONTEND]
    # 50 new connections a second, or 2 GB an hour, are two units: a minute's share of them.
    assert own_answers(clients, Counter({"2xx": 3000})) == {"ConsumedLCUs": [pytest.approx(2 / 60)]}
    assert metrics.consumed_units(connections=0, size=2_000_000_000 // 60) == pytest.approx(2 / 60)


class Process:
    """HAProxy with one target; the test counts its requests."""

    ok = 0
    # Whether it ends while it is asked.
    ends = False

    def statistics(self) -> list[dict[str, str]]:
        return [line(FRONTEND, "FRONTEND", self.ok), line(BACKEND, "i-1:32768", self.ok)]

    def own_answers(self, _statistics: list[dict[str, str]]) -> list[tuple[str, int, int]]:
        return []

    def command(self, _command: str) -> str:
        if self.ends:
            raise ConnectionRefusedError
        return "\n".join(f"{number} {BACKEND} 4" for number in range(1, self.ok + 1))


def test_a_minute_is_published_with_awss_names_and_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    published: dict[tuple[str, ...], dict[str, Any]] = {}

    def publish(
        _client: object,
        namespace: str,
        values: dict[str, list[float]],
        dimensions: dict[str, str],
        minute: int,
        **_more: object,
    ) -> None:

        assert (namespace, minute) == ("AWS/ApplicationELB", 10)
        published[tuple(dimensions.values())] = dict(values)

    monkeypatch.setattr(metrics_store, "publish", publish)
    elbv2 = Elbv2()
    elbv2.targets = {("i-1", 32768): "healthy", ("i-1", 32769): "healthy", ("i-2", 1): "unhealthy"}
    process, moment = Process(), [10.0 * MINUTE]
    controller = BalancerMetrics(
        process,  # type: ignore[arg-type]
        lambda: ["eu-west-1"],
        lambda _service, _region: elbv2.client,
        lambda: moment[0],
    )
    process.ok = 5  # of before this controller
    controller.step()
    process.ok, process.ends = 20, True
    controller.step()
    process.ok, process.ends = 25, False
    controller.step()
    assert traffic.now()["targetgroup/blue/3333"].requests_per_second == 40
    assert traffic.now()["targetgroup/blue/3333"].p99 == 0.004
    assert published == {}
    moment[0] += MINUTE
    controller.step()
    group, balancer = "targetgroup/blue/3333", "app/web/1111"
    assert published[group, balancer] == {
        "HTTPCode_Target_2XX_Count": [20.0],
        "RequestCount": [20.0],
        "TargetResponseTime": [0.004] * 20,
        "HealthyHostCount": [2.0],
        "UnHealthyHostCount": [1.0],
        "RequestCountPerTarget": [10.0],
    }
    assert published[group,] == {"RequestCountPerTarget": [10.0]}
    assert published[balancer,]["RequestCount"] == [20.0]
    assert "HTTPCode_ELB_4XX_Count" not in published[balancer,]


# --- Load


def test_load_is_what_was_asked_for() -> None:
    assert load.command("http://127.0.0.1:8080/", 250, 30) == [
        "hey", "-z", "30s", "-c", "100", "-q", "2.5", "http://127.0.0.1:8080/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "per_second", "seconds", "words"),
    [
        ("http://127.0.0.1:8080/", 0, 30, "from 1 to 10000 requests per second"),
        ("http://127.0.0.1:8080/", 10, 100000, "for 1 to 3600 seconds"),
        ("http://example.com/", 10, 10, "to this machine only, not to http://example.com/"),
    ],
)
def test_load_out_of_bounds_is_refused(url: str, per_second: int, seconds: int, words: str) -> None:
    with pytest.raises(Failure, match=words):
        load.command(url, per_second, seconds)
