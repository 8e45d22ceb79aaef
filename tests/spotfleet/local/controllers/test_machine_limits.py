"""Machines hold their tasks to their vCPUs, credits and memory; AWS and Docker are given by the test."""

import functools
import math
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from spotfleet.behaviour.usage import MEBIBYTE, Use
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.controllers import machine_limits
from spotfleet.local.controllers.machine_limits import MachineLimits, credits_of
from tests.spotfleet.local.controllers.test_published_metrics import REGION, Published, Service, running_service
from tests.support.answers import answering

SIZE = 256
FULL = (100_000, 25_000)


class Cloud:
    """One t3.micro with busy tasks: what AWS and Docker say of it, and what is asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mode: str = "standard", *, size: str = str(SIZE)) -> None:
        monkeypatch.setattr(machine_limits, "_books", {})
        self.now = 600.0
        monkeypatch.setattr(time, "time", lambda: self.now)
        self.size = size
        self.services = running_service()
        self.cloudwatch: Published = self.services["cloudwatch"]
        # What the containers would use, if they may, and what they have used; their CPU limits; their memory.
        self.wanted: dict[str, float] = {}
        self.used: dict[str, float] = {}
        self.limits: dict[str, tuple[int, int]] = {}
        self.memory: dict[str, float] = {}
        self.updates: list[tuple[str, int, int]] = []
        self.measurements = 0
        self.killed: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.services["ec2"]._answers["describe_instance_credit_specifications"] = {
            "InstanceCreditSpecifications": [{"InstanceId": "i-1", "CpuCredits": mode}]
        }
        client = functools.cache(lambda service, *_place: answering(service, self.services[service]))
        monkeypatch.setattr(clients, "client", client)
        monkeypatch.setattr(embedded_aws, "regions", lambda: [REGION])
        self.controller = MachineLimits(self)  # type: ignore[arg-type]
        self.ecs: Service = self.services["ecs"]
        self.instance = self.ecs._answers["describe_container_instances"]["containerInstances"][0]
        self.ecs.submit_container_state_change = lambda **report: self.reports.append(report)
        self.tasks()

    def tasks(self, *names: str, wanted: float = math.inf) -> None:
        """Let these tasks run, and no others; each has one container of its name."""
        self.instance["runningTasksCount"] = len(names)
        definition = {"cpu": self.size, "containerDefinitions": [{"name": "web", "cpu": SIZE, "memory": 256}]}
        self.ecs._answers["describe_task_definition"] = {"taskDefinition": definition}
        tasks = [
            {
                **{"taskArn": f"arn:aws:ecs:{REGION}:0:task/c/{name}", "taskDefinitionArn": "web:1"},
                **{"startedBy": "web", "lastStatus": "RUNNING", "startedAt": datetime.now(UTC)},
                "containerInstanceArn": self.instance["containerInstanceArn"],
                "containers": [{"name": "web", "runtimeId": name}],
            }
            for name in names
        ]
        self.ecs._answers["describe_tasks"] = {"tasks": tasks}
        self.wanted = dict.fromkeys(names, wanted)
        for name in names:
            self.limits.setdefault(name, FULL if self.size else (0, 0))

    def use(self, names: Collection[str]) -> dict[str, Use]:
        """Return statistics as Docker has them."""
        self.measurements += 1
        return {
            name: Use(self.now, self.used.get(name, 0.0), int(self.memory.get(name, 20) * MEBIBYTE)) for name in names
        }

    def cpu_limit(self, name: str) -> tuple[int, int]:
        """Return a container's limit."""
        return self.limits[name]

    def limit_cpu(self, name: str, period: int, quota: int) -> bool:
        """Set it."""
        self.updates.append((name, period, quota))
        self.limits[name] = (period, quota)
        return True

    def kill(self, name: str) -> None:
        """End a container."""
        self.killed.append(name)

    def pass_seconds(self, seconds: int, each: int = 1) -> None:
        """Let the containers work, and the controller look each second, or less often."""
        for _look in range(seconds // each):
            self.now += each
            for name, wanted in self.wanted.items():
                self.used[name] = self.used.get(name, 0.0) + each * min(wanted, self.vcpus(name), 2.0)
            self.controller.step()

    def vcpus(self, name: str) -> float:
        """Return how much a container may use."""
        period, quota = self.limits[name]
        return quota / period if quota else math.inf

    def together(self) -> float:
        """Return how much all that run may use."""
        return sum(map(self.vcpus, self.wanted))


def test_a_new_standard_machine_gives_its_tasks_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.controller.step()
    cloud.tasks("a", "b", "c")
    cloud.pass_seconds(1)
    # Rule B5: 0.2 vCPU together.
    assert cloud.together() == pytest.approx(0.2, rel=0.1)
    cloud.pass_seconds(120)
    assert cloud.together() == pytest.approx(0.2, rel=0.02)
    standing = credits_of(REGION, "i-1")
    assert standing is not None
    assert standing["mode"] == "standard"
    assert standing["balance"] < 0.1


def test_a_task_that_starts_on_a_throttled_machine_is_limited_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.tasks("a", "b")
    cloud.pass_seconds(10)
    cloud.tasks("a", "b", "c")
    cloud.pass_seconds(1)
    assert cloud.vcpus("c") < 0.1
    assert cloud.together() == pytest.approx(0.2, rel=0.05)


def test_unlimited_machines_keep_their_limits_and_are_measured_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch, "unlimited")
    cloud.tasks("a", "b", "c")
    cloud.pass_seconds(6 * 60, each=5)
    assert cloud.updates == []
    assert cloud.measurements <= 8
    standing = credits_of(REGION, "i-1")
    assert standing is not None
    # Six minutes of 0.75 - 0.2 vCPUs above what is earned.
    assert standing["surplus"] == pytest.approx(6 * 0.55, rel=0.2)
    assert standing["dollars"] == pytest.approx(standing["surplus"] / 60 * 0.05, abs=1e-4)


