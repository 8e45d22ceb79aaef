"""What the live page is given to show."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.local.backchannel import traffic
from spotfleet.local.controllers import machine_limits
from spotfleet.local.daemon import environment_status
from spotfleet.local.daemon.page import snapshot
from spotfleet.local.daemon.page.snapshot import Page
from spotfleet.local.host import paths
from tests.support import answers
from tests.support.answers import Answer, answering
from tests.support.balancers import GROUP, Elbv2

SERVICE = "arn:aws:ecs:eu-west-1:000000000000:service/c/web"
SCALED = {"ServiceNamespace": "ecs", "ResourceId": "service/c/web", "ScalableDimension": "ecs:service:DesiredCount"}
BEGAN = datetime.now(UTC)
MACHINE = environment_status.Machine("i-1", "eu-west-1a", "InService", "t3.micro", "spot")


class Scaling:
    """What Application Auto Scaling answers of the service: two policies, of which one tracks a target."""

    def describe_scaling_policies(self, **asked: str) -> Answer:
        assert asked == {"ServiceNamespace": "ecs", "ResourceId": "service/c/web"}
        specification = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": specification}
        policy = {**SCALED, "PolicyARN": "arn:policy", "PolicyName": "cpu", "CreationTime": BEGAN}
        tracking_policy = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": tracking}
        return {"ScalingPolicies": [{**policy, "PolicyType": "StepScaling"}, {**policy, **tracking_policy}]}

    def describe_scaling_activities(self, **_asked: str) -> Answer:
        scaled = {"ActivityId": "a", "StartTime": BEGAN, "Description": "Setting desired count to 2.", "Cause": "busy"}
        return {"ScalingActivities": [{**SCALED, **scaled, "StatusCode": "Successful"}]}


class Ecs:
    """What ECS answers of the service and of its cluster with two capacity providers."""

    def list_clusters(self) -> Answer:
        return {"clusterArns": ["c"]}

    def describe_clusters(self, **_asked: list[str]) -> Answer:
        return {"clusters": [{"clusterName": "c", "status": "ACTIVE", "capacityProviders": ["spare", "p"]}]}

    def describe_services(self, **_asked: Any) -> Answer:  # noqa: ANN401
        service = {"loadBalancers": [{"targetGroupArn": GROUP}], "events": [{"message": "steady"}]}
        deployment = {"id": "d", "taskDefinition": "x:task-definition/web:1", "createdAt": BEGAN}
        return {"services": [{**service, "desiredCount": 2, "runningCount": 1, "deployments": [deployment]}]}

    def describe_capacity_providers(self, **_asked: list[str]) -> Answer:
        group = {"autoScalingGroupArn": "arn:x/fleet", "managedScaling": {"targetCapacity": 90}}
        return {"capacityProviders": [{"name": "spare"}, {"name": "p", "autoScalingGroupProvider": group}]}


class Fleet:
    """What Auto Scaling answers of what the group has done."""

    def describe_scaling_activities(self, **_group: str) -> Answer:
        why = {"Description": "Launching a new EC2 instance: i-2", "Cause": "an instance was started"}
        return {"Activities": [answers.activity(datetime(2026, 3, 2, tzinfo=UTC), **why)]}


class CloudWatch:
    """What CloudWatch answers: one value of each metric."""

    def get_metric_data(self, **asked: Any) -> Answer:  # noqa: ANN401
        known = {"CPUUtilization": 64.0, "MemoryUtilization": 41.0, "CapacityProviderReservation": 150.0}
        names = {query["Id"]: query["MetricStat"]["Metric"]["MetricName"] for query in asked["MetricDataQueries"]}
        then = [asked["EndTime"] - timedelta(minutes=1)]
        return {
            "MetricDataResults": [
                {"Id": id_, "Timestamps": then, "Values": [known[name]]} for id_, name in names.items()
            ]
        }


class Watching:
    """The page's controller of an AWS that has the environment dev with one service; a test changes `current`."""

    def __init__(self) -> None:
        self.current = environment_status.Status("dev", desired_tasks=2, services=[("eu-west-1", SERVICE)], speed=10)
        self.current.groups = [("eu-west-1", "fleet")]
        self.current.tasks = [environment_status.Task("t", "RUNNING", "healthy", "127.0.0.1:1", "web:1", "i-1")]
        self.current.machines = [MACHINE]
        elbv2 = Elbv2()
        elbv2.targets = {("i-1", 32768): "healthy"}
        services = {"application-autoscaling": Scaling(), "autoscaling": Fleet(), "cloudwatch": CloudWatch()}
        self.clients = {name: answering(name, its) for name, its in {**services, "ecs": Ecs()}.items()}
        self.clients["elbv2"] = elbv2.client
        self.identity = {"stacks": [{"name": "spotfleet-dev-service", "region": "eu-west-1"}], "controllers": []}
        self.failure: ClientError | None = None

    def read(self, _name: str, _identity: dict[str, Any]) -> environment_status.Status:
        """Return the status as it is now."""
        if self.failure:
            raise self.failure
        return self.current

    def controller(self) -> Page:
        """Return the controller, as it is made anew after it has died."""
        return Page(lambda: self.identity, lambda name, _region: self.clients[name])

    def look(self) -> dict[str, Any]:
        """Look once, and return what is shown of the environment."""
        self.controller().step()
        shown: dict[str, Any] = json.loads(snapshot.encoded())["environments"][0]
        return shown


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watching:
    """An environment that the page's controller sees for the first time."""
    made = Watching()
    monkeypatch.setattr(environment_status, "read", made.read)
    monkeypatch.setattr(paths, "environments", lambda: ["dev", "prod"])
    monkeypatch.setattr(paths, "layers", lambda _name: ["service"])
    monkeypatch.setattr(traffic, "_now", {})
    held = {("eu-west-1", "i-1"): {"mode": "standard", "balance": 1.5}}
    monkeypatch.setattr(machine_limits, "credits_of", lambda *machine: held.get(machine))
    monkeypatch.setattr(snapshot, "_pasts", {})
    monkeypatch.setattr(snapshot, "_shown", snapshot._Shown({"environments": []}))
    return made


