"""When a machine joins, counts and drains: rules G1, G2 and E14."""

from dataclasses import replace
from typing import Any

import pytest

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.machine_life import Machine

DRAINS = {"ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true"}
JOINED = {"status": "ACTIVE", "runningTasksCount": 0, "pendingTasksCount": 0}


def machine(**changes: Any) -> Machine:  # noqa: ANN401  # each attribute has its own type
    """Return a Spot machine that was launched at 0 and boots for 75 s."""
    settings = {"spot": True, "running": True, "leaving": False, "launched": 0.0, "boot": 75.0, "in_service": 30.0}
    return Machine(**{"id": "i-1", "group": "g", "type": "t3.micro", "zone": "a", **settings, **changes})


def test_a_machine_joins_when_it_has_booted() -> None:
    assert not machine_life.has_booted(machine(), 74)
    assert machine_life.has_booted(machine(), 76)
    assert not machine_life.has_booted(machine(ecs=JOINED), 76)
    assert not machine_life.has_booted(machine(running=False), 76)
    assert not machine_life.has_booted(machine(leaving=True), 76)


@pytest.mark.parametrize(("completes", "warm"), [("", 150), ("joined", 195)])
def test_the_warm_up_counts_from_service_which_a_launch_hook_ends_when_the_agent_has_joined(
    completes: str, warm: float
) -> None:
    one = machine(warmup=120, completes=completes)
    assert not machine_life.is_warm(one, warm - 1)
    assert machine_life.is_warm(one, warm)
    assert not machine_life.is_warm(machine(warmup=120, completes=completes, pending=True), 9999)


@pytest.mark.parametrize(
    ("changes", "since", "drains"),
    [
        ({"agent": DRAINS}, 1.9, False),
        ({"agent": DRAINS}, 2, True),
        # Without the agent's setting managed draining hears of it a little later.
        ({"drained": True}, 2, False),
        ({"drained": True}, 5, True),
        ({}, 119, False),
        ({"agent": DRAINS, "notice": None}, 119, False),
        ({"agent": DRAINS, "ecs": None}, 119, False),
        ({"agent": DRAINS, "ecs": {**JOINED, "status": "DRAINING"}}, 119, False),
        ({"leaving": True, "notice": None}, 0, True),
    ],
)
def test_a_machine_drains_as_soon_as_its_notice_is_heard(changes: dict[str, Any], since: float, drains: bool) -> None:
    noticed = machine(**{"notice": 120.0, "ecs": JOINED, **changes})
    assert machine_life.must_drain(noticed, since, 2) is drains


def test_the_largest_type_is_that_of_attributes_too() -> None:
    def largest(*overrides: dict[str, Any]) -> tuple[int, int]:
        found = machine_life.largest({"MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": overrides}}}, [])
        return found.cpu, found.memory

    assert largest({"InstanceType": "t3.micro"}, {"InstanceType": "t3.small"}) == (2048, 1901)
    bounds = {"VCpuCount": {"Min": 1, "Max": 4}, "MemoryMiB": {"Min": 2048, "Max": 8192}}
    assert largest({"InstanceRequirements": bounds}) == (4096, 7372)
    assert machine_life.largest({}, [machine(type="m5.large")]).memory == 7680


def test_a_machine_is_let_go_when_ecs_has_drained_it() -> None:
    busy = {**JOINED, "runningTasksCount": 1}
    assert machine_life.is_drained(machine(drained=True, leaving=True, ecs=JOINED))
    assert not machine_life.is_drained(machine(drained=True, leaving=True, ecs=busy))
    assert not machine_life.is_drained(machine(drained=True, ecs=JOINED))
    # The capacity provider has gone.
    assert not machine_life.is_drained(machine(leaving=True, ecs=JOINED))


@pytest.mark.parametrize(
    ("drained", "left", "busy", "seconds"),
    [
        (True, False, True, 172_800),
        (True, False, False, 0),
        # Deleted after its capacity provider, with tasks or without.
        (False, True, True, 3600),
        (False, True, False, 3600),
        (False, False, True, 0),
    ],
)
def test_a_leaving_machine_is_held_for_48_hours_or_for_the_hook_that_nobody_ends(
    drained: bool, left: bool, busy: bool, seconds: float
) -> None:
    assert machine_life.held_on_leaving(drained=drained, left=left, busy=busy) == seconds


def test_machines_past_their_lifetime_go_one_by_one() -> None:
    day = 86_400.0
    fleet = [machine(id="b", launched=0.5), machine(id="a"), machine(id="c", launched=3600.0)]
    assert machine_life.outlived(fleet, day, day - 1) is None
    assert machine_life.outlived(fleet, day, day + 1) == fleet[1]
    assert machine_life.outlived([fleet[0], replace(fleet[1], leaving=True)], day, day + 1) is None
    assert machine_life.outlived([fleet[0], machine(id="new", launched=day, pending=True)], day, day + 1) is None
    assert machine_life.outlived([fleet[0], machine(id="new", launched=day)], day, day + 1) == fleet[0]
    assert machine_life.outlived(fleet, 0, 9 * day) is None
