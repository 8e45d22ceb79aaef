"""Where tasks are placed and how many machines they need, on numbers."""

from collections import Counter
from typing import Any

import pytest

from spotfleet.behaviour.placement import (
    ZONE,
    Lack,
    Machine,
    Need,
    capacity_provider_reservation,
    choose,
    lacking,
    machines_wanted,
    need_of,
)

SPREAD_THEN_BINPACK = [{"type": "spread", "field": ZONE}, {"type": "binpack", "field": "memory"}]
TASK = Need(cpu=256, memory=256, group="web")


def machine(name: str, zone: str = "a", cpu: int = 2048, memory: int = 837, instance_type: str = "t3.micro") -> Machine:
    """Return an empty machine; by default what is left of a t3.micro."""
    return Machine(name, zone, instance_type, cpu, memory)


def place(count: int, machines: list[Machine], strategies: list[dict[str, str]], need: Need = TASK) -> list[str]:
    """Place tasks one after the other and return the machines that got them."""
    rooms = {item.id: item for item in machines}
    chosen = []
    for _ in range(count):
        found = choose(need, rooms.values(), strategies)
        if found is None:
            break
        rooms[found.id] = found.with_task(need)
        chosen.append(found.id)
    return chosen


def test_a_machine_holds_only_what_fits() -> None:
    assert place(9, [machine("one")], SPREAD_THEN_BINPACK) == ["one", "one", "one"]
    assert choose(Need(cpu=4096, memory=1), [machine("one")]) is None


def test_a_port_of_the_machine_is_used_once() -> None:
    assert place(3, [machine("one"), machine("two")], [], Need(ports=frozenset({80}))) == ["one", "two"]


@pytest.mark.parametrize("port", [22, 2375, 2376, 51678, 51679])
def test_a_port_that_the_machine_itself_has_is_never_given_to_a_task(port: int) -> None:
    assert place(1, [machine("one")], [], Need(ports=frozenset({port}))) == []
    assert place(2, [machine("one")], [], Need(ports=frozenset({8080}))) == ["one"]


def test_tasks_spread_over_zones_before_they_pack() -> None:
    machines = [machine("a1", "a"), machine("a2", "a"), machine("b1", "b"), machine("b2", "b")]
    assert Counter(place(6, machines, SPREAD_THEN_BINPACK)) == {"a1": 3, "b1": 3}


def test_a_full_zone_does_not_hold_the_others_back() -> None:
    machines = [machine("a1", "a"), machine("b1", "b", memory=2000)]
    assert Counter(place(7, machines, SPREAD_THEN_BINPACK)) == {"a1": 3, "b1": 4}


def test_tasks_of_a_full_machine_count_for_its_zone() -> None:
    full = machine("a1", "a", memory=512).with_task(TASK).with_task(TASK)
    assert choose(TASK, [full, machine("a2", "a"), machine("b1", "b")], SPREAD_THEN_BINPACK) == machine("b1", "b")


def test_other_services_do_not_count_for_the_spread() -> None:
    other = Need(cpu=1, memory=1, group="other")
    machines = [machine("a1", "a").with_task(other), machine("b1", "b").with_task(TASK)]
    assert place(1, machines, SPREAD_THEN_BINPACK) == ["a1"]


@pytest.mark.parametrize(("resource", "fullest"), [("memory", "less-memory"), ("cpu", "less-cpu")])
def test_binpack_fills_the_machine_with_the_least_left(resource: str, fullest: str) -> None:
    machines = [machine("less-cpu", cpu=512, memory=800), machine("less-memory", cpu=1024, memory=400)]
    assert place(1, machines, [{"type": "binpack", "field": resource}]) == [fullest]


@pytest.mark.parametrize("where", ["instanceId", "host"])
def test_spread_over_machines(where: str) -> None:
    assert place(2, [machine("one"), machine("two")], [{"type": "spread", "field": where}]) == ["one", "two"]


def test_distinct_allows_one_task_of_a_service_per_machine() -> None:
    machines = [machine("one").with_task(TASK), machine("two")]
    found = choose(TASK, machines, distinct=True)
    assert found is not None
    assert found.id == "two"
    assert choose(TASK, machines[:1], distinct=True) is None


@pytest.mark.parametrize(
    ("definition", "need"),
    [
        ({"cpu": "256", "memory": "512", "containerDefinitions": [{"memory": 300}]}, Need(256, 512)),
        (
            {"containerDefinitions": [{"cpu": 10, "memoryReservation": 64, "memory": 128}, {"memory": 32}]},
            Need(10, 96),
        ),
        (
            {"containerDefinitions": [{"portMappings": [{"hostPort": 80}, {"hostPort": 0}]}]},
            Need(ports=frozenset({80})),
        ),
    ],
)
def test_what_a_task_reserves(definition: dict[str, Any], need: Need) -> None:
    assert need_of(definition) == need


@pytest.mark.parametrize(
    ("needed", "running", "percent"),
    [(0, 0, 100), (2, 0, 200), (2, 1, 200), (1, 1, 100), (3, 2, 150), (1, 4, 25), (0, 3, 0)],
)
def test_reservation(needed: int, running: int, percent: float) -> None:
    assert capacity_provider_reservation(needed, running) == percent


@pytest.mark.parametrize(
    ("needed", "target", "wanted"), [(0, 100, 0), (3, 100, 3), (3, 80, 4), (4, 80, 5), (1, 1, 100)]
)
def test_machines_wanted_keep_the_target(needed: int, target: int, wanted: int) -> None:
    assert machines_wanted(needed, target) == wanted


def test_a_machine_gives_away_a_hundred_ports_with_its_own() -> None:
    def need(*ports: int) -> Need:
        return Need(1, 1, frozenset(ports))

    free = Machine("m", "a", "t3.micro", 1000, 1000)
    full = free.with_task(need(*range(8000, 8094)))
    assert not full.holds(need(9000))
    assert lacking(need(9000), [full]) is Lack.PORTS
    assert free.with_task(need(*range(8000, 8093))).holds(need(9000))
    # What Docker chooses counts not.
    assert full.holds(need())
    one = free.with_task(need(8080))
    assert (one.holds(need(8080)), one.holds(need(8081)), free.holds(need(51678))) == (False, True, False)