def test_credits_are_earned_used_and_earned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.tasks("a", "b", "c", wanted=0.0)
    cloud.pass_seconds(60 * 60, each=20)
    standing = credits_of(REGION, "i-1")
    assert standing is not None
    assert standing["balance"] == pytest.approx(12, rel=0.03)
    assert cloud.together() == pytest.approx(0.75)
    cloud.tasks("a", "b", "c")
    # 12 credits last 12 / (0.75 - 0.2) minutes.
    cloud.pass_seconds(21 * 60, each=20)
    assert cloud.together() == pytest.approx(0.75)
    cloud.pass_seconds(2 * 60, each=5)
    assert cloud.together() == pytest.approx(0.2, rel=0.05)
    cloud.tasks("a", "b", "c", wanted=0.0)
    cloud.pass_seconds(10 * 60, each=20)
    assert cloud.together() == pytest.approx(0.75)
    assert len(cloud.updates) < 100


def test_a_machine_without_its_controller_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.tasks("a", "b", wanted=0.0)
    cloud.pass_seconds(60 * 60, each=20)
    cloud.controller = MachineLimits(cloud)  # type: ignore[arg-type]
    cloud.tasks("a", "b")
    cloud.pass_seconds(60, each=5)
    standing = credits_of(REGION, "i-1")
    assert standing is not None
    assert standing["balance"] > 11
    assert cloud.together() == 0.5


def test_containers_without_a_limit_of_their_own_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rule M3, on a machine that credits do not hold back.
    cloud = Cloud(monkeypatch, "unlimited", size="")
    cloud.tasks("a", "b", "c")
    cloud.pass_seconds(30)
    assert [cloud.vcpus(name) for name in "abc"] == [pytest.approx(0.67, abs=0.004)] * 3
    cloud.tasks("a", "b", "c", wanted=0.01)
    cloud.pass_seconds(30)
    # None of them wants it: each may have it alone.
    assert [cloud.vcpus(name) for name in "abc"] == [2, 2, 2]


def test_the_largest_task_ends_when_the_machine_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch, "unlimited")
    cloud.tasks("a", "b", "c", wanted=0.0)
    cloud.memory = {"a": 200, "b": 215, "c": 200}
    cloud.pass_seconds(60, each=5)
    assert cloud.killed == []
    cloud.memory = {"a": 250, "b": 256, "c": 250}
    cloud.pass_seconds(1)
    assert cloud.killed == ["b"]
    assert [(report["task"], report["exitCode"], report["reason"]) for report in cloud.reports] == [
        (f"arn:aws:ecs:{REGION}:0:task/c/b", 137, "OutOfMemoryError: Container killed due to memory usage")
    ]


def test_the_containers_of_a_task_share_its_cpu_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch, "unlimited")
    cloud.tasks("a", "b")
    described = cloud.ecs._answers
    described["describe_task_definition"]["taskDefinition"]["memory"] = "300"
    first, second = described["describe_tasks"]["tasks"]
    second["taskArn"] = first["taskArn"]
    cloud.memory = {"a": 160, "b": 120}
    cloud.pass_seconds(5)
    # 256 units for both, where each would get them alone.
    assert cloud.together() == pytest.approx(0.25, rel=0.02)
    assert cloud.killed == []
    cloud.memory = {"a": 160, "b": 150}
    cloud.pass_seconds(1)
    assert cloud.killed == ["a"]


def test_credits_are_published_every_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch, "unlimited")
    cloud.tasks("a", "b", "c")
    cloud.pass_seconds(295, each=5)
    assert ("AWS/EC2", "CPUCreditBalance") not in cloud.cloudwatch.values
    cloud.pass_seconds(10, each=5)
    assert {name for namespace, name in cloud.cloudwatch.values if namespace == "AWS/EC2"} == {
        *("CPUCreditBalance", "CPUCreditUsage", "CPUSurplusCreditBalance", "CPUSurplusCreditsCharged"),
    }
    assert {metric[2] for metric in cloud.cloudwatch.units} == {
        frozenset({"InstanceId"}),
        frozenset({"AutoScalingGroupName"}),
    }
    # Measured once a minute, so up to one of the five may be in the next point.
    assert 4 * 0.75 - 0.1 <= cloud.cloudwatch.values["AWS/EC2", "CPUCreditUsage"][0] <= 5 * 0.75 + 0.1


def test_a_machine_of_no_group_is_published_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch, "unlimited")
    for reservation in cloud.services["ec2"]._answers["describe_instances"]["Reservations"]:
        for instance in reservation["Instances"]:
            instance["Tags"] = []
    cloud.pass_seconds(305, each=5)
    assert {metric[2] for metric in cloud.cloudwatch.units} == {frozenset({"InstanceId"})}


def test_a_machine_that_has_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.pass_seconds(5)
    assert credits_of(REGION, "i-1") is not None
    cloud.ecs._answers["list_container_instances"] = {"containerInstanceArns": []}
    cloud.pass_seconds(5)
    assert credits_of(REGION, "i-1") is None


def test_an_engine_that_is_away_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(monkeypatch)
    cloud.tasks("a")
    cloud.pass_seconds(10)
    before = credits_of(REGION, "i-1")
    monkeypatch.setattr(cloud, "use", lambda _names: {})
    cloud.pass_seconds(10)
    assert credits_of(REGION, "i-1") == before
