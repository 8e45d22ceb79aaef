"""The private names of MiniStack that the emulator uses, and what it makes of a container definition."""

import ast
import asyncio
import base64
import functools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import docker.errors
import pytest
import requests

from spotfleet.local.emulator import containment, patching
from spotfleet.local.host import paths

EMULATOR = Path(paths.ROOT, "spotfleet", "local", "emulator")
SOURCES = sorted(EMULATOR.glob("*.py"))


def private_names() -> list[tuple[str, str, str]]:
    """List every private attribute of a MiniStack module in the sources: where it is used, its module, its name."""
    return sorted((source.stem, *name) for source in SOURCES for name in private_names_of(source))


def private_names_of(source: Path) -> set[tuple[str, str]]:
    tree = ast.parse(source.read_text())
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack")
        for alias in node.names
    }
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    replaced = {
        (node.args[0].id, str(node.args[1].value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("extends", "replaces")
        if isinstance(node.args[0], ast.Name) and isinstance(node.args[1], ast.Constant)
        if node.args[0].id in modules
    }
    return used | replaced


@pytest.mark.parametrize(("name", "status"), [("ecs-shop", 400), ("AWS1", 400), ("Fargate", 400), ("shop-ecs", 200)])
def test_names_that_ecs_keeps_for_itself_are_refused(emulator: ModuleType, name: str, status: int) -> None:
    create = functools.partial(
        emulator.ecs_machines.refusing_reserved_names, lambda data: (200, {}, json.dumps(data).encode())
    )
    assert create({"name": name})[0] == status


def test_the_source_uses_private_names() -> None:
    assert ("cloudformation", "provisioners", "_RESOURCE_HANDLERS") in private_names()
    assert ("ecs_tasks", "ecs", "_build_run_kwargs") in private_names()


@pytest.mark.parametrize(("source", "module", "name"), private_names())
def test_private_name_exists(emulator: ModuleType, source: str, module: str, name: str) -> None:
    assert hasattr(getattr(getattr(emulator, source), module), name), f"MiniStack has no {module}.{name} any more"


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("alb", "_find_lb_by_name", ["name"]),
        ("alb", "_parse_actions", ["params", "prefix"]),
        ("alb", "_parse_conditions", ["params", "prefix"]),
        ("autoscaling", "_describe_asgs", ["p"]),
        ("autoscaling", "_instance_member_xml", ["inst", "include_group_name"]),
        ("autoscaling", "_reconcile_instances", ["asg"]),
        ("cloudformation.provisioners", "_asg_create", ["logical_id", "props", "stack_name"]),
        ("cloudformation.provisioners", "_asg_delete", ["physical_id", "props"]),
        ("cloudformation.provisioners", "_asg_fields", ["props"]),
        ("cloudformation.provisioners", "_elbv2_listener_actions", ["props", "lb_arn", "prop"]),
        ("cloudformation.provisioners", "_elbv2_listener_create", ["logical_id", "props", "stack_name"]),
        ("cloudformation.provisioners", "_flatten_listener_rule_conditions", ["cfn_conditions"]),
        ("cloudformation.stacks", "_runs_on_worker_thread", ["resource_type"]),
        ("cloudformation.stacks", "_sends_back_failed_update", ["resource_type"]),
        ("cloudformation.helpers", "_resolve_document", ["params", "body_key", "url_key", "label"]),
        ("cloudformation.provisioners", "_ec2_subnet_create", ["logical_id", "props", "stack_name"]),
        ("ec2", "_instance_xml", ["inst"]),
        ("ec2", "_subnet_fields_xml", ["subnet", "tag"]),
        ("ec2", "_vpc_fields_xml", ["vpc", "tag"]),
        ("ec2", "_terminate_instances", ["p"]),
        ("ecr", "_describe_images", ["data"]),
        ("ecr", "_get_authorization_token", ["data"]),
        ("ecr", "_repo_uri", ["name"]),
        ("cloudwatch_logs", "_put_log_events", ["data"]),
        ("ecs", "_attach_started_container", ["task", "container", "index", "metadata_token", "ecs_network"]),
        ("ecs", "_awslogs_config", ["cdef", "task_id", "container_id"]),
        ("ecs", "_emit_awslogs_event", ["config", "message"]),
        ("ecs", "_maybe_mark_stopped", ["task", "docker_client"]),
        ("ecs", "_start_task_worker", ["task", "td", "container_overrides", "docker_client"]),
        ("ecs", "_make_deployment", ["task_definition", "desired_count", "status"]),
        ("ecs", "_reconcile_service_tasks", ["cluster_name", "svc_key"]),
        ("ecs", "_refresh_service_state", ["cluster_name", "group"]),
        ("ecs", "_remove_docker_container", ["docker_client", "container_or_id"]),
        ("ecs", "_update_service", ["data"]),
    ],
)
def test_private_function_takes_the_same_parameters(module: str, name: str, parameters: list[str]) -> None:
    # In a process of its own, because other tests replace these functions here.
    code = f"import inspect, ministack.services.{module} as m; print(*inspect.signature(m.{name}).parameters)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == parameters


