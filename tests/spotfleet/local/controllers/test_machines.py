"""What the fleet decides about each machine, on a clock that the tests set."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from spotfleet.behaviour import machine_life, managed_scaling, rolling_update, template_text
from spotfleet.behaviour.machine_life import Machine
from spotfleet.cli import losses
from spotfleet.local.controllers import machines
from spotfleet.local.emulator.group_updates import wait
from spotfleet.local.host.console import Failure
from tests.support import answers
from tests.support.answers import Answer, answering
from tests.support.changed import changed

LAUNCHED = 1_000_000.0
REQUIREMENTS = {"min_vcpus": 2, "max_vcpus": 4, "min_memory_gib": 4, "max_memory_gib": 8}
AGENT = {"ECS_CLUSTER": "web", "ECS_RESERVED_MEMORY": "64", "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true"}


def registered(tasks: int = 0, status: str = "ACTIVE") -> dict[str, Any]:
    """Return the description of a container instance: what is left of a t3.micro."""
    return {
        "containerInstanceArn": "arn:aws:ecs:eu-west-1:000000000000:container-instance/web/1",
        "status": status,
        "runningTasksCount": tasks,
        "pendingTasksCount": 0,
        "remainingResources": [
            {"name": "CPU", "integerValue": 2048 - 256 * tasks},
            {"name": "MEMORY", "integerValue": 837 - 256 * tasks},
        ],
    }


def machine(name: str = "i-1", **changes: Any) -> Machine:  # noqa: ANN401  # each attribute has its own type
    """Return a machine that still boots."""
    bare = Machine(
        id=name,
        group="group",
        type="t3.micro",
        zone="eu-west-1a",
        spot=True,
        running=True,
        leaving=False,
        launched=LAUNCHED,
        agent=AGENT,
    )
    return replace(bare, **changes)


def test_user_data_tells_the_agents_settings() -> None:
    text = "#!/bin/bash\ncat >> /etc/ecs/ecs.config <<'CONFIG'\nECS_CLUSTER=web\n  ECS_RESERVED_MEMORY=64 \nCONFIG\n"
    assert machine_life.agent_settings(base64.b64encode(text.encode()).decode()) == {
        "ECS_CLUSTER": "web",
        "ECS_RESERVED_MEMORY": "64",
    }
    assert machine_life.agent_settings("") == {}


@pytest.mark.parametrize(
    ("setting", "period"),
    [("10ms", 10), ("8ms", 8), ("100ms", 100), ("7ms", 100), ("101ms", 100), ("1s", 100), ("fast", 100)],
)
def test_tasks_get_their_cpu_anew_as_often_as_the_agent_is_told(setting: str, period: int) -> None:
    assert machine_life.cpu_period({"ECS_CGROUP_CPU_PERIOD": setting}) == period
    assert machine_life.cpu_period({}) == 100


def test_a_machine_offers_what_its_type_has_less_what_is_reserved() -> None:
    assert machine_life.offered("t3.micro", AGENT) == (2048, 916 - 64)
    assert machine_life.offered("t3.micro", {}) == (2048, 916)


def test_a_machine_is_taken_when_its_notice_is_over_and_not_at_the_next_look_of_a_regular_pace() -> None:
    """Rule S1: 120.0 s, at a pace of 2 s."""
    assert machines.until_next([], 100.0) == 2.0
    assert machines.until_next([219.9, 220.0], 219.0) == pytest.approx(0.9)
    assert machines.until_next([220.0], 220.0) == machines.SHORTEST_PAUSE


def test_notice_runs_out() -> None:
    assert not machine_life.is_due(machine(notice=100.0), 99.0)
    assert machine_life.is_due(machine(notice=100.0), 100.0)
    assert not machine_life.is_due(machine(), 100.0)
    assert not machine_life.is_due(machine(notice=100.0, running=False), 100.0)


class Groups:
    """What AWS answers of a group that fails before one that does not, and of no cluster."""

    def describe_auto_scaling_groups(self) -> Answer:
        """Describe the groups."""
        return {"AutoScalingGroups": [answers.group("bad"), answers.group("good")]}

    def list_clusters(self) -> Answer:
        """List no cluster."""
        return {"clusterArns": []}


def test_what_fails_for_one_group_stops_no_other_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rolled: list[str] = []

    def roll(_region: str, group: dict[str, str], *_rest: object) -> None:
        if group["AutoScalingGroupName"] == "bad":
            raise IndexError("list index out of range")
        rolled.append(group["AutoScalingGroupName"])

    monkeypatch.setattr("spotfleet.local.api.embedded_aws.regions", lambda: ["eu-west-1"])
    monkeypatch.setattr("spotfleet.local.api.clients.client", lambda service, _region: answering(service, Groups()))
    monkeypatch.setattr(machines, "read_machines", lambda _region: [])
    monkeypatch.setattr("spotfleet.local.controllers.rolling_update.step", roll)
    monkeypatch.setattr("spotfleet.local.controllers.instance_refresh.step", lambda *_group: None)
    monkeypatch.setattr("spotfleet.local.controllers.group_capacity.step", lambda *_group: None)
    controller = machines.Fleet()
    controller.step()
    controller.step()
    assert rolled == ["good", "good"]
    (told,) = caplog.records
    assert told.getMessage() == "The roll of bad in eu-west-1 failed, and is tried again: list index out of range"
    assert told.exc_info


def test_an_aws_that_does_not_answer_stops_the_step() -> None:
    controller = machines.Fleet()
    with pytest.raises(EndpointConnectionError), controller._apart("Everything"):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def test_empty_spot_machines_go_first_and_the_base_never() -> None:
    base = machine("base", spot=False, ecs=registered())
    old = machine("old", ecs=registered())
    new = machine("new", ecs=registered(), launched=LAUNCHED + 1)
    busy = machine("busy", ecs=registered(tasks=1))
    leaving = machine("leaving", ecs=registered(), leaving=True)
    fleet_machines = [base, old, new, busy, leaving]
    assert [item.id for item in managed_scaling.surplus(fleet_machines, 1, 1)] == ["new"]
    assert [item.id for item in managed_scaling.surplus(fleet_machines, 9, 1)] == ["new", "old"]
    assert [item.id for item in managed_scaling.surplus(fleet_machines, 9, 0)] == ["new", "old", "base"]


def requirements(*makers: str, memory: int) -> dict[str, Any]:
    """Return a group's override with what its machines must have: one processor or more, and so many MiB."""
    wanted = {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": memory, "Max": 2 * memory}, "CpuManufacturers": makers}
    return {"InstanceRequirements": wanted}


@pytest.mark.parametrize(
    ("overrides", "types"),
    [
        ([], ["t3.micro"]),
        ([{"InstanceType": "m5.large"}, {"InstanceType": "m6i.large"}], ["m5.large", "m6i.large"]),
        ([requirements("amazon-web-services", memory=8192)], ["r8g.medium"]),
        ([requirements("intel", "amd", memory=8192)], ["r7a.medium"]),
        ([requirements("intel", memory=10_000_000)], []),
    ],
)
def test_a_group_launches_what_it_requires(overrides: list[dict[str, Any]], types: list[str]) -> None:
    assert machine_life.launched_types(overrides, ["t3.micro"]) == types


def test_a_waiting_task_counts_on_the_smallest_machine_that_may_come() -> None:
    def new(*overrides: dict[str, Any]) -> tuple[str, int, int]:
        group = {"MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": overrides}}}
        found = machine_life.smallest(group, [])
        return found.type, found.cpu, found.memory

    assert new(requirements("amd", memory=8192)) == ("r7a.medium", 1024, 7372)
    assert new(requirements("amd", memory=10_000_000)) == ("", 0, 0)
    assert new({"InstanceType": "t3.small"}, {"InstanceType": "t3.micro"}) == ("t3.micro", 2048, 916)


