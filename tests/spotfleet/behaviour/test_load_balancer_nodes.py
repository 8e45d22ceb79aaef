"""Rules L1, L2 and L12."""

import pytest

from spotfleet.behaviour.load_balancer_nodes import count, first_check, told


def test_a_load_balancer_has_a_node_in_each_zone() -> None:
    assert [count(zones) for zones in (0, 1, 2, 3)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("before", "by_node", "state"),
    [
        ("initial", ["healthy", "initial"], "initial"),
        ("initial", ["healthy", "healthy"], "healthy"),
        ("initial", ["healthy", "unhealthy"], "initial"),
        ("healthy", ["unhealthy", "healthy", "healthy"], "healthy"),
        ("healthy", ["unhealthy", "unhealthy", "unhealthy"], "unhealthy"),
        ("unhealthy", ["healthy", "unhealthy"], "unhealthy"),
        ("unhealthy", ["healthy", "healthy"], "healthy"),
        # Registered again while it was leaving.
        ("draining", ["healthy", "initial"], "initial"),
        ("healthy", ["draining", "draining"], "draining"),
    ],
)
def test_a_change_is_told_when_the_last_node_has_found_it(before: str, by_node: list[str], state: str) -> None:
    assert told(before, by_node) == state


@pytest.mark.parametrize(("phase", "seconds"), [(0, 2), (0.5, 6), (1, 10)])
def test_the_first_check_comes_within_an_interval(phase: float, seconds: float) -> None:
    assert first_check(phase, interval=10, earliest=2) == seconds