def test_a_moved_name_stops_the_server() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        patching.extends(ast, "no_such_name")
    with pytest.raises(AttributeError, match="no_such_name"):
        patching.extends({}, "no_such_name")


class Library:
    """What patches are applied to: a function, and a table that holds it under another name."""

    def __init__(self) -> None:
        self.module = ModuleType("library")
        self.module.stop = lambda what: f"stop {what}"  # type: ignore[attr-defined]
        self.table = {"Stop": self.module.stop}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library without patches."""
    monkeypatch.setattr(patching, "_patches", [])
    monkeypatch.setattr(patching, "apply", patching.apply.__wrapped__)
    return Library()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_patches_does_not_matter(library: Library, order: tuple[int, int]) -> None:
    """A table's entry is extended after the function that it holds, whichever was put down first."""

    def leave(original: Callable[[str], str], what: str) -> str:
        return f"leave, {original(what)}"

    def replace(original: Callable[[str], str], what: str) -> str:
        return f"{original(what)}, start another"

    places = (
        lambda: patching.extends(library.module, "stop", held_by=[(library.table, "Stop")])(leave),
        lambda: patching.extends(library.table, "Stop")(replace),
    )
    for number in order:
        places[number]()
    patching.apply()
    assert library.table["Stop"]("it") == "leave, stop it, start another"
    assert library.module.stop("it") == "leave, stop it"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_another_module_holds_is_extended_after_the_function_itself(
    library: Library, order: tuple[int, int]
) -> None:
    holder = ModuleType("holder")
    holder.halt = library.module.stop  # type: ignore[attr-defined]
    places = (
        lambda: patching.extends(library.module, "stop", held_by=[(holder, "halt")])(
            lambda was, what: f"1 {was(what)}"
        ),
        lambda: patching.extends(holder, "halt")(lambda was, what: f"2 {was(what)}"),
    )
    for number in order:
        places[number]()
    patching.apply()
    assert (holder.halt("it"), library.module.stop("it")) == ("2 1 stop it", "1 stop it")


def test_two_patches_of_one_place_are_refused(library: Library) -> None:
    patching.extends(library.table, "Stop")(lambda original, what: original(what))
    with pytest.raises(ValueError, match="Stop has a function of ours already"):
        patching.replaces(library.table, "Stop")


def test_a_table_that_holds_another_function_by_now_is_named(library: Library) -> None:
    patching.extends(library.module, "stop", held_by=[(library.table, "Stop")])(lambda original, what: original(what))
    library.table["Stop"] = len
    with pytest.raises(AttributeError, match=r"Stop is not library\.stop any more"):
        patching.apply()


