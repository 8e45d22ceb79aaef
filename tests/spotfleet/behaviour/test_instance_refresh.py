"""How the embedded AWS replaces the machines of a group by an instance refresh, on a clock that the tests set."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from spotfleet.behaviour import instance_refresh, machine_life, template_text
from spotfleet.behaviour.instance_refresh import Member, Outcome, Preferences, Step, next_step, outcome
from spotfleet.behaviour.rolling_update import Policy, unfinished
from spotfleet.local.emulator.group_updates import replace_machines, settle
from tests.spotfleet.local.controllers.test_machines import machine, registered, rolled_group
from tests.support import answers
from tests.support.answers import Answer, answering
from tests.support.changed import changed

ONE_BY_ONE = Preferences(least=100, most=100, warmup=120, skip_matching=False)

OLD = Member("old", 900, outdated=True)
OTHER = Member("other", 800, outdated=True)
REPLACED = replace(OLD, succeeded=True)
LEAVING = replace(REPLACED, leaving=True)
NEW = Member("new", 500)
COLD = Member("cold", 119)
PENDING = Member("pending", None)


@pytest.mark.parametrize(
    ("members", "step"),
    [
        ([OLD, OTHER], Step(succeed=("old",))),
        ([REPLACED, OTHER, PENDING], Step()),
        ([REPLACED, OTHER, COLD], Step()),
        ([REPLACED, OTHER, NEW], Step(end=("old",))),
        # Its tasks still move.
        ([LEAVING, OTHER, NEW], Step()),
        ([OTHER, NEW], Step(succeed=("other",))),
        ([NEW, replace(NEW, id="newer")], Step()),
        # A machine that a task waits for comes meanwhile: nothing more is launched, nothing ends too early.
        ([OLD, OTHER, PENDING], Step()),
    ],
)
def test_a_machine_ends_when_its_successor_is_warm_and_the_next_when_it_is_gone(
    members: list[Member], step: Step
) -> None:
    assert next_step(members, ONE_BY_ONE, 2) == step


def test_four_machines_at_100_to_110_percent_are_replaced_by_four_launches() -> None:
    """Rule F7: floor(4.4) is 4, so at least one more; launch one, wait for its warm-up, end one, four times."""
    preferences = Preferences(least=100, most=110, warmup=120)
    members = [Member(f"old-{number}", 900, outdated=True) for number in range(4)]
    sizes, launched, now = set(), 0, 0
    while any(item.outdated for item in members):
        step = next_step(members, preferences, 4)
        launched += len(step.succeed)
        members = [replace(item, succeeded=item.succeeded or item.id in step.succeed) for item in members]
        members = [item for item in members if item.id not in step.end]
        members += [Member(f"new-{now}", 0) for _ in step.succeed]
        sizes.add(len(members))
        now += 1
        members = [replace(item, in_service=(item.in_service or 0) + 1) for item in members]
    assert launched == 4
    assert sizes == {4, 5}
    assert 4 * 120 <= now < 4 * 125


def test_a_wider_range_replaces_more_at_a_time_and_still_launches_first() -> None:
    doubled = replace(ONE_BY_ONE, most=200)
    assert next_step([OLD, OTHER], doubled, 2) == Step(succeed=("old", "other"))
    both = [REPLACED, replace(OTHER, succeeded=True)]
    assert next_step([*both, NEW, COLD], doubled, 2) == Step(end=("old",))


def test_below_100_percent_a_machine_ends_without_a_successor() -> None:
    half = replace(ONE_BY_ONE, least=50)
    assert next_step([OLD, OTHER], half, 2) == Step(succeed=("old",))
    assert next_step([REPLACED, OTHER, PENDING], half, 2) == Step(end=("old",))


def test_a_group_at_its_maximum_grows_by_one_all_the_same() -> None:
    # AWS gives the range in percent of the desired capacity, and says nothing of the maximum size there.
    assert next_step([OLD], ONE_BY_ONE, 1) == Step(succeed=("old",))


@pytest.mark.parametrize(
    ("members", "ringing", "quiet", "status"),
    [
        ([OTHER, NEW], [], 0, None),
        ([LEAVING, NEW], [], 9999, None),
        ([NEW, COLD], [], 0, None),
        ([NEW], [], 0, "Successful"),
        ([], [], 0, "Successful"),
        ([OTHER, NEW], ["errors"], 0, "Failed"),
        ([REPLACED, PENDING], [], 3599, None),
        ([REPLACED, PENDING], [], 3600, "Failed"),
    ],
)
def test_how_a_refresh_ends(members: list[Member], ringing: list[str], quiet: float, status: str | None) -> None:
    ended = outcome(members, ONE_BY_ONE, ringing, quiet)
    assert (ended.status if ended else None) == status


def test_a_failed_refresh_says_why() -> None:
    rung = outcome([OTHER], ONE_BY_ONE, ["errors", "slow"], 0)
    stuck = outcome([REPLACED, PENDING], ONE_BY_ONE, [], 3600)
    assert rung
    assert stuck
    assert rung.reason.endswith("as these alarms are in ALARM: errors, slow")
    assert stuck.reason.endswith("for 60 minutes no instance has entered service; still pending: pending")


def test_the_bake_time_keeps_a_refresh_going() -> None:
    baking = replace(ONE_BY_ONE, bake=600)
    assert outcome([NEW], baking, [], 0) is None
    assert outcome([replace(NEW, in_service=720)], baking, [], 0) == Outcome("Successful", "")


@pytest.mark.parametrize(
    ("name", "triggered"),
    [("MixedInstancesPolicy", True), ("VPCZoneIdentifier", True), ("MaxSize", False), ("Tags", False)],
)
def test_what_makes_cloudformation_refresh(name: str, triggered: bool) -> None:
    assert instance_refresh.is_triggered({name: "1", "MinSize": "1"}, {name: "2", "MinSize": "1"}) is triggered


TEMPLATE = """
Resources:
  Group:
    UpdatePolicy:
      AutoScalingInstanceRefresh:
        Strategy: Rolling
        Preferences:
          SkipMatching: false
          AlarmSpecification: !If [HasAlarms, {Alarms: !Ref Alarms}, !Ref AWS::NoValue]
    Properties:
      DefaultInstanceWarmup: !Ref Warmup
      InstanceMaintenancePolicy: {MinHealthyPercentage: 100, MaxHealthyPercentage: 200}
  Bare:
    UpdatePolicy:
      AutoScalingInstanceRefresh: {Strategy: Rolling}
  InPlace:
    UpdatePolicy:
      AutoScalingInstanceRefresh: {Strategy: ReplaceRootVolume, Preferences: {CheckpointPercentages: [50, 100]}}
  Other: {}
