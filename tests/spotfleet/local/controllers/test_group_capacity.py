"""What a group does about machines that it lost, is to lose, or has in the wrong zone, on a clock of the tests."""

import functools
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.spot_pools import Kind, Pool, tag_of
from spotfleet.local.controllers import group_capacity
from tests.support import answers
from tests.support.answers import Answer, answering

NOW = 1_000_000.0
HOOK = "ecs-managed-draining-termination-hook"


def machine(name: str, **changes: Any) -> Machine:  # noqa: ANN401  # each attribute has its own type
    """Return a Spot machine in service."""
    bare = Machine(name, "group", "t3.micro", "eu-west-1a", spot=True, running=True, leaving=False, launched=0)
    return replace(bare, **changes)


class Asked:
    """What Auto Scaling and EC2 are asked for, and answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.quiet_since = 0.0

    def terminate_instance_in_auto_scaling_group(
        self,
        InstanceId: str,  # noqa: N803  # as boto3
        ShouldDecrementDesiredCapacity: bool,  # noqa: N803
    ) -> Answer:
        """Take a machine out, with the same desired capacity."""
        assert ShouldDecrementDesiredCapacity is False
        self.asked.append(("take out", InstanceId))
        return {}

    def complete_lifecycle_action(self, InstanceId: str, LifecycleHookName: str, **_more: str) -> None:  # noqa: N803
        """End the wait of a machine that leaves."""
        assert LifecycleHookName == HOOK
        self.asked.append(("let go", InstanceId))

    def update_auto_scaling_group(self, AutoScalingGroupName: str) -> None:  # noqa: N803
        """Look whether machines are missing."""
        self.asked.append(("look", AutoScalingGroupName))

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:  # noqa: N803
        """Mark machines."""
        self.asked += [(Tags[0]["Value"], name) for name in Resources]

    def describe_scaling_activities(self, **_group: str) -> Answer:
        """Tell the last thing that the group has done."""
        return {"Activities": [answers.activity(datetime.fromtimestamp(self.quiet_since, UTC))]}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Let every client answer so."""
    asked = Asked()
    client = functools.cache(lambda service, _region: answering(service, asked))
    monkeypatch.setattr("spotfleet.local.api.clients.client", client)
    monkeypatch.setattr(time, "time", lambda: NOW)
    return asked


def group(desired: int, **changes: object) -> dict[str, Any]:
    """Return a group in two zones."""
    policy = {
        "InstancesDistribution": {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0},
        "LaunchTemplate": {"LaunchTemplateSpecification": {}, "Overrides": [{"InstanceType": "t3.micro"}]},
    }
    return {
        **{"AutoScalingGroupName": "group", "DesiredCapacity": desired, "MaxSize": desired, "Instances": []},
        **{"AvailabilityZones": ["eu-west-1a", "eu-west-1b"], "MixedInstancesPolicy": policy, **changes},
    }


def test_machines_that_ended_together_are_replaced_one_by_one(aws: Asked) -> None:
    ended = [machine(f"m{number}", running=False, ended=NOW - 200) for number in range(4)]
    group_capacity.step("eu-west-1", group(4), ended)
    assert aws.asked == [("take out", "m0")]
    aws.asked.clear()
    group_capacity.step("eu-west-1", group(4), [*ended[1:], machine("new", pending=True)])
    assert aws.asked == []
    group_capacity.step("eu-west-1", group(4), [*ended[1:], machine("new")])
    assert aws.asked == [("take out", "m1")]


@pytest.mark.parametrize("leaving", [False, True])
def test_a_group_finds_out_about_an_ended_machine_within_half_a_minute_to_two(
    aws: Asked, monkeypatch: pytest.MonkeyPatch, leaving: bool
) -> None:
    monkeypatch.setenv("LOCAL_DELAYS", "typical")
    monkeypatch.setenv("LOCAL_SEED", "1")
    # Without capacity rebalancing: noticed at 0, ended at 120, so that it is replaced between 150 and 240.
    lost = machine("lost", running=False, leaving=leaving, notice=NOW, ended=NOW - 30)
    group_capacity.step("eu-west-1", group(1 - leaving), [lost])
    assert aws.asked == []
    group_capacity.step("eu-west-1", group(1 - leaving), [replace(lost, ended=NOW - 120)])
    assert aws.asked == [("let go" if leaving else "take out", "lost")]


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"at_risk": True}, [("at risk", "i"), ("look", "group")]),
        # The recommendation comes with the notice: both begin at once.
        ({"at_risk": True, "notice": NOW + 120}, [("take out", "i")]),
        ({"notice": NOW + 120}, []),
        ({"at_risk": True, "rebalanced": False}, []),
        ({"at_risk": True, "leaving": True}, [("look", "group")]),
    ],
)
def test_what_is_at_risk_gets_its_successor_first(
    aws: Asked, changes: dict[str, Any], asked: list[tuple[str, str]]
) -> None:
    at_risk = machine("i", **({"rebalanced": True} | changes))
    group_capacity.step("eu-west-1", group(2), [at_risk, machine("other", zone="eu-west-1b", rebalanced=True)])
    assert aws.asked == asked