def run_arguments(
    emulator: ModuleType, container: dict[str, Any], network: str | None = None, **task: object
) -> dict[str, Any]:
    """Return the Docker arguments of a container definition on top of MiniStack's own, in a network of its tasks."""

    def original(_container: object, _task: object, _env: object, ports: object, *_rest: object) -> dict[str, Any]:
        return {"ports": ports, "labels": {emulator.ecs_tasks.TASK_LABEL: "here"}}

    build: Callable[..., dict[str, Any]] = functools.partial(emulator.ecs_tasks.with_definition, original)
    with pytest.MonkeyPatch.context() as patch:
        # No engine is asked for a network.
        patch.setattr(emulator.task_networks.outgoing_rules, "network_for", lambda *_arguments: network)
        patch.setattr(emulator.task_networks, "machine_of", lambda _task: "i-1")
        patch.setattr(emulator.task_networks.task_credentials, "path_for", lambda _task: None)
        return build(container, task, {}, {"5000/tcp": 0})


def test_ports_are_published_on_loopback_only(emulator: ModuleType) -> None:
    assert run_arguments(emulator, {"name": "web"})["ports"] == {"5000/tcp": ("127.0.0.1", None)}


def test_container_gets_what_its_definition_says(emulator: ModuleType) -> None:
    container = {
        "name": "web",
        "readonlyRootFilesystem": True,
        "user": "10001",
        "memory": 256,
        "stopTimeout": 45,
        "entryPoint": ["/bin/app"],
        "dockerSecurityOptions": ["no-new-privileges"],
        "linuxParameters": {
            "initProcessEnabled": True,
            "capabilities": {"drop": ["ALL"]},
            "tmpfs": [{"containerPath": "/run", "size": 16}],
            "sharedMemorySize": 10,
        },
        "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048}],
        "extraHosts": [{"hostname": "far", "ipAddress": "10.1.2.3"}],
        "dockerLabels": {"team": "web", emulator.ecs_tasks.TASK_LABEL: "another's"},
        "healthCheck": {"command": ["CMD", "/up"]},
        "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/tmp"}],  # noqa: S108  # in the container
    }
    arguments = run_arguments(emulator, container, volumes=[{"name": "scratch"}])
    assert arguments["read_only"] is True
    assert arguments["user"] == "10001"
    assert arguments["mem_limit"] == 256 * 1024 * 1024
    assert arguments["entrypoint"] == ["/bin/app"]
    assert arguments["init"] is True
    assert arguments["cap_drop"] == ["ALL"]
    assert arguments["security_opt"] == ["no-new-privileges"]
    assert arguments["tmpfs"] == {"/run": "size=16m", "/tmp": "rw"}  # noqa: S108
    assert arguments["labels"][emulator.ecs_tasks.STOP_TIMEOUT_LABEL] == "45"
    assert arguments["shm_size"] == 10 * 1024 * 1024
    assert arguments["ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]
    assert arguments["extra_hosts"] == {"far": "10.1.2.3"}
    # Nobody passes for a container of another task.
    assert (arguments["labels"]["team"], arguments["labels"][emulator.ecs_tasks.TASK_LABEL]) == ("web", "here")
    assert arguments["healthcheck"]["test"] == ["CMD", "/up"]


# By another id than the short one the engine resolves no link in a network that somebody has made.
@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (None, {"links": [("c" * 12, "redis"), ("c" * 12, "cache")]}),
        ("tasks", {"networking_config": {"tasks": {"Links": [f"{'c' * 12}:redis", f"{'c' * 12}:cache"]}}}),
    ],
)
def test_a_container_links_to_those_of_its_own_task_alone(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, network: str | None, expected: dict[str, Any]
) -> None:
    task = {"containers": [{"name": "cache"}, {"name": "web"}], "_docker_ids": ["c" * 64]}
    monkeypatch.setitem(emulator.ecs_tasks.ecs._tasks, "here", task)
    definition = {"name": "web", "links": ["cache:redis", "cache", "somebodys-database"]}
    arguments = run_arguments(emulator, definition, network)
    assert {name: arguments.get(name) for name in ("links", "networking_config") if name in arguments} == expected
    containment.require_contained(arguments)


def test_bare_container_gets_no_settings(emulator: ModuleType) -> None:
    arguments = run_arguments(emulator, {"name": "web"})
    assert arguments.keys() == {"ports", "labels"}
    assert arguments["labels"][emulator.ecs_tasks.STOP_TIMEOUT_LABEL] == "30"