def test_room_of_a_booting_machine_is_all_that_its_type_offers() -> None:
    room = machine_life.room(machine())
    assert (room.cpu, room.memory, len(room.tasks)) == (2048, 852, 0)
    room = machine_life.room(machine(ecs=registered(tasks=2)))
    assert (room.cpu, room.memory, len(room.tasks)) == (1536, 325, 2)


SPOT = [machine("few", ecs=registered(tasks=1)), machine("most", ecs=registered(tasks=3)), machine("none")]
FLEET = [machine("base", spot=False, ecs=registered(tasks=3)), *SPOT]


@pytest.mark.parametrize(
    ("name", "share", "take_all", "chosen"),
    [
        (None, None, False, ["most"]),
        ("few", None, False, ["few"]),
        (None, 0.5, False, ["most", "few"]),
        (None, 0.01, False, ["most"]),
        (None, None, True, ["most", "few", "none"]),
    ],
)
def test_an_interruption_takes_spot_machines(
    name: str | None, share: float | None, take_all: bool, chosen: list[str]
) -> None:
    assert [item.id for item in losses.choose_spot(FLEET, name, share, take_all=take_all)] == chosen


def test_an_interruption_takes_a_whole_pool() -> None:
    fleet = [*FLEET, machine("elsewhere", zone="eu-west-1b"), machine("other", type="t3.small")]
    taken = losses.choose_spot(fleet, None, None, take_all=False, pool="t3.micro/eu-west-1a")
    assert [item.id for item in taken] == ["most", "few", "none"]
    with pytest.raises(Failure, match=r"Pools: t3\.micro/eu-west-1a, t3\.micro/eu-west-1b, t3\.small/eu-west-1a"):
        losses.choose_spot(fleet, None, None, take_all=False, pool="t3.large/eu-west-1a")