def test_a_machine_at_risk_goes_when_its_successor_is_in_service(aws: Asked) -> None:
    at_risk = machine("i", at_risk=True, rebalanced=True, succeeded=True)
    group_capacity.step("eu-west-1", group(1), [at_risk, machine("new", pending=True)])
    assert aws.asked == []
    group_capacity.step("eu-west-1", group(1), [at_risk, machine("new")])
    assert aws.asked == [("take out", "i")]


UNEVEN = [*(machine(f"a{number}") for number in range(3)), machine("b", zone="eu-west-1b")]


def test_uneven_zones_are_balanced_by_launching_first(aws: Asked) -> None:
    group_capacity.step("eu-west-1", group(4), UNEVEN)
    (marked, name), look = aws.asked
    assert (marked, name[0], look) == ("zones", "a", ("look", "group"))


@pytest.mark.parametrize(
    ("machines", "changes"),
    [
        # What has no capacity in the other zone stays.
        (UNEVEN, {"Tags": [{"Key": tag_of(Kind.SPOT, Pool("t3.micro", "eu-west-1b")), "Value": str(NOW + 1)}]}),
        (UNEVEN[1:], {"DesiredCapacity": 3}),
        (UNEVEN, {"SuspendedProcesses": [{"ProcessName": "AZRebalance"}]}),
        ([*UNEVEN[:3], replace(UNEVEN[3], pending=True)], {}),
        # Its launch template has changed, so that a roll is under way.
        (UNEVEN, {"Instances": [{"InstanceId": "a0", "LaunchTemplate": {"LaunchTemplateId": "lt", "Version": "1"}}]}),
    ],
)
def test_zones_wait_while_they_are_even_enough_or_the_group_changes(
    aws: Asked, machines: list[Machine], changes: dict[str, Any]
) -> None:
    changed = group(4, **changes)
    if changed["Instances"]:
        specification = {"LaunchTemplateId": "lt", "Version": "2"}
        changed["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"] = specification
    group_capacity.step("eu-west-1", changed, machines)
    assert aws.asked == []


@pytest.mark.parametrize("other", [{"leaving": True}, {"refreshed": True}])
def test_a_group_that_misses_machines_looks_whether_to_try_again(aws: Asked, other: dict[str, bool]) -> None:
    group_capacity.step("eu-west-1", group(2), [machine("only"), machine("other", zone="eu-west-1b", **other)])
    assert aws.asked == [("look", "group")]


@pytest.mark.parametrize("process", ["HealthCheck", "ReplaceUnhealthy"])
def test_a_suspended_group_replaces_nothing(aws: Asked, process: str) -> None:
    ended = machine("ended", running=False, ended=0.0)
    suspended = [{"ProcessName": process}]
    group_capacity.step("eu-west-1", group(1, SuspendedProcesses=suspended), [ended])
    assert ("take out", "ended") not in aws.asked
    group_capacity.step("eu-west-1", group(1), [ended])
    assert ("take out", "ended") in aws.asked


DAY = 86_400.0
FIRST = {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}}


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        # Rule G11: at the same time, unless a maintenance policy says first.
        ({}, [("take out", "old")]),
        (FIRST, [("lifetime", "old"), ("look", "group")]),
    ],
)
def test_a_machine_past_its_lifetime_leaves_with_or_after_its_successor(
    aws: Asked, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], asked: list[tuple[str, str]]
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "1")
    fleet = [machine("old", launched=NOW - DAY), machine("new", launched=NOW - 60, zone="eu-west-1b")]
    described = group(2, MaxInstanceLifetime=int(DAY), **changes)
    group_capacity.step("eu-west-1", described, fleet)
    assert aws.asked == asked
    aws.asked.clear()
    if changes:
        marked = [replace(fleet[0], succeeded=True), fleet[1], machine("newest", launched=NOW, pending=True)]
        group_capacity.step("eu-west-1", described, marked)
        assert aws.asked == []
        group_capacity.step("eu-west-1", described, [*marked[:2], replace(marked[2], pending=False)])
        assert aws.asked == [("take out", "old")]