def test_cpu_of_a_container_is_its_share(emulator: ModuleType) -> None:
    arguments = run_arguments(emulator, {"name": "web", "cpu": 256})
    assert arguments["cpu_shares"] == 256
    assert "cpu_quota" not in arguments


@pytest.mark.parametrize(
    ("user_data", "period", "quota"), [("ECS_CGROUP_CPU_PERIOD=10ms\n", 10_000, 2_500), ("", 100_000, 25_000)]
)
def test_cpu_of_a_task_is_its_limit_in_each_period_of_its_machine(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, user_data: str, period: int, quota: int
) -> None:
    machine = {"UserData": base64.b64encode(user_data.encode()).decode()}
    monkeypatch.setitem(emulator.autoscaling.ec2._instances, "i-1", machine)
    monkeypatch.setitem(emulator.records.container_instances, "machine", {"ec2InstanceId": "i-1"})
    monkeypatch.setitem(emulator.ecs_tasks.ecs._tasks, "here", {"containerInstanceArn": "machine", "containers": []})
    arguments = run_arguments(emulator, {"name": "web"}, cpu="256")
    assert (arguments["cpu_period"], arguments["cpu_quota"]) == (period, quota)
    assert arguments["cpu_shares"] == 256


class FakeContainer:
    """A container that remembers what was done to it."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.done: list[object] = []

    def stop(self, timeout: int) -> None:
        """Remember the time."""
        self.done.append(timeout)

    def remove(self, **_options: bool) -> None:
        """Remember the removal."""
        self.done.append("removed")


@pytest.mark.parametrize(("labels", "seconds"), [({"spotfleet.stop-timeout": "45"}, 45), ({}, 30)])
def test_stop_waits_as_long_as_the_definition_says(emulator: ModuleType, labels: dict[str, str], seconds: int) -> None:
    container = FakeContainer(labels)
    emulator.ecs_tasks.stop_and_remove(object(), container)
    assert container.done == [seconds, "removed"]


class FakeEngine:
    """A Docker engine that knows some containers, runs some of them, or is away."""

    def __init__(self, known: set[str], running: set[str] | None) -> None:
        self.known = known
        self.run = running
        self.api = self

    def running(self) -> set[str] | None:
        """Answer as host.running_containers does."""
        return self.run

    def inspect_container(self, name: str) -> dict[str, Any]:
        """Describe a container."""
        if name not in self.known:
            raise docker.errors.NotFound(name)
        return {"State": {"OOMKilled": False, "ExitCode": 0}}


@pytest.mark.parametrize(
    ("known", "running", "essential", "status"),
    [
        ({"a", "b"}, {"a", "b"}, [True, True], "RUNNING"),
        # Newer than the answer.
        ({"a", "b"}, set(), [True, True], "RUNNING"),
        ({"a"}, {"a"}, [True, True], "STOPPED"),
        ({"a"}, {"a"}, [True, False], "RUNNING"),
        (set(), None, [True, True], "RUNNING"),
    ],
)
def test_a_task_ends_with_an_essential_container_that_is_gone(
    emulator: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    known: set[str],
    running: set[str] | None,
    essential: list[bool],
    status: str,
) -> None:
    engine = FakeEngine(known, running)
    monkeypatch.setattr(emulator.ecs_tasks, "engine_watch", lambda: engine)
    task = {
        **{"taskArn": "gone", "taskDefinitionArn": "none:1", "lastStatus": "RUNNING"},
        **{"_docker_ids": ["a", "b"], "_container_essentials": essential},
        **{"containers": [{"name": "web"}, {"name": "side"}]},
    }
    monkeypatch.setitem(emulator.ecs_tasks.ecs._tasks, "gone", task)
    emulator.ecs_tasks.seeing_removals(lambda _task, _engine: None, task, engine)
    assert task["lastStatus"] == status


def test_a_container_that_is_gone_and_not_needed_has_ended(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks the engine for it again and again."""
    engine = FakeEngine({"a"}, {"a"})
    monkeypatch.setattr(emulator.ecs_tasks, "engine_watch", lambda: engine)
    task: dict[str, Any] = {"taskArn": "less", "taskDefinitionArn": "none:1", "lastStatus": "RUNNING"}
    task |= {"_docker_ids": ["a", "b"], "_container_essentials": [True, False]}
    task |= {"containers": [{"name": name, "lastStatus": "RUNNING"} for name in ("web", "side")]}
    looks: list[object] = []
    for _look in range(2):
        emulator.ecs_tasks.seeing_removals(lambda *_arguments: looks.append(1), task, engine)
    assert [item["lastStatus"] for item in task["containers"]] == ["RUNNING", "STOPPED"]
    assert len(looks) == 1


