"""Which task goes when there are too many: the worked example of rule E4."""

from spotfleet.behaviour.placement import ZONE
from spotfleet.behaviour.scale_in import Placed, in_order

STRATEGY = [{"type": "spread", "field": ZONE}, {"type": "binpack", "field": "memory"}]


def test_zones_stay_even_and_the_emptier_machine_gets_empty() -> None:
    tasks = [
        Placed("newest", "m3", "b", memory=560),
        Placed("one", "m1", "a", memory=300),
        Placed("two", "m1", "a", memory=300),
        Placed("alone", "m2", "a", memory=560),
    ]
    assert in_order(tasks, STRATEGY)[0] == "alone"


def test_among_equals_the_first_goes() -> None:
    tasks = [Placed("x", "m1", "a"), Placed("y", "m2", "b"), Placed("z", "m3", "a")]
    assert in_order(tasks, [{"type": "random"}]) == ["x", "y", "z"]
    assert in_order(tasks, [{"type": "spread", "field": "instanceId"}]) == ["x", "y", "z"]