def test_the_page_has_every_launched_environment_with_its_history(watching: Watching) -> None:
    watching.look()
    dev = watching.look()
    assert [one["environment"] for one in snapshot.snapshot()["environments"]] == ["dev"]
    assert snapshot.encoded() is snapshot.encoded(), "for all that ask it is made once"
    service = dev["services"][0]
    assert (service["name"], service["cpu_target_percent"], service["events"]) == ("web", 70.0, ["steady"])
    assert (service["desired"], service["running"], service["memory_percent"]) == (2, 1, 41.0)
    activity = {"time": "2026-03-02T00:00:00+00:00", "what": "Launching a new EC2 instance: i-2"}
    assert dev["machine_activities"] == [activity | {"why": "an instance was started", "state": "Successful"}]
    assert dev["cpu_credits"] == {"i-1": {"mode": "standard", "balance": 1.5}}
    group = service["groups"][0]
    assert group["targets"] == [{"id": "i-1", "port": 32768, "state": "healthy"}]
    assert (group["requests_per_second"], group["p99"]) == (0.0, None)
    newest = {name: values[-1] for name, values in dev["history"]["series"].items()}
    assert newest == {
        **{"machines/on-demand": 0, "machines/spot": 1, "machines/draining": 0},
        **{"machines/reservation": 150.0, "machines/reservation_target": 90},
        **{"services/web/desired": 2, "services/web/running": 1, "services/web/rate": 0, "services/web/errors": 0},
        **{"services/web/p50": None, "services/web/p99": None, "services/web/cpu": 64.0, "services/web/memory": 41.0},
        "services/web/cpu_target": 70.0,
    }


