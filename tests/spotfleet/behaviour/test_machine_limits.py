"""A machine's CPU divided among its containers, and the end of one when memory runs out."""

import math
import random

import pytest

from spotfleet.behaviour.burstable_credits import Account, allowance, rates
from spotfleet.behaviour.machine_limits import (
    Container,
    demand,
    divide,
    is_near,
    limits,
    over_memory,
    over_size,
    quota,
)

BUSY = Container(math.inf, 1024)
TASK = Container(math.inf, 256, 0.25)


def test_busy_containers_share_the_machine() -> None:
    # Rule M3: shares of 1024 each on two vCPUs.
    assert limits([BUSY] * 3, 2, 2) == [pytest.approx(0.67, abs=0.004)] * 3


def test_who_wants_less_leaves_it_to_the_others() -> None:
    idle = Container(0.1, 1024)
    assert divide([idle, BUSY, BUSY], 2) == [0.1, pytest.approx(0.95), pytest.approx(0.95)]
    assert divide([Container(math.inf, 512), BUSY], 1.5) == [pytest.approx(0.5), pytest.approx(1.0)]


def test_a_throttled_machine_divides_its_baseline() -> None:
    # Rule B5: three busy tasks of 256 units on a t3.micro without credits.
    of = rates("t3.micro")
    allowed = allowance(Account("standard"), of, 1)
    found = limits([TASK] * 3, allowed, of.vcpus)
    assert sum(found) == pytest.approx(0.2)
    assert 100 * sum(found) / of.vcpus == pytest.approx(10)
    assert 100 * sum(found) / 0.75 == pytest.approx(26.7, abs=0.05)


def test_with_credits_each_task_has_its_own_limit() -> None:
    assert limits([TASK] * 3, 2, 2) == [0.25] * 3
    # Alone, a container without a limit of its own has the whole machine, and no more.
    assert limits([BUSY, Container(0.0, 1024)], 2, 2) == [2.0, pytest.approx(0.0)]
    assert limits([Container(0.5, 1024)] * 3, 2, 2) == [2, 2, 2]


def test_the_containers_of_a_task_share_its_size() -> None:
    # Rule M3: 512 units for two containers, busy both, one of them weighing three times as much.
    web, side = Container(math.inf, 384, 0.5, "one"), Container(math.inf, 128, 0.5, "one")
    assert limits([web, side], 2, 2) == [pytest.approx(0.375), pytest.approx(0.125)]
    # One that is idle leaves it to the other one; a task beside has its own.
    idle = Container(0.05, 128, 0.5, "one")
    other = Container(math.inf, 256, 0.25, "two")
    assert limits([web, idle, other], 2, 2) == [pytest.approx(0.45), pytest.approx(0.05), 0.25]
    # Both at ease: each may have all of it, until the next look.
    quiet = Container(0.1, 384, 0.5, "one")
    assert limits([quiet, idle], 2, 2) == [0.5, 0.5]
    assert not is_near([quiet, idle], 100, allowed=2, vcpus=2, total_mib=1000)
    assert is_near([Container(0.36, 384, 0.5, "one"), idle], 100, allowed=2, vcpus=2, total_mib=1000)


def test_containers_of_a_task_that_use_more_than_its_memory_end() -> None:
    assert over_size({"web": 300, "side": 200}, 512) is None
    assert over_size({"web": 300, "side": 220}, 512) == "web"
    assert over_size({}, 512) is None


def test_a_throttled_machine_lets_an_idle_task_begin() -> None:
    found = limits([Container(0.01, 256, 0.25)] * 2, 0.2, 2)
    assert found == [pytest.approx(0.1)] * 2


def test_together_they_never_get_more_than_is_allowed() -> None:
    dice = random.Random(1)  # noqa: S311  # repeats
    for _ in range(300):
        containers = [
            Container(
                *(dice.choice([math.inf, dice.random()]), dice.choice([2, 256, 1024])),
                *(dice.choice([0.25, math.inf]), dice.choice(["", "one", "two"])),
            )
            for _ in range(dice.randint(1, 6))
        ]
        allowed = dice.uniform(0.05, 1.9)
        found = limits(containers, allowed, 2)
        assert sum(found) <= allowed + 1e-9
        for one, limit in zip(containers, found, strict=True):
            assert 0 <= limit <= one.most + 1e-9


def test_no_container_at_all() -> None:
    assert limits([], 0.2, 2) == []


def test_demand_of_a_held_container_is_without_end() -> None:
    assert demand(0.066, 0.067) == math.inf
    assert demand(0.01, 0.25) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("vcpus", "period", "expected"),
    [(0.25, 100_000, (100_000, 25_000)), (0.067, 8_000, (14_926, 1_000)), (0.0, 8_000, (1_000_000, 1_000))],
)
def test_quotas_are_those_that_docker_takes(vcpus: float, period: int, expected: tuple[int, int]) -> None:
    assert quota(vcpus, period) == expected


def test_the_largest_container_ends_when_memory_is_out() -> None:
    # Rule M2: 916 MiB, the system uses 200, three tasks 250 each; together they may have 716.
    assert over_memory({"a": 250, "b": 250, "c": 250}, 916) == "a"
    assert over_memory({"a": 250, "b": 256, "c": 250}, 916) == "b"
    assert over_memory({"a": 238, "b": 239, "c": 239}, 916) is None
    assert over_memory({}, 100) is None


@pytest.mark.parametrize(
    ("containers", "used_mib", "allowed", "near"),
    [
        # Without credits, and tasks that may use more than the baseline.
        ([TASK] * 3, 100, 0.2, True),
        ([Container(0.0, 256, 0.25)], 100, 0.2, True),
        # Of its credits they cannot use up any.
        ([Container(math.inf, 128, 0.125)], 100, 0.2, False),
        ([TASK] * 3, 100, 2, False),
        ([BUSY, BUSY], 100, 2, True),
        ([Container(0.1, 1024)] * 3, 100, 2, False),
        ([TASK] * 3, 540, 2, True),
        ([], 0, 0.2, False),
    ],
)
def test_only_a_machine_near_its_limits_is_measured_often(
    containers: list[Container], used_mib: float, allowed: float, near: bool
) -> None:
    assert is_near(containers, used_mib, allowed=allowed, vcpus=2, total_mib=916) is near
