"""Rules L2 and L12 on a real HAProxy: a load balancer has a node in each zone."""

import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from spotfleet.local.balancer import haproxy_syntax, node, ports
from spotfleet.local.balancer.proxies import Backend
from tests.support.balancer_bench import Bench, name
from tests.support.balancers import BALANCER
from tests.support.balancers import Backend as Task
from tests.support.http2 import Http2


def backends(nodes: int) -> list[str]:
    return [Backend("targetgroup.blue.3333", number).name for number in range(nodes)]


@pytest.fixture
def three(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A load balancer in three zones, with checks in rhythms of their own every 10 s, at ten times AWS's speed."""
    monkeypatch.setenv("LOCAL_SPEED", "10")
    monkeypatch.setenv("LOCAL_DELAYS", "typical")
    monkeypatch.setenv("LOCAL_SEED", "1")
    bench.elbv2.health_check["HealthCheckIntervalSeconds"] = 10
    bench.elbv2.zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    return bench


def states(bench: Bench, task: Task, nodes: int = 3) -> list[str]:
    return [bench.servers(backend)[name(task)]["status"].split()[0] for backend in backends(nodes)]


def test_each_node_checks_and_a_target_is_unhealthy_when_the_last_has_found_it(three: Bench) -> None:
    task = three.healthy()
    task.passed, started = 0, time.monotonic()
    three.until(lambda: task.passed >= 9)
    # Three nodes, every second: 18 checks in an AWS minute, which are six seconds, and 9 in two of them at the soonest.
    assert time.monotonic() - started > 1.9
    task.status, started = 503, time.monotonic()
    found: list[float] = []

    def all_have_found_it() -> bool:
        now = states(three, task).count("DOWN")
        found.extend([time.monotonic() - started] * (now - len(found)))
        assert (three.health(task).state == "unhealthy") <= (now == 3)
        return three.health(task).state == "unhealthy"

    three.until(all_have_found_it)
    # By none before 20 s of AWS's have passed.
    assert found[0] > 1.9
    assert three.asked() == {task.name}, "each node without a healthy target sends to all"


@pytest.mark.usefixtures("three")
def test_each_node_checks_in_a_rhythm_of_its_own() -> None:
    rhythms = [node.phase(Backend("targetgroup.blue.3333", number), "i-1:32768") for number in range(3)]
    assert len(set(rhythms)) == 3
    assert all(0 <= phase <= 1 for phase in rhythms)


def test_a_node_that_has_not_seen_it_yet_still_sends_requests(three: Bench) -> None:
    first, second = three.add(), three.add()
    three.until(lambda: all(three.health(task).state == "healthy" for task in (first, second)))
    for server in (f"{backends(3)[number]}/{name(first)}" for number in (0, 2)):
        three.process.command(haproxy_syntax.command("disable", "health", server))
        three.process.command(haproxy_syntax.command("set", "server", server, "health", "down"))
    three.steps()
    assert states(three, first) == ["DOWN", "UP", "DOWN"]
    assert three.health(first).state == "healthy"
    answers = Counter(three.ask().rpartition(" /x")[0] for _ in range(60))
    # A half of a third.
    assert 0 < answers[first.name] < answers[second.name]


def test_a_new_target_is_healthy_when_every_node_sends_requests_there(three: Bench) -> None:
    task = three.healthy()
    assert states(three, task) == ["UP"] * 3
    assert [three.servers(backend)[name(task)]["uweight"] for backend in backends(3)] == ["100"] * 3


def test_few_requests_are_shared_unevenly_by_nodes_that_begin_with_the_same_target(bench: Bench) -> None:
    bench.elbv2.zones = ["eu-west-1a", "eu-west-1b"]
    first, second = bench.add(), bench.add()
    bench.until(lambda: all(bench.health(task).state == "healthy" for task in (first, second)))
    port = ports.load()[BALANCER, 80]
    with ExitStack() as stack:
        clients = [stack.enter_context(Http2(port)) for _ in range(24)]

        def requests() -> list[list[int]]:
            return [
                [int(bench.servers(backend)[name(task)]["stot"]) for task in (first, second)] for backend in backends(2)
            ]

        before = requests()
        for client in clients:
            assert client.ask("/x") == 200
        new = [[now - was for now, was in zip(*pair, strict=True)] for pair in zip(requests(), before, strict=True)]
    assert sum(map(sum, new)) == 24
    assert all(sum(of_node) > 0 for of_node in new), "clients are spread over the nodes"
    assert all(abs(one - other) <= 1 for one, other in new), "each node takes its targets in turn"


def test_a_client_keeps_its_node(bench: Bench) -> None:
    bench.elbv2.zones = ["eu-west-1a", "eu-west-1b"]
    task = bench.healthy()
    with Http2(ports.load()[BALANCER, 80]) as client:
        before = [int(bench.servers(backend)[name(task)]["stot"]) for backend in backends(2)]
        assert {client.ask("/x") for _ in range(20)} == {200}
        after = [int(bench.servers(backend)[name(task)]["stot"]) for backend in backends(2)]
    assert sorted(now - was for now, was in zip(after, before, strict=True)) == [0, 20]


def test_a_target_drains_at_every_node(bench: Bench) -> None:
    bench.elbv2.zones = ["eu-west-1a", "eu-west-1b"]
    task = bench.healthy()
    asking = [threading.Thread(target=bench.ask, args=("/held",)) for _ in range(8)]
    for thread in asking:
        thread.start()
    bench.until(lambda: bench.health(task).requests == len(asking))
    bench.elbv2.targets[task.target] = "draining"
    bench.steps(3)
    assert states(bench, task, 2) == ["DRAIN"] * 2
    assert bench.health(task).requests == 8
    assert not bench.is_idle(task)
    task.release.set()
    for thread in asking:
        thread.join()
    bench.until(lambda: bench.is_idle(task))
    del bench.elbv2.targets[task.target]
    bench.until(lambda: not any(bench.servers(backend) for backend in backends(2)))


def test_a_zone_that_is_added_brings_a_node_that_fails_no_request(bench: Bench) -> None:
    task = bench.healthy()
    bench.elbv2.zones = ["eu-west-1a", "eu-west-1b"]
    bench.steps()
    assert (bench.process.configurations, states(bench, task, 2)) == (1, ["UP"] * 2)
    assert {answer for _ in range(5) for answer in bench.asked()} == {task.name}
    bench.elbv2.zones = ["eu-west-1b"]
    bench.steps()
    assert (bench.process.configurations, bench.health(task).state) == (2, "healthy")
    assert bench.asked() == {task.name}
