"""ECS's scheduler carries out what behaviour/rollout.py decides, and ends deployments."""

import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PLACE = {"clusterArn": "arn:aws:ecs:eu-west-1:000000000000:cluster/c", "startedBy": "web", "group": "service:web"}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


class Cluster:
    """A service of two tasks, of which a test says how they fare."""

    def __init__(self, emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scheduler, self.rollouts = emulator.ecs_scheduler, emulator.ecs_rollouts
        self.now = 1_000_000.0
        self.alarms: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.service: dict[str, Any] = {
            **{
                "serviceName": "web",
                "serviceArn": "arn:service/c/web",
                "clusterArn": PLACE["clusterArn"],
                "status": "ACTIVE",
                "desiredCount": 2,
            },
            **{"deployments": [], "events": [], "deploymentConfiguration": dict(BREAKER)},
        }
        ecs = self.scheduler.ecs
        monkeypatch.setattr(ecs, "_services", {"c/web": self.service})
        monkeypatch.setattr(ecs, "_tasks", self.tasks)
        monkeypatch.setattr(ecs, "_task_defs", {"web:1": {"containerDefinitions": []}})
        monkeypatch.setattr(ecs, "_resolve_td_key", lambda _name: "web:1")
        monkeypatch.setattr(ecs, "_get_docker", lambda: None)
        monkeypatch.setattr(ecs, "_refresh_service_state", lambda *_names: None)
        monkeypatch.setattr(ecs, "_recount_cluster", lambda _name: None)
        monkeypatch.setattr(ecs, "_run_task", self._run)
        monkeypatch.setattr(ecs, "_stop_task", self._end)
        monkeypatch.setattr(self.scheduler, "spawn_background", lambda work, data, **_name: work(data))
        monkeypatch.setattr(self.rollouts.cloudwatch, "_alarms", self.alarms)
        for module in (self.scheduler, self.rollouts):
            monkeypatch.setattr(module.time, "time", lambda: self.now)

    def _run(self, data: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        started = []
        for _ in range(data["count"]):
            arn = f"{data['taskDefinition']}-{len(self.tasks)}"
            task = {"taskArn": arn, "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING", "healthStatus": "UNKNOWN"}
            self.tasks[arn] = PLACE | task | {"_deployment_id": data["_deploymentId"], "version": 1, "containers": []}
            self.tasks[arn] |= {"containerInstanceArn": None, "taskDefinitionArn": "web:1"}
            started.append({"taskArn": arn})
        return 200, {}, json.dumps({"tasks": started})

    def _end(self, data: dict[str, Any]) -> None:
        self.tasks[data["task"]] |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED"}

    def deploy(self, name: str) -> dict[str, Any]:
        for item in self.service["deployments"]:
            item["status"] = "ACTIVE"
        deployment = {"id": name, "status": "PRIMARY", "taskDefinition": name, "rolloutState": "IN_PROGRESS"}
        self.service["deployments"].insert(0, deployment | {"desiredCount": 2, "failedTasks": 0})
        self.look()
        new: dict[str, Any] = self.service["deployments"][0]
        return new

    def run(self, after: float = 40) -> None:
        """Let all tasks run, and look so many seconds later."""
        for task in self.of():
            task |= {"lastStatus": "RUNNING", "startedAt": "now"}
        self.look()
        self.now += after
        self.look()

    def fail(self, count: int) -> None:
        """Let so many tasks fail to start, one after the other."""
        for _ in range(count):
            task = next(item for item in self.of() if item["lastStatus"] == "PROVISIONING")
            task |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "TaskFailedToStart"}
            self.rollouts.record_failure(task)
            self.look()

    def look(self) -> None:
        self.scheduler.schedule("c", "c/web")

    def of(self, deployment: str = "") -> list[dict[str, Any]]:
        """Return the tasks that are not stopped."""
        present = [task for task in self.tasks.values() if task["lastStatus"] != "STOPPED"]
        return [task for task in present if task["_deployment_id"].startswith(deployment)]

    def told(self, words: str) -> int:
        return sum(words in event["message"] for event in self.service["events"])


@pytest.fixture
def cluster(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster with a service that has no task yet."""
    return Cluster(emulator, monkeypatch)


def test_a_release_takes_the_place_of_the_one_before(cluster: Cluster) -> None:
    first = cluster.deploy("one")
    assert len(cluster.of("one")) == 2
    cluster.run(39)
    assert (first["rolloutState"], len(cluster.of())) == ("IN_PROGRESS", 2)
    cluster.run(1)
    assert first["rolloutState"] == "COMPLETED"
    second = cluster.deploy("two")
    assert (len(cluster.of("one")), len(cluster.of("two"))) == (2, 2)
    # Without a load balancer a task is healthy 40 s after it runs (rule E3).
    cluster.run(39.9)
    assert (len(cluster.of("one")), len(cluster.of("two"))) == (2, 2)
    cluster.run(0.2)
    cluster.look()
    cluster.look()
    assert (len(cluster.of("one")), second["rolloutState"]) == (0, "COMPLETED")
    codes = {task["stopCode"] for task in cluster.tasks.values() if task["lastStatus"] == "STOPPED"}
    assert codes == {"ServiceSchedulerInitiated"}
    cluster.look()
    assert cluster.told("has reached a steady state.") == 2


def test_tasks_that_cannot_start_end_a_deployment_which_is_rolled_back(cluster: Cluster) -> None:
    first = cluster.deploy("one")
    cluster.run()
    second = cluster.deploy("two")
    cluster.fail(2)
    assert (second["rolloutState"], second["failedTasks"]) == ("IN_PROGRESS", 2)
    cluster.fail(1)
    assert (second["rolloutState"], second["status"], first["status"]) == ("FAILED", "ACTIVE", "PRIMARY")
    assert cluster.told("(deployment two) deployment failed: tasks failed to start.") == 1
    cluster.look()
    assert (first["rolloutState"], len(cluster.of("one")), cluster.of("two")) == ("COMPLETED", 2, [])


def test_a_healthy_task_begins_the_count_anew(cluster: Cluster) -> None:
    first = cluster.deploy("one")
    cluster.fail(2)
    running, waiting = cluster.of()
    running |= {"lastStatus": "RUNNING", "startedAt": "now"}
    cluster.look()
    assert first["failedTasks"] == 2
    cluster.now += 40
    cluster.look()
    assert first["failedTasks"] == 0
    for number in (1, 2, 3):
        assert first["rolloutState"] == "IN_PROGRESS"
        task = {"_deployment_id": "one", "_failed_because": "checks", "startedAt": "now"}
        cluster.rollouts.record_failure(PLACE | task)
        assert first["failedTasks"] == number
    assert first["rolloutState"] == "FAILED"
    assert waiting in cluster.of()


def test_ten_crashes_after_running_are_no_failure(cluster: Cluster) -> None:
    cluster.deploy("one")
    cluster.run()
    second = cluster.deploy("two")
    for _ in range(10):
        for task in cluster.of("two"):
            task |= {"lastStatus": "RUNNING", "startedAt": "now"}
        cluster.look()
        for task in cluster.of("two"):
            task |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "EssentialContainerExited"}
            cluster.rollouts.record_failure(task)
        cluster.look()
        cluster.look()
        assert len(cluster.of("two")) == 2
    assert (second["rolloutState"], second["failedTasks"]) == ("IN_PROGRESS", 0)
    assert len(cluster.of("one")) == 2
    # The corrected release takes the place of both.
    third = cluster.deploy("three")
    cluster.look()
    assert (len(cluster.of("two")), len(cluster.of("three"))) == (0, 2)
    cluster.run()
    cluster.look()
    cluster.look()
    assert (third["rolloutState"], len(cluster.of("one"))) == ("COMPLETED", 0)


def test_starts_that_fail_again_and_again_wait_longer_and_longer(cluster: Cluster) -> None:
    cluster.service["deploymentConfiguration"] = {}
    cluster.service["desiredCount"] = 1
    cluster.deploy("one")
    cluster.fail(3)
    waits = []
    for _ in range(7):
        begun = cluster.now
        while not cluster.of():
            cluster.now += 10
            cluster.look()
        waits.append(cluster.now - begun)
        cluster.fail(1)
    assert waits == [60, 120, 240, 480, 960, 1620, 1620]
    assert cluster.told("is unable to consistently start tasks successfully.") == 8
    cluster.deploy("two")
    assert len(cluster.of("two")) == 1


ALARMS = {"alarmNames": ["errors", "slow"], "enable": True, "rollback": True}


@pytest.fixture
def watched(cluster: Cluster) -> Cluster:
    """A cluster whose service runs, and has deployment alarms of three and five minutes."""
    cluster.service["deploymentConfiguration"] = {"alarms": ALARMS}
    for name, periods in (("errors", 3), ("slow", 5)):
        alarm = {"AlarmName": name, "StateValue": "OK", "Period": 60, "EvaluationPeriods": periods}
        cluster.alarms[name] = alarm
    cluster.deploy("one")
    cluster.service["deployments"][0]["rolloutState"] = "COMPLETED"
    cluster.run()
    return cluster


def released(cluster: Cluster) -> dict[str, Any]:
    """Release two, until its tasks are healthy and the old ones gone."""
    second = cluster.deploy("two")
    cluster.run()
    cluster.look()
    cluster.look()
    assert (len(cluster.of("one")), len(cluster.of("two"))) == (0, 2)
    return second


def test_a_finished_deployment_is_watched_as_long_as_its_longest_alarm(watched: Cluster) -> None:
    second = released(watched)
    for state in ("IN_PROGRESS", "COMPLETED"):
        watched.now += 299 if state == "IN_PROGRESS" else 1
        watched.look()
        assert second["rolloutState"] == state


def test_an_alarm_ends_a_deployment_and_rolls_it_back(watched: Cluster) -> None:
    second = released(watched)
    watched.now += 130
    watched.alarms["slow"]["StateValue"] = "ALARM"
    watched.look()
    assert (second["rolloutState"], second["status"]) == ("FAILED", "ACTIVE")
    assert "alarm detected: slow" in second["rolloutStateReason"]
    watched.run()
    watched.look()
    watched.look()
    assert (len(watched.of("one")), watched.of("two")) == (2, [])
    assert watched.service["deployments"][0]["rolloutState"] == "COMPLETED"


def test_an_alarm_that_rings_already_watches_nothing(watched: Cluster) -> None:
    watched.alarms["slow"]["StateValue"] = "ALARM"
    assert released(watched)["rolloutState"] == "COMPLETED"


def test_a_rollback_that_fails_is_not_rolled_back(watched: Cluster) -> None:
    second = released(watched)
    watched.alarms["slow"]["StateValue"] = "ALARM"
    watched.look()
    first = watched.service["deployments"][0]
    watched.rollouts._fail(watched.service, first, "checks", "tasks failed to start.", rollback=True)
    watched.look()
    assert (first["status"], first["rolloutState"], second["status"]) == ("PRIMARY", "FAILED", "ACTIVE")


def test_a_steady_service_gets_even_over_its_zones(
    emulator: ModuleType, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [{"name": name, "integerValue": 1024} for name in ("CPU", "MEMORY")]
    machines = {
        zone: {
            **{
                "containerInstanceArn": zone,
                "_cluster": "",
                "status": "ACTIVE",
                "agentConnected": True,
                "registeredResources": sizes,
            },
            **{"attributes": [{"name": "ecs.availability-zone", "value": zone}], "capacityProviderName": "fleet"},
        }
        for zone in ("a", "b")
    }
    for module in (cluster.scheduler, emulator.ecs_placement):
        monkeypatch.setattr(module, "container_instances", machines)
    cluster.service["desiredCount"] = 4
    cluster.deploy("one")
    for task in cluster.of():
        task["containerInstanceArn"] = "a"
    cluster.run()
    fewest = len(cluster.of())
    for _ in range(30):
        for task in cluster.of():
            if task["lastStatus"] == "PROVISIONING":
                assert task["_zone"] == "b"
                task |= {"containerInstanceArn": "b", "lastStatus": "RUNNING", "startedAt": "now"}
        cluster.now += 10
        cluster.look()
        fewest = min(fewest, len([task for task in cluster.of() if task.get("_seen") == "healthy"]))
    assert sorted(task["containerInstanceArn"] for task in cluster.of()) == ["a", "a", "b", "b"]
    assert fewest == 4
    # Without room there it stays as it is, and says so.
    machines["b"]["registeredResources"] = []
    for task in cluster.of():
        task["containerInstanceArn"] = "a"
    monkeypatch.setattr(emulator.ecs_placement, "_need", lambda _task: emulator.ecs_placement.placement.Need(cpu=64))
    for _ in range(5):
        cluster.look()
    assert {task["containerInstanceArn"] for task in cluster.of()} == {"a"}
    assert cluster.told("was unable to place a task") == 1


def test_a_service_without_capacity_provider_looks_for_room_before_it_creates_a_task(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.service |= {"launchType": "EC2", "desiredCount": 1}
    begun, room_at = cluster.now, cluster.now + 100
    monkeypatch.setattr(cluster.scheduler, "find_machine", lambda *_task: cluster.now >= room_at or None)
    cluster.deploy("one")
    while not cluster.tasks:
        cluster.now += 1
        cluster.look()
    assert cluster.now - begun == 350


@pytest.mark.parametrize(
    ("changes", "new"),
    [
        ({"healthCheckGracePeriodSeconds": 60}, 0),
        ({"deploymentConfiguration": {"maximumPercent": 150}}, 0),
        ({"desiredCount": 3}, 0),
        ({"loadBalancers": [{"targetGroupArn": "other"}]}, 1),
        ({"forceNewDeployment": True}, 1),
    ],
)
def test_only_what_changes_the_tasks_starts_a_deployment(
    emulator: ModuleType, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], new: int
) -> None:
    ecs = cluster.scheduler.ecs
    monkeypatch.setattr(ecs, "_resolve_cluster_name", lambda _name: "c")
    monkeypatch.setattr(ecs, "_resolve_service_ref", lambda name: (name, None))
    monkeypatch.setattr(ecs, "_reconcile_service_tasks", lambda *_names: None)
    first = cluster.deploy("one")
    cluster.service |= {"taskDefinition": "one", "loadBalancers": []}
    update = {"cluster": "c", "service": "web", **changes}
    emulator.ecs_services.keeping_fields(ecs._update_service, update)
    assert len(cluster.service["deployments"]) == 1 + new
    assert cluster.service["deployments"][new]["id"] == first["id"]
    assert (cluster.service["desiredCount"], len(cluster.of("one"))) == (changes.get("desiredCount", 2), 2)


def test_tasks_leave_a_draining_machine_as_others_get_healthy(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines: dict[str, dict[str, Any]] = {
        name: {"containerInstanceArn": name, "status": "ACTIVE", "registeredResources": [], "attributes": []}
        for name in ("leaves", "stays")
    }
    monkeypatch.setattr(cluster.scheduler, "container_instances", machines)
    cluster.service["availabilityZoneRebalancing"] = "DISABLED"
    cluster.deploy("one")
    for task in cluster.of():
        task["containerInstanceArn"] = "leaves"
    cluster.run()
    machines["leaves"]["status"] = "DRAINING"
    cluster.look()
    assert len(cluster.of()) == 4
    for task in cluster.of():
        task["containerInstanceArn"] = task["containerInstanceArn"] or "stays"
    cluster.run(39)
    assert len(cluster.of()) == 4
    cluster.run(1)
    cluster.look()
    assert [task["containerInstanceArn"] for task in cluster.of()] == ["stays", "stays"]
    assert cluster.service["deployments"][0]["rolloutState"] == "COMPLETED"


def test_a_cluster_has_500_tasks_at_most_that_wait_for_a_machine(cluster: Cluster) -> None:
    """Rule C10."""
    for number in range(499):
        other = {"group": "service:api", "startedBy": "api", "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING"}
        cluster.tasks[f"waits-{number}"] = PLACE | other | {"_deployment_id": "of another service"}

    with cluster.scheduler.request_scope("000000000000", "eu-west-1"):
        cluster.deploy("one")
        cluster.look()

    assert len(cluster.of("one")) == 1
    assert cluster.told("the tasks provisioning capacity limit was exceeded") == 1


@pytest.mark.parametrize(("status", "created"), [("ENABLED", 2), ("DISABLED", 0)])
def test_without_managed_scaling_a_task_that_finds_no_room_is_not_created(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, status: str, created: int
) -> None:
    """Rule C11: nothing would launch a machine for it; it is tried again as by rule E20."""
    provider = {"autoScalingGroupProvider": {"managedScaling": {"status": status}}}
    monkeypatch.setattr(cluster.scheduler.ecs, "_capacity_providers", {"machines": provider})
    monkeypatch.setattr(cluster.scheduler, "find_machine", lambda *_arguments: None)
    cluster.service["capacityProviderStrategy"] = [{"capacityProvider": "machines", "weight": 1}]

    cluster.deploy("one")

    assert len(cluster.of("one")) == created


def checked(cluster: Cluster, health: str) -> None:
    """Let every task have a container with a health check, in this state."""
    for task in cluster.of():
        task["containers"] = [{"name": "web", "healthStatus": health, "_checked": True}]
        task["healthStatus"] = health


@pytest.mark.parametrize("balanced", [False, True])
def test_a_new_task_with_a_health_check_counts_when_it_passes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, balanced: bool
) -> None:
    if balanced:
        cluster.service["loadBalancers"] = [{"targetGroupArn": "g"}]
        monkeypatch.setattr(cluster.scheduler, "groups_of", lambda _task: [("g", "target")])
        monkeypatch.setattr(cluster.scheduler.target_health, "health", lambda *_item: SimpleNamespace(state="healthy"))
    first = cluster.deploy("one")
    checked(cluster, "UNKNOWN")
    # Longer than the 40 s of a task without check, and with a healthy target.
    cluster.run(300)
    assert first["rolloutState"] == "IN_PROGRESS"
    checked(cluster, "HEALTHY")
    cluster.look()
    cluster.look()
    assert first["rolloutState"] == "COMPLETED"


def test_a_task_that_fails_its_health_check_is_replaced_first_and_counted(cluster: Cluster) -> None:
    first = cluster.deploy("one")
    checked(cluster, "HEALTHY")
    cluster.run()
    cluster.look()
    assert first["rolloutState"] == "COMPLETED"
    sick = cluster.of()[0]
    sick["healthStatus"] = sick["containers"][0]["healthStatus"] = "UNHEALTHY"
    cluster.look()
    assert cluster.told(f"(task {sick['taskArn']}) failed container health checks.") == 1
    # The replacement comes before it goes (rule E9).
    assert (len(cluster.of()), sick["lastStatus"]) == (3, "RUNNING")
    new = cluster.of()[-1]
    new["containers"] = [{"name": "web", "healthStatus": "HEALTHY", "_checked": True}]
    cluster.run(1)
    cluster.look()
    assert (len(cluster.of()), sick["lastStatus"]) == (2, "STOPPED")


def test_failed_health_checks_of_containers_end_a_deployment(cluster: Cluster) -> None:
    cluster.deploy("one")
    cluster.run()
    second = cluster.deploy("two")
    counts: list[int] = []
    while second["rolloutState"] == "IN_PROGRESS" and len(counts) < 5:
        for task in cluster.of("two"):
            task |= {"lastStatus": "RUNNING", "startedAt": "now"}
        checked(cluster, "UNHEALTHY")
        for task in cluster.of("one"):
            task["healthStatus"] = "HEALTHY"
        cluster.look()
        cluster.look()
        counts.append(second["failedTasks"])
    # Two tasks fail in each round, and three failures are enough.
    assert (counts, second["rolloutState"]) == ([2, 3], "FAILED")
    assert "was triggered after 3 consecutive task failures." in second["rolloutStateReason"]
    assert len(cluster.of("one")) == 2


def test_a_look_at_all_tasks_counts_until_one_is_started(cluster: Cluster) -> None:
    """Otherwise what an API's call has started meanwhile would be started again."""
    before = cluster.scheduler._Look()
    cluster.deploy("one")
    assert len(cluster.tasks) == 2
    cluster.scheduler.schedule("c", "c/web", before)
    assert len(cluster.tasks) == 2
