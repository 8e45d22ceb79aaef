"""How a steady service's tasks get even over zones: the worked examples of rule E12."""

import pytest

from spotfleet.behaviour.placement import ZONE
from spotfleet.behaviour.zone_rebalancing import is_on, zone_to_fill


def evened(tasks: dict[str, int]) -> list[int]:
    """Return the tasks by zone once nothing moves any more, in the zones' order of their counts."""
    counts = dict(tasks)
    while zone := zone_to_fill(counts):
        counts[zone] += 1
        counts[max(sorted(counts), key=lambda name: counts[name])] -= 1
        assert sum(counts.values()) == sum(tasks.values())
    return sorted(counts.values())


@pytest.mark.parametrize(
    ("tasks", "even"),
    [
        ({"a": 4, "b": 0}, [2, 2]),
        ({"a": 5, "b": 0, "c": 0}, [1, 2, 2]),
        ({"a": 3, "b": 0}, [1, 2]),
        ({"a": 2, "b": 1}, [1, 2]),
        ({"a": 3}, [3]),
        ({}, []),
    ],
)
def test_tasks_move_until_zones_are_even(tasks: dict[str, int], even: list[int]) -> None:
    assert evened(tasks) == even


@pytest.mark.parametrize(
    ("setting", "strategies", "maximum", "on"),
    [
        (None, [], 200, True),
        ("ENABLED", [{"type": "spread", "field": ZONE}, {"type": "binpack", "field": "memory"}], 150, True),
        ("ENABLED", [], 100, False),
        ("DISABLED", [], 200, False),
        ("ENABLED", [{"type": "binpack", "field": "memory"}], 200, False),
    ],
)
def test_only_services_that_spread_first_are_evened_out(
    setting: str | None, strategies: list[dict[str, str]], maximum: int, on: bool
) -> None:
    assert is_on(setting, strategies, maximum) is on
