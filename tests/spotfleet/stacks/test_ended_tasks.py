"""Tasks that end during a launch: each cause is told once, and the first one ends the launch's last line."""

import logging
from typing import Any

import pytest

from spotfleet.stacks import ended_tasks, name_stack_in_errors
from spotfleet.stacks.ended_tasks import EndedTasks, enough, of_health_check
from tests.support.answers import EPOCH, resource, stack
from tests.support.stacks import Aws, client_error, make_stack

SERVICE = "arn:aws:ecs:eu-west-1:123456789012:service/cluster/spotfleet-dev-service-Service-1"
DEFINITION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1"
OLD = DEFINITION.removesuffix("1") + "0"
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/cluster/"
GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"
READ_ONLY = "OSError: [Errno 30] Read-only file system: '/app/.cache/index/a'"
CONTAINER = {"name": "web", "portMappings": [{"containerPort": 5000}]}


class Cluster:
    """A service whose tasks end as the test says."""

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = {}
        self.health: dict[str, str] = {"State": "healthy"}
        parameters = [{"ParameterKey": "ClusterName", "ParameterValue": "cluster"}]
        self.stack = stack("UPDATE_IN_PROGRESS", Parameters=parameters)
        self.service = {"loadBalancers": [{"targetGroupArn": GROUP}], "taskDefinition": OLD}
        self.aws = Aws(
            {
                "cloudformation.describe_stacks": lambda _: {"Stacks": [self.stack]},
                "cloudformation.describe_stack_resource": self.log_group,
                "cloudformation.cancel_update_stack": lambda _: {},
                "cloudformation.delete_stack": lambda _: {},
                "ecs.list_services": lambda _: {"serviceArns": [SERVICE.replace("-Service-1", "2-Service-1"), SERVICE]},
                "ecs.list_tasks": lambda _: {"taskArns": [TASK + name for name in self.ended]},
                "ecs.describe_tasks": lambda asked: {"tasks": [self.task(arn) for arn in asked["tasks"]]},
                "ecs.describe_services": lambda _: {"services": [self.service]},
                "ecs.describe_task_definition": lambda _: {"taskDefinition": {"containerDefinitions": [CONTAINER]}},
                "elbv2.describe_target_health": lambda _: {"TargetHealthDescriptions": [{"TargetHealth": self.health}]},
                "elbv2.describe_target_groups": lambda _: {"TargetGroups": [{"HealthCheckPath": "/health"}]},
                "logs.get_log_events": self.log,
            }
        )

    def log_group(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["LogicalResourceId"] == "LogGroup"
        detail = resource("AWS::Logs::LogGroup", "group") | {"LastUpdatedTimestamp": EPOCH}
        del detail["Timestamp"]
        return {"StackResourceDetail": detail}

    def end(
        self,
        name: str,
        exit_code: int | None,
        *log: str,
        reason: str = "Essential container exited",
        code: str = "EssentialContainerExited",
    ) -> None:
        container: dict[str, Any] = {"name": "web"} | ({} if exit_code is None else {"exitCode": exit_code})
        self.ended[name] = {"containers": [container], "stoppedReason": reason, "stopCode": code}
        self.logs[f"ecs/web/{name}"] = list(log)

    def task(self, arn: str) -> dict[str, Any]:
        found = self.ended[arn.removeprefix(TASK)]
        definition = str(self.service["taskDefinition"])
        return {"taskArn": arn, "taskDefinitionArn": definition, "lastStatus": "STOPPED", **found}

    def log(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["logStreamName"] not in self.logs:
            raise client_error("ResourceNotFoundException")
        return {"events": [{"message": line} for line in self.logs[asked["logStreamName"]]]}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A service of which a task had ended before."""
    monkeypatch.setattr(name_stack_in_errors, "_causes", {})
    found = Cluster()
    found.end("old", 1, "KeyError: 'OLD_VARIABLE'")
    return found


@pytest.fixture
def watcher(cluster: Cluster) -> EndedTasks:
    """A watch that has looked once."""
    found = EndedTasks(make_stack("dev/service", cluster.aws), logging.getLogger("test"))
    found._try()
    cluster.service["taskDefinition"] = DEFINITION
    return found


def test_each_cause_is_told_once_and_the_first_one_kept(
    cluster: Cluster, watcher: EndedTasks, caplog: pytest.LogCaptureFixture
) -> None:
    assert watcher.stop() is None
    for name in ("a", "b"):
        cluster.end(name, 1, "starting", READ_ONLY)
    watcher._try()
    cluster.end("c", 1, "KeyError: 'TOKEN'")
    assert "writable_folders" in str(watcher.stop())
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("A task of dev/service has ended: /app/.cache/index/a is on the read-only file system")
    assert "TOKEN" in told[1]


def test_what_a_container_printed_does_nothing_to_a_terminal(cluster: Cluster, watcher: EndedTasks) -> None:
    cluster.end("a", 1, "Read-only file system: '/app/\x1b[2Jcache/a'")
    assert str(watcher.stop()).startswith("/app/\\x1b[2Jcache/a is on the read-only file system")


def test_a_container_that_was_never_started_is_known_by_dockers_words(cluster: Cluster, watcher: EndedTasks) -> None:
    cluster.end("a", None, reason='CannotStartContainerError: exec: "serve": executable file not found in $PATH')
    del cluster.logs["ecs/web/a"]
    assert "serve is not in the image" in str(watcher.stop())


def test_a_task_that_fails_its_health_checks_tells_its_port_or_the_answer(
    cluster: Cluster, watcher: EndedTasks
) -> None:
    unhealthy = f"Task failed ELB health checks in (target-group {GROUP})"
    cluster.health = {"State": "unhealthy", "Description": "Health checks failed with these codes: [302]"}
    watcher._try()
    cluster.health = {"State": "healthy"}
    cluster.end("a", 0, "Listening at: http://0.0.0.0:5000 (7)", reason=unhealthy)
    assert str(watcher.stop()).startswith("/health answers 302, a redirect: set health_check_path")
    cluster.end("b", 0, "Listening at: http://0.0.0.0:8000 (7)", reason=unhealthy)
    watcher._try()
    assert "it listens on port 8000 and is asked at 5000: set container_port" in watcher._causes


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Health checks failed with these codes: [301,302]", "answers 301,302, a redirect"),
        ("Health checks failed with these codes: [401]", "one that needs no login"),
        ("Health checks failed with these codes: [404]", "a path that the service has"),
        ("Health checks failed with these codes: [503]", "set health_check_path or health_check_codes"),
        ("Request timed out", "fail (Request timed out): see container_port"),
    ],
)
def test_what_the_load_balancer_got_instead_is_told(reason: str, words: str) -> None:
    assert words in of_health_check(reason, "/health")


def test_a_role_that_may_not_ask_keeps_no_launch_up() -> None:
    def denied(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("AccessDenied")

    watched = make_stack("dev/service", Aws({"cloudformation.describe_stacks": denied}))
    ended_tasks.watch(watched, logging.getLogger("test"))
    assert ended_tasks.first_cause(watched) is None
    assert ended_tasks.first_cause(watched) is None


def test_old_tasks_that_end_say_nothing_of_an_update(cluster: Cluster, watcher: EndedTasks) -> None:
    cluster.service["taskDefinition"] = OLD
    cluster.end("a", 1, READ_ONLY)
    assert watcher.stop() is None


@pytest.mark.parametrize(
    ("status", "call"),
    [("UPDATE_IN_PROGRESS", "cancel_update_stack"), ("CREATE_IN_PROGRESS", "delete_stack")],
)
def test_three_tasks_that_end_of_one_cause_end_the_launch(
    cluster: Cluster, watcher: EndedTasks, status: str, call: str
) -> None:
    cluster.stack["StackStatus"] = status
    cluster.end("a", 1, READ_ONLY)
    cluster.end("b", 1, READ_ONLY)
    cluster.end("other", 1, "KeyError: 'TOKEN'")
    watcher._try()
    assert cluster.aws.called(f"cloudformation.{call}") == []
    for name in ("c", "d"):
        cluster.end(name, 1, READ_ONLY)
        watcher._try()
    assert cluster.aws.called(f"cloudformation.{call}") == [{"StackName": "spotfleet-dev-service"}]


def test_a_first_look_that_fails_does_not_make_old_tasks_new_ones(cluster: Cluster) -> None:
    found = EndedTasks(make_stack("dev/service", cluster.aws), logging.getLogger("test"))
    answer = cluster.aws.answers["ecs.list_tasks"]

    def throttled(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ThrottlingException")

    cluster.aws.answers["ecs.list_tasks"] = throttled
    found._try()
    cluster.aws.answers["ecs.list_tasks"] = answer
    for name in ("a", "b", "c"):
        cluster.end(name, 1, READ_ONLY)
    found._try()
    assert found.stop() is None
    assert cluster.aws.called("cloudformation.cancel_update_stack") == []


def test_a_creation_that_is_first_seen_late_tells_all_that_has_ended(cluster: Cluster) -> None:
    cluster.stack["StackStatus"] = "CREATE_IN_PROGRESS"
    found = EndedTasks(make_stack("dev/service", cluster.aws), logging.getLogger("test"))
    assert "OLD_VARIABLE" in str(found.stop())


@pytest.mark.parametrize(
    ("status", "call"),
    [("UPDATE_IN_PROGRESS", "cancel_update_stack"), ("CREATE_IN_PROGRESS", "delete_stack")],
)
def test_a_role_that_may_not_end_a_launch_is_told_and_nothing_is_explained_by_it(
    cluster: Cluster, watcher: EndedTasks, caplog: pytest.LogCaptureFixture, status: str, call: str
) -> None:
    def denied(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("AccessDenied", "not authorized to perform: it")

    cluster.stack["StackStatus"] = status
    cluster.aws.answers[f"cloudformation.{call}"] = denied
    for name in ("a", "b", "c", "d"):
        cluster.end(name, 1, READ_ONLY)
        watcher._try()
    assert len(cluster.aws.called(f"cloudformation.{call}")) == 1
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told.startswith(
        "3 tasks of dev/service have ended of it, but the launch goes on, as this role may not end it"
    )
    assert told.endswith("not authorized to perform: it")
    assert name_stack_in_errors._causes == {}
    assert "writable_folders" in str(watcher.stop())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)"),
        ("UserInitiated", "Task stopped by user"),
        ("SpotInterruption", "Your Spot Task was interrupted."),
        ("TerminationNotice", "Host EC2 (instance i-0123456789abcdef0) terminated."),
    ],
)
def test_tasks_that_something_else_has_ended_say_nothing_of_their_container(
    cluster: Cluster, watcher: EndedTasks, code: str, reason: str
) -> None:
    for name in ("a", "b", "c"):
        cluster.end(name, 143, "KeyError: 'TOKEN'", reason=reason, code=code)
    assert watcher.stop() is None
    assert cluster.aws.called("cloudformation.cancel_update_stack") == []


def test_a_task_that_the_scheduler_stops_for_its_health_counts(cluster: Cluster, watcher: EndedTasks) -> None:
    unhealthy = f"Task failed ELB health checks in (target-group {GROUP})"
    cluster.end("a", 0, "Listening on port 8000", reason=unhealthy, code="ServiceSchedulerInitiated")
    assert "set container_port" in str(watcher.stop())


@pytest.mark.parametrize(
    ("parameters", "desired", "tasks"), [({"DeploymentFailures": "5"}, 2, 5), ({"DeploymentFailures": "1"}, 20, 1)]
)
def test_as_many_tasks_end_a_launch_as_its_user_wants(parameters: dict[str, str], desired: int, tasks: int) -> None:
    assert enough(parameters, desired) == tasks


@pytest.mark.parametrize(("desired", "tasks"), [(0, 3), (2, 3), (6, 3), (7, 4), (20, 10)])
def test_it_is_half_of_the_tasks_where_ecs_is_left_to_say(desired: int, tasks: int) -> None:
    assert enough({"ClusterName": "cluster"}, desired) == tasks


def test_the_settings_of_the_stack_are_asked(cluster: Cluster, watcher: EndedTasks) -> None:
    cluster.stack["Parameters"].append({"ParameterKey": "DeploymentFailures", "ParameterValue": "4"})
    for name in ("a", "b", "c"):
        cluster.end(name, 1, READ_ONLY)
    watcher._try()
    assert cluster.aws.called("cloudformation.cancel_update_stack") == []
    cluster.end("d", 1, READ_ONLY)
    watcher._try()
    assert len(cluster.aws.called("cloudformation.cancel_update_stack")) == 1


def test_a_stack_that_is_done_is_left_alone(cluster: Cluster, watcher: EndedTasks) -> None:
    cluster.stack["StackStatus"] = "UPDATE_ROLLBACK_IN_PROGRESS"
    for name in ("a", "b", "c"):
        cluster.end(name, 1, READ_ONLY)
    watcher._try()
    assert cluster.aws.called("cloudformation.cancel_update_stack") == []