def test_a_container_that_ends_while_its_task_is_looked_at_is_restarted_all_the_same(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine({"a", "b"}, {"a"})
    monkeypatch.setattr(emulator.ecs_tasks, "engine_watch", lambda: engine)
    asked: list[str] = []
    monkeypatch.setattr(emulator.ecs_tasks.ecs_restarts, "restart_ended", lambda *_arguments: asked.append("restarts"))
    task: dict[str, Any] = {"taskArn": "more", "taskDefinitionArn": "none:1", "lastStatus": "RUNNING"}
    task |= {"_docker_ids": ["a", "b"], "containers": [{"name": "web"}, {"name": "side"}]}
    emulator.ecs_tasks.seeing_removals(lambda *_arguments: asked.append("ends"), task, engine)
    assert asked == ["restarts", "ends", "restarts"]


def test_a_container_that_may_be_restarted_keeps_its_port(emulator: ModuleType) -> None:
    kept = run_arguments(emulator, {"restartPolicy": {"enabled": True}})["ports"]["5000/tcp"]
    assert kept[0] == "127.0.0.1"
    assert kept[1] > 0


def test_a_task_starts_when_the_engine_answers(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(set(), None)
    monkeypatch.setattr(emulator.ecs_placement, "engine_watch", lambda: engine)
    monkeypatch.setattr(emulator.ecs_placement, "PLACEMENT_SECONDS", 0.01)
    task = {"taskArn": "early", "lastStatus": "PROVISIONING", "launchType": "FARGATE", "containers": []}
    definition: dict[str, Any] = {"containerDefinitions": []}
    monkeypatch.setitem(emulator.ecs_tasks.ecs._tasks, "early", task)
    started: list[object] = []
    work = functools.partial(emulator.ecs_placement.with_placement, lambda *arguments: started.append(arguments))
    thread = threading.Thread(target=work, args=(task, definition, [], engine))
    thread.start()
    time.sleep(0.05)
    assert started == []
    engine.run = set()
    thread.join(5)
    assert started == [(task, definition, [], engine)]


def test_a_stop_ends_without_an_engine(emulator: ModuleType) -> None:
    class Away(FakeContainer):
        def stop(self, timeout: int) -> None:
            raise requests.ConnectionError(timeout)

    container = Away({})
    emulator.ecs_tasks.stop_and_remove(object(), container)
    assert container.done == []


def test_the_activity_of_a_drained_machine_ends_with_its_drain(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminated: list[list[str]] = []
    terminate = {"TerminateInstances": lambda parameters: terminated.append(parameters["InstanceId.1"])}
    monkeypatch.setattr(emulator.group_departures.ec2, "_ACTION_MAP", terminate)
    monkeypatch.setattr(emulator.group_departures, "now_iso", lambda: "later")
    instance = {"InstanceId": "i-1", "LifecycleState": "Terminating:Wait"}
    activities = [
        {"Description": f"{what} EC2 instance: {name}", "EndTime": "before"}
        for what, name in (("Terminating", "i-2"), ("Terminating", "i-1"), ("Launching a new", "i-1"))
    ]
    group = {"Instances": [instance], "_activities": activities}
    emulator.group_departures.end(group, instance)
    assert [activity["EndTime"] for activity in activities] == ["before", "later", "before"]
    assert (group["Instances"], terminated) == ([], [["i-1"]])


def test_a_log_stream_has_the_newest_lines_in_their_order(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator.logs, "KEPT_LINES", 3)
    logs, place = emulator.logs.cloudwatch_logs, {"logGroupName": "tasks", "logStreamName": "one"}
    with emulator.logs.request_scope("000000000000", "eu-test-1"):
        logs._create_log_group({"logGroupName": "tasks"})
        logs._create_log_stream(place)
        for line in ("first", "second", "third", "fourth"):
            emulator.logs.collect_line({"group": "deleted", "stream": "one"}, line)
            emulator.logs.collect_line({"group": "tasks", "stream": "one"}, line)
    emulator.logs._put_lines()
    with emulator.logs.request_scope("000000000000", "eu-test-1"):
        _status, _headers, body = logs._get_log_events(place)
        assert [event["message"] for event in json.loads(body)["events"]] == ["second", "third", "fourth"]
        assert len(logs._log_records) == 3


def test_a_burst_beyond_the_buffer_is_lost(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: dict[object, list[dict[str, Any]]] = {}
    monkeypatch.setattr(emulator.logs, "_lines", lines)
    options = {"awslogs-group": "g", "max-buffer-size": "10"}
    container = {"name": "web", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    config = emulator.logs.with_buffer(lambda *_rest: {"group": "g", "stream": "s"}, container)
    with emulator.logs.request_scope("000000000000", "eu-test-1"):
        for line in ("12345", "6789", "lost", "0"):
            emulator.logs.collect_line(config, line)
        assert [[item["message"] for item in found] for found in lines.values()] == [["12345", "6789", "0"]]
        emulator.logs._bytes.clear()


def test_an_unhealthy_task_counts_as_failed(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"taskArn": "task/1", "clusterArn": "cluster/c", "startedBy": "web"}
    task |= {"group": "service:web", "healthStatus": "UNKNOWN"}
    failed: list[str] = []
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_resolve_task", lambda *_names: task)
    record = lambda task: failed.append(task["_failed_because"])  # noqa: E731
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_record_service_task_failure", record)
    submit = functools.partial(emulator.ecs_services.counting_unhealthy, lambda _data: None)
    submit({"cluster": "c", "task": "task/1", "status": "RUNNING"})
    assert (failed, task["healthStatus"]) == ([], "UNKNOWN")
    submit({"cluster": "c", "task": "task/1", "status": "UNHEALTHY", "reason": "checks"})
    submit({"cluster": "c", "task": "task/1", "status": "UNHEALTHY", "reason": "again"})
    # It is a load balancer that says so: the health of the containers is another matter.
    assert (failed, task["healthStatus"]) == (["checks"], "UNKNOWN")


def test_a_deleted_service_takes_its_unhealthy_tasks_with_it(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = {"serviceName": "web", "clusterArn": "cluster/c"}
    task = {"taskArn": "task/1", "clusterArn": "cluster/c", "startedBy": "web", "group": "service:web"}
    task |= {"desiredStatus": "RUNNING", "lastStatus": "RUNNING"}
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_tasks", {"task/1": task})
    stopped: list[dict[str, str]] = []
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_stop_task", stopped.append)
    emulator.ecs_draining.waiting_for_last_tasks(
        lambda _data: (200, {}, json.dumps({"service": service})), {"cluster": "c"}
    )
    assert stopped == [{"cluster": "c", "task": "task/1", "reason": "Service deleted"}]


@pytest.mark.parametrize(("status", "kept"), [("ROLLBACK_FAILED", ["Vpc"]), ("UPDATE_ROLLBACK_FAILED", [])])
def test_what_the_rollback_of_a_creation_could_not_delete_stays_in_its_stack(
    emulator: ModuleType, status: str, kept: list[str]
) -> None:
    stack: dict[str, Any] = {"StackStatus": "CREATE_IN_PROGRESS", "_resources": {}}

    async def roll_back(_name: str, _id: str, stack: dict[str, Any], _operation: object) -> None:
        stack |= {"StackStatus": status, "_rollback_failed": {"Vpc": {"PhysicalResourceId": "vpc-1"}}}

    asyncio.run(emulator.cloudformation.keeping_what_is_left(roll_back, "s", "arn", stack, {}))
    assert list(stack["_resources"]) == kept
    assert [item["ResourceStatus"] for item in stack["_resources"].values()] == ["DELETE_FAILED"] * len(kept)


def test_a_failed_deployment_goes_with_its_last_task_and_leaves_its_reason(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"id": "two", "status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "no image."}
    primary = {"id": "one", "status": "PRIMARY", "rolloutState": "COMPLETED"}
    service: dict[str, Any] = {"serviceName": "web", "clusterArn": "cluster/c", "events": []}
    service["deployments"] = [failed, primary]
    task = {"taskArn": "task/1", "clusterArn": "cluster/c", "startedBy": "web", "_deployment_id": "two"}
    task |= {"lastStatus": "RUNNING"}
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_services", {"c/web": service})
    monkeypatch.setattr(emulator.ecs_tasks.ecs, "_tasks", {"task/1": task | {"desiredStatus": "RUNNING"}})
    refresh = functools.partial(emulator.ecs_services.forgetting_failed_deployments, lambda _cluster, _group: None)
    refresh("c", "service:web")
    assert service["deployments"] == [primary, failed]
    emulator.ecs_tasks.ecs._tasks["task/1"]["desiredStatus"] = "STOPPED"
    refresh("c", "service:web")
    assert service["deployments"] == [primary]
    assert service["events"][0]["message"] == "(service web) (deployment two) deployment failed: no image."
    refresh("c", None)


@pytest.mark.parametrize(
    ("stack", "word"),
    [
        ({"StackStatus": "UPDATE_IN_PROGRESS", "_cancel_requested": True}, "cancelled"),
        # The rollback that follows waits for the service once more.
        ({"StackStatus": "UPDATE_ROLLBACK_IN_PROGRESS", "_cancel_requested": True}, ""),
        ({"StackStatus": "CREATE_IN_PROGRESS", "TimeoutInMinutes": "1", "_created_at": 0}, "timeout of 1 minutes"),
        ({"StackStatus": "CREATE_IN_PROGRESS", "TimeoutInMinutes": "1"}, ""),
        ({"StackStatus": "CREATE_IN_PROGRESS"}, ""),
        (None, ""),
    ],
)
def test_a_stack_says_when_its_resources_must_not_wait_any_longer(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, stack: dict[str, Any] | None, word: str
) -> None:
    monkeypatch.setattr(emulator.cloudformation.stacks_of, "_stacks", {"s": stack} if stack else {})
    end = emulator.cloudformation.ends_early("s")
    assert word in end
    assert bool(end) == bool(word)


@pytest.mark.parametrize("state", ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_a_stack_that_is_deleted_twice_while_it_is_created_is_deleted_once(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    stack = {"StackStatus": state}
    monkeypatch.setattr(emulator.cloudformation.stacks_of, "_stacks", {"s": stack})
    monkeypatch.setattr(emulator.cloudformation, "POLL_SECONDS", 0)
    deleted: list[str] = []

    async def delete(name: str) -> None:
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        deleted.append(name)

    async def both() -> None:
        waiting = asyncio.create_task(emulator.cloudformation.after_its_creation(delete, "s"))
        await asyncio.sleep(0)
        await emulator.cloudformation.after_its_creation(delete, "s")
        assert deleted == []
        stack["StackStatus"] = "ROLLBACK_COMPLETE"
        await waiting

    asyncio.run(both())
    assert deleted == ["s"]


@pytest.mark.parametrize(
    ("status", "is_known"),
    [("CREATE_COMPLETE", True), ("REVIEW_IN_PROGRESS", True), ("CREATE_IN_PROGRESS", False)],
)
def test_answers_are_remembered_unless_a_stack_is_worked_on(
    emulator: ModuleType, monkeypatch: pytest.MonkeyPatch, status: str, is_known: bool
) -> None:
    stacks = type(emulator.state.stacks_of._stacks)()
    stacks["s"] = {"StackStatus": status}
    monkeypatch.setattr(emulator.state.stacks_of, "_stacks", stacks)
    assert (emulator.state.fingerprint() is not None) == is_known