"""


def test_the_template_tells_how_to_refresh() -> None:
    template = template_text.read(TEMPLATE)
    found = instance_refresh.preferences_in(template, "Group", {"Warmup": "90", "Alarms": "errors,slow"})
    assert found == Preferences(100, 200, warmup=90, skip_matching=False, alarms=("errors", "slow"))
    without = instance_refresh.preferences_in(template, "Group", {"Warmup": "90", "Alarms": ""})
    assert without
    assert without.alarms == ()
    assert instance_refresh.preferences_in(template, "Bare", {}) == Preferences(100, 110)
    assert instance_refresh.preferences_in(template, "Other", {}) is None
    with pytest.raises(ValueError, match="with the strategy ReplaceRootVolume, CheckpointPercentages"):
        instance_refresh.preferences_in(template, "InPlace", {})


def test_the_machines_of_the_configuration_are_replaced_one_by_one() -> None:
    environment = changed()
    parameters = {name: value for name, value in environment.parameters("machines").items() if isinstance(value, str)}
    template = template_text.read(environment.body("machines"))
    assert instance_refresh.preferences_in(template, "AutoScalingGroup", parameters) == ONE_BY_ONE


# --- Entering service

HOOK = {"LifecycleHookName": "joined", "HeartbeatTimeout": 900, "DefaultResult": "ABANDON"}


@pytest.mark.parametrize(
    ("joined", "completes", "age", "result"),
    [
        (False, "joined", 100, None),
        (True, "joined", 100, "CONTINUE"),
        # Its user data is of another release, and asks for nothing.
        (True, "", 100, None),
        (True, "", 900, "ABANDON"),
        (False, "joined", 900, "ABANDON"),
    ],
)
def test_how_the_launch_of_a_machine_ends(joined: bool, completes: str, age: float, result: str | None) -> None:
    found = machine(pending=True, completes=completes, ecs=registered() if joined else None)
    assert machine_life.launch_result(found, HOOK, age) == result


def test_the_user_data_of_the_template_completes_the_hook_of_the_group() -> None:
    environment = changed()
    data = environment.properties("machines", "LaunchTemplate")["LaunchTemplateData"]
    script = base64.b64encode(data["UserData"]["Fn::Base64"]["Fn::Sub"].encode()).decode()
    (hook,) = environment.properties("machines", "AutoScalingGroup")["LifecycleHookSpecificationList"]
    assert machine_life.completed_hook(script) == hook["LifecycleHookName"]
    assert machine_life.completed_hook(base64.b64encode(b"/opt/aws/bin/cfn-signal").decode()) == ""


# --- CloudFormation's part


class Group:
    """What Auto Scaling answers of a group whose machines, activities and refresh are given."""

    def __init__(self, states: list[list[str]], failed: str = "", refresh: list[dict[str, str]] | None = None) -> None:
        self.states, self.failed, self.refresh = states, failed, refresh or []
        self.started: list[dict[str, Any]] = []
        self.cancelled = False
        self.client = answering("autoscaling", self)

    def describe_auto_scaling_groups(self, **_names: list[str]) -> Answer:
        """Describe the group; the last description stays."""
        states = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        instances = [answers.member(str(number), LifecycleState=state) for number, state in enumerate(states)]
        return {"AutoScalingGroups": [answers.group(DesiredCapacity=2, Instances=instances)]}

    def describe_scaling_activities(self, **_names: str) -> Answer:
        """Describe one launch."""
        ended = {"StatusCode": "Cancelled", "StatusMessage": self.failed}
        told = ended if self.failed else {"StatusCode": "MidLifecycleAction"}
        return {"Activities": [answers.activity(answers.EPOCH, **told)]}

    def start_instance_refresh(self, **parameters: Any) -> dict[str, str]:  # noqa: ANN401  # each has its own type
        """Keep what was asked for."""
        self.started.append(parameters["Preferences"])
        return {"InstanceRefreshId": "1"}

    def describe_instance_refreshes(self, **_names: object) -> Answer:
        """Describe the refresh; the last description stays."""
        return {"InstanceRefreshes": [self.refresh.pop(0) if len(self.refresh) > 1 else self.refresh[0]]}

    def cancel_instance_refresh(self, **_names: str) -> None:
        """Keep that it was cancelled."""
        self.cancelled = True


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass at once; the waits are returned."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def test_a_group_is_created_when_its_machines_are_in_service(waits: list[float]) -> None:
    settle(Group([["Pending:Wait"] * 2, ["InService", "Pending:Wait"], ["InService"] * 2]).client, "group", str)
    assert len(waits) == 2


def test_a_group_whose_machines_never_join_fails_with_the_reason(waits: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Group did not stabilize\. Last scaling activity: was abandoned"):
        settle(Group([["Pending:Wait"]], failed="was abandoned").client, "group", str)
    with pytest.raises(ValueError, match="it took too long"):
        settle(Group([["Pending:Wait"]]).client, "group", lambda: "it took too long")
    assert waits == []


def refreshed(
    group: Group, monkeypatch: pytest.MonkeyPatch, *, triggered: bool = True, back: bool = False, early: str = ""
) -> list[dict[str, Any]]:
    """Update a group by a refresh with an alarm, and return what was asked of Auto Scaling."""
    place = "spotfleet.local.emulator.group_updates"
    monkeypatch.setattr(f"{place}.preferences_of", lambda *_names: replace(ONE_BY_ONE, alarms=("errors",)))
    monkeypatch.setattr(f"{place}.is_rolled_back", lambda *_names: back)
    replace_machines(group.client, None, "group", dict, triggered=triggered, ends_early=lambda: early)
    return group.started


def test_an_update_starts_a_refresh_and_waits_for_its_end(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group([[]], refresh=[{"Status": "InProgress"}, {"Status": "Successful"}])
    (asked,) = refreshed(group, monkeypatch)
    assert asked == {
        **{"MinHealthyPercentage": 100, "MaxHealthyPercentage": 100, "InstanceWarmup": 120, "BakeTime": 0},
        **{"SkipMatching": False, "AlarmSpecification": {"Alarms": ["errors"]}},
    }
    assert len(waits) == 1


def test_an_update_that_changes_no_machine_refreshes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refreshed(Group([[]]), monkeypatch, triggered=False) == []


def test_a_failed_refresh_fails_the_update_and_no_alarm_stops_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"Status": "Failed", "StatusReason": "The instance refresh failed as these alarms are in ALARM: errors"}
    with pytest.raises(ValueError, match="alarms are in ALARM: errors"):
        refreshed(Group([[]], refresh=[failed]), monkeypatch)
    (asked,) = refreshed(Group([[]], refresh=[{"Status": "Successful"}]), monkeypatch, back=True)
    assert "AlarmSpecification" not in asked


def test_a_cancelled_update_cancels_its_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group([[]], refresh=[{"Status": "InProgress"}])
    with pytest.raises(ValueError, match="Resource update cancelled"):
        refreshed(group, monkeypatch, early="Resource update cancelled.")
    assert group.cancelled


def test_a_rolling_update_waits_for_machines_that_a_hook_holds() -> None:
    group = rolled_group("2")
    group["Instances"][0]["LifecycleState"] = "Pending:Wait"
    assert unfinished(group, Policy(keep=1, batch=1, pause=0), set()) == ["i-0"]