def test_a_status_has_what_the_page_shows_but_not_its_charts(watching: Watching) -> None:
    dev = watching.look()
    told = environment_status.answer("dev", {"folder": "here"}, snapshot.of_environment("dev"))
    del dev["history"]
    assert told["status"]["figures"].keys() == dev.keys()
    assert told["status"]["figures"]["services"] == dev["services"]


def test_events_are_told_once_and_survive_a_controller_that_dies(watching: Watching) -> None:
    first = watching.look()
    assert {event["kind"] for event in first["events"]} == {"deployment", "scaling"}, "what was there has not come"
    watching.current.machines = [replace(MACHINE, draining=True), replace(MACHINE, id="i-2")]
    watching.look()
    last = watching.look()
    kinds = [event["kind"] for event in last["events"]]
    assert sorted(kinds) == ["came", "deployment", "draining", "scaling"]
    (came,) = [event for event in last["events"] if event["kind"] == "came"]
    assert (came["what"].split()[2], came["why"]) == ("i-2", "an instance was started")
    assert last["history"]["series"]["machines/draining"][-1] == 1


def test_an_environment_that_cannot_be_read_for_a_moment_stays_as_it_was(watching: Watching) -> None:
    watching.failure = ClientError({"Error": {"Code": "ValidationError", "Message": "no such stack"}}, "DescribeStacks")
    nothing = watching.look()
    assert "no such stack" in nothing["problem"]
    assert (nothing["services"], nothing["history"]["times"], nothing["machines"]) == ([], [], [])
    working, watching.failure = watching.failure, None
    good = watching.look()
    assert good["problem"] is None
    watching.failure = working
    kept = watching.look()
    assert kept == good | {"problem": kept["problem"]}


def test_a_deleted_environment_is_forgotten(watching: Watching) -> None:
    watching.look()
    watching.identity["stacks"] = []
    watching.controller().step()
    assert snapshot.snapshot()["environments"] == []
    assert snapshot._pasts == {}


@pytest.mark.parametrize(
    ("stacks", "phase"),
    [
        ({"vpc": "CREATE_IN_PROGRESS"}, "is being launched or changed"),
        ({"vpc": "CREATE_COMPLETE"}, "has 1 of its 2 stacks"),
        ({"vpc": "CREATE_COMPLETE", "service": "UPDATE_IN_PROGRESS"}, "is being launched or changed"),
        ({"vpc": "CREATE_COMPLETE", "service": "DELETE_IN_PROGRESS"}, "is being deleted"),
        ({"vpc": "ROLLBACK_COMPLETE"}, "has stacks in the state ROLLBACK_COMPLETE"),
        ({"vpc": "CREATE_COMPLETE", "service": "UPDATE_ROLLBACK_COMPLETE"}, "is complete"),
    ],
)
def test_how_far_an_environment_is(monkeypatch: pytest.MonkeyPatch, stacks: dict[str, str], phase: str) -> None:
    monkeypatch.setattr(paths, "layers", lambda _name: ["vpc", "service"])
    assert snapshot.phase(environment_status.Status("dev", stacks=stacks)) == phase
    waiting = environment_status.Status("dev", stacks=stacks, desired_tasks=1)
    assert snapshot.phase(waiting) == phase.replace("is complete", "has tasks that are not in service yet")


def test_an_aws_that_does_not_answer_is_an_error_and_not_an_empty_page() -> None:
    with pytest.raises(ConnectionError):
        Page(lambda: None).step()


@pytest.mark.parametrize("resolution", ["", "HighResolution"])
def test_the_target_is_that_of_the_policy_by_cpu_of_either_resolution(resolution: str) -> None:
    specification = {"PredefinedMetricType": f"ECSServiceAverageCPUUtilization{resolution}"}
    tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": specification}
    assert snapshot._cpu_target([{}, {"TargetTrackingScalingPolicyConfiguration": tracking}]) == 70
