"""Rule L9 on a real HAProxy."""

from collections.abc import Callable

from tests.support.balancer_bench import Bench
from tests.support.balancers import Backend


def weight(bench: Bench, task: Backend) -> int:
    return int(bench.server(task)["weight"])


def test_halfway_a_target_beside_two_warm_ones_gets_a_fifth_of_the_requests(
    bench: Bench, later: Callable[[float], None]
) -> None:
    bench.elbv2.attributes["slow_start.duration_seconds"] = "60"
    warm = [bench.add(), bench.add()]
    bench.until(lambda: all(bench.health(task).state == "healthy" for task in warm))
    assert [weight(bench, task) for task in warm] == [100, 100], "the first ones get all at once"
    new = bench.healthy()
    assert weight(bench, new) == 1
    # Half of 60 s at 60 times AWS's speed.
    later(0.5)
    bench.steps()
    assert weight(bench, new) == 50
    answers = [bench.ask().rpartition(" /x")[0] for _ in range(100)]
    assert 19 <= answers.count(new.name) <= 21
    later(1)
    bench.steps()
    assert weight(bench, new) == 100


def test_after_an_outage_of_all_the_first_to_come_back_gets_all_at_once_and_the_next_little_by_little(
    bench: Bench,
) -> None:
    bench.elbv2.attributes["slow_start.duration_seconds"] = "900"
    first = bench.healthy()
    second = bench.add()
    bench.until(lambda: bench.health(second).state == "healthy")
    bench.fail(first)
    bench.fail(second)
    first.status = 200
    bench.until(lambda: bench.health(first).state == "healthy")
    bench.steps(2)
    assert weight(bench, first) == 100
    second.status = 200
    bench.until(lambda: bench.health(second).state == "healthy")
    bench.steps(2)
    assert weight(bench, second) < 100


def test_a_target_in_its_slow_start_keeps_its_place_over_a_change_of_the_rules(bench: Bench) -> None:
    bench.elbv2.attributes["slow_start.duration_seconds"] = "900"
    bench.healthy()
    new = bench.healthy()
    bench.elbv2.idle_timeout = 61
    bench.steps(2)
    assert bench.process.configurations == 1
    assert weight(bench, new) < 100
    bench.elbv2.attributes["slow_start.duration_seconds"] = "0"
    bench.steps(2)
    assert weight(bench, new) == 100


def test_least_outstanding_requests_has_no_slow_start(bench: Bench) -> None:
    bench.elbv2.attributes |= {
        "slow_start.duration_seconds": "900",
        "load_balancing.algorithm.type": "least_outstanding_requests",
    }
    bench.healthy()
    assert weight(bench, bench.healthy()) == 100