@pytest.mark.parametrize(
    ("machines", "name", "words"),
    [
        (FLEET, "base", "base is on-demand: EC2 takes back Spot machines only"),
        (FLEET, "i-nowhere", "There is no machine 'i-nowhere' that runs. Machines: base, few, most, none."),
        (FLEET[:1], None, "There is no Spot machine to interrupt"),
        ([machine("noticed", notice=1.0)], None, "There is no Spot machine to interrupt"),
    ],
)
def test_an_interruption_that_cannot_be_says_why(machines: list[Machine], name: str | None, words: str) -> None:
    with pytest.raises(Failure) as failure:
        losses.choose_spot(machines, name, None, take_all=False)
    assert words in str(failure.value)


POLICY = rolling_update.Policy(keep=2, batch=1, pause=120)
SIGNALS = rolling_update.Policy(keep=1, batch=1, pause=900, signals=True)


TEMPLATE = """
Resources:
  Group:
    UpdatePolicy:
      AutoScalingRollingUpdate:
        MinInstancesInService: !Ref Minimum
        MaxBatchSize: 2
        PauseTime: !Sub PT${Warmup}S
        WaitOnResourceSignals: false
    Properties:
      Subnets: !Split [",", !Ref Subnets]
  Other: {}
"""


def test_the_template_tells_how_to_roll() -> None:
    policy = rolling_update.policy_in(template_text.read(TEMPLATE), "Group", {"Minimum": "3", "Warmup": "90"})
    assert policy == rolling_update.Policy(keep=3, batch=2, pause=90)
    assert rolling_update.policy_in(template_text.read(TEMPLATE), "Other", {}) is None


def test_types_chosen_by_attributes_roll_after_the_warm_up() -> None:
    environment = changed(instance_types=[], instance_requirements=REQUIREMENTS, min_machines=1)
    parameters = {name: value for name, value in environment.parameters("machines").items() if isinstance(value, str)}
    template = template_text.read(environment.body("machines"))
    policy = rolling_update.policy_in(template, "AutoScalingGroup", parameters)
    resting = ("HealthCheck", "ReplaceUnhealthy", "AZRebalance", "ScheduledActions")
    assert policy == rolling_update.Policy(keep=1, batch=1, pause=120, suspended=resting)


def rolled_group(*versions: str) -> Answer:
    """Return a group of up to 6 that launches version 2, with machines of some versions: i-0, i-1 and so on."""
    instances = [
        answers.member(f"i-{number}", LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": version})
        for number, version in enumerate(versions)
    ]
    launched = {"LaunchTemplateId": "lt-1", "Version": "2"}
    return answers.group("group", LaunchTemplate=launched, Instances=instances, MaxSize=6)


def test_a_roll_has_to_replace_what_is_outdated_and_waits_for_signals() -> None:
    group = rolled_group("1", "2", "2")
    assert rolling_update.unfinished(group, POLICY, {"i-0"}) == ["i-0"]
    assert rolling_update.unfinished(group, SIGNALS, {"i-0", "i-1"}) == ["i-0", "i-2"]


class Rolling:
    """What Auto Scaling answers of a group that is another one at each look."""

    def __init__(self, *looks: Answer) -> None:
        self.looks = list(looks)

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> Answer:  # noqa: N803
        """Describe the group; the last description stays."""
        assert AutoScalingGroupNames == ["group"]
        return {"AutoScalingGroups": [self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]]}


def wait_for(*looks: Answer, signals: Callable[[], Mapping[str, bool]] = dict) -> None:
    """Wait for the roll of a group that is another one at each look."""
    wait(answering("autoscaling", Rolling(*looks)), None, "group", signals)


@pytest.fixture
def rolling(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let every template roll by signals, and a clock go on only where something waits; its waits are returned."""
    waits: list[float] = []
    monkeypatch.setattr("spotfleet.local.emulator.group_updates.policy_of", lambda *_stack: SIGNALS)
    monkeypatch.setattr("spotfleet.local.emulator.group_updates.POLL_SECONDS", 5)
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("time.monotonic", lambda: sum(waits))
    return waits


def test_an_update_waits_until_the_new_machines_have_signalled(rolling: list[float]) -> None:
    looks = rolled_group("1"), rolled_group("1", "2"), rolled_group("2"), rolled_group("2")
    signals = iter([{"i-0": True}, {"i-0": True}, {}, {"i-0": True}])
    wait_for(*looks[:1], *looks, signals=lambda: next(signals))
    assert len(rolling) == 3


def test_an_update_that_rolls_nothing_waits_for_nothing(rolling: list[float]) -> None:
    wait_for(rolled_group("2"))
    assert rolling == []


def test_an_update_fails_when_a_machine_has_not_signalled_in_its_pause_time(
    rolling: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule F5: UPDATE_FAILED 900 s after the first launch."""
    monkeypatch.setenv("LOCAL_SPEED", "1")
    with pytest.raises(ValueError, match=r"^Received 1 FAILURE signal\(s\) out of 1. Unable to satisfy 100%"):
        wait_for(rolled_group("1"), rolled_group("1", "2"))
    # The new machine is there at the second look.
    assert sum(rolling) == 5 + 900


def test_an_update_fails_when_no_new_machine_comes(rolling: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "1")
    with pytest.raises(ValueError, match="The roll of group has stood still for 15 minutes at i-0"):
        wait_for(rolled_group("1"))
    assert sum(rolling) == pytest.approx(900, abs=5)


def test_an_update_is_refused_that_must_keep_as_many_as_there_may_be(rolling: list[float]) -> None:
    with pytest.raises(ValueError, match=r"MinInstancesInService \(1\) must be less than the group's MaxSize \(1\)"):
        wait_for({**rolled_group("1"), "MaxSize": 1})
    assert rolling == []


@pytest.mark.parametrize(("version", "current"), [("7", True), (7, True), ("6", False), ("$Latest", False)])
def test_a_machine_of_an_older_version_is_outdated(version: object, current: bool) -> None:
    template = {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1", "Version": "7"}}
    group = {"MixedInstancesPolicy": {"LaunchTemplate": template}}
    instance = {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": version}}
    assert rolling_update.is_current(instance, group) is current
    assert rolling_update.is_current(instance, {"LaunchTemplate": instance["LaunchTemplate"]})
