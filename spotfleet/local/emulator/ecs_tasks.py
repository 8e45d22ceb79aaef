"""ECS runs a task's containers as its definition says."""

import contextlib
import math
from collections.abc import Callable

import docker.errors
from docker import DockerClient
from docker.models.containers import Container
from docker.types import Ulimit
from ministack.services import (
    ec2,
    ecs,
)

from spotfleet.behaviour import container_health, container_order, machine_life, machine_limits, restarts, stop_time
from spotfleet.local.emulator import containment, ecs_health, ecs_order, ecs_restarts, machine_ends, task_networks
from spotfleet.local.emulator.engine import engine_watch
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import (
    Record,
    Response,
    awaited_containers,
    ecs_error,
    is_on_lost_machine,
    machine_of,
)
from spotfleet.local.host import clock, running_containers

# Keeps that time with the container: the Docker SDK's run() cannot set Docker's own.
STOP_TIMEOUT_LABEL = "spotfleet.stop-timeout"

# By which MiniStack, as the ECS agent, says to which task a container belongs.
TASK_LABEL = "com.amazonaws.ecs.task-arn"

# Of an id's characters: by so many the engine's name server knows a container.
SHORT_ID = 12

MEBIBYTE = 1024 * 1024

CPU_UNITS = 1024

MICROSECONDS = 1000


@extends(ecs, "_build_run_kwargs")
def with_definition(
    original: Callable[..., Record], container: Record, task: Record, env: Record, ports: Record, *rest: object
) -> Record:
    # Docker's own choice of a port, None, would be another one after a restart.
    choose = ecs_restarts.free_port if restarts.policy_of(container).enabled else lambda: None
    on_loopback = {port: ("127.0.0.1", host_port or choose()) for port, host_port in ports.items()}
    settings = original(container, task, env, on_loopback, *rest) | _container_settings(container, task)
    agent = _agent_of(settings["labels"][TASK_LABEL])
    settings |= _cpu_limit(task, agent)
    settings.pop("extra_hosts", None)
    settings |= task_networks.join(settings["labels"][TASK_LABEL], env)
    settings |= _seen_by_name(settings, container)
    settings["labels"][STOP_TIMEOUT_LABEL] = str(stop_time.stop_seconds(container.get("stopTimeout"), agent))
    return settings


def _seen_by_name(settings: Record, container: Record) -> Record:
    """Return the arguments for Docker of the names that a container knows others by, and is known by.

    What it links to is of its own task, whatever its definition says: nothing else here has a name of one.
    """
    others = {item["hostname"]: item["ipAddress"] for item in container.get("extraHosts") or []}
    found = {"labels": (container.get("dockerLabels") or {}) | settings["labels"]}
    if others:
        found["extra_hosts"] = (settings.get("extra_hosts") or {}) | others
    task = ecs._tasks.get(settings["labels"][TASK_LABEL], {"containers": []})
    started = ecs_order.started_containers(task)
    links = [(started[name][:SHORT_ID], alias) for name, alias in container_order.links(container) if name in started]
    return found | _linked(links, settings.get("network"))


def _linked(links: list[tuple[str, str]], network: str | None) -> Record:
    """Return the arguments for Docker of links: in a network that was made, an endpoint has them, not the container."""
    if not links:
        return {}
    if network in (None, "bridge"):
        return {"links": links}
    return {"networking_config": {network: {"Links": [f"{container}:{alias}" for container, alias in links]}}}


def _agent_of(task_arn: str) -> dict[str, str]:
    """Return the settings of the agent on a task's machine."""
    machine = ec2._instances.get(machine_of(ecs._tasks.get(task_arn, {})), {})
    return machine_life.agent_settings(machine.get("UserData", ""))


def _container_settings(container: Record, task: Record) -> Record:
    """Return the arguments for Docker of what a container definition says and MiniStack drops."""
    linux = container.get("linuxParameters") or {}
    memory = container.get("memory") or task.get("memory")
    cpu = container.get("cpu") or task.get("cpu")
    settings = {
        "cap_drop": (linux.get("capabilities") or {}).get("drop"),
        "cpu_shares": int(cpu) if cpu else None,
        "entrypoint": container.get("entryPoint"),
        "healthcheck": ecs_health.docker_check(container),
        "init": linux.get("initProcessEnabled"),
        "mem_limit": int(memory) * MEBIBYTE if memory else None,
        "mem_reservation": int(container.get("memoryReservation", 0)) * MEBIBYTE,
        "read_only": container.get("readonlyRootFilesystem"),
        "security_opt": container.get("dockerSecurityOptions"),
        "shm_size": int(linux.get("sharedMemorySize") or 0) * MEBIBYTE,
        "tmpfs": _scratch_folders(container, task, linux),
        "ulimits": [
            Ulimit(name=item["name"], soft=int(item["softLimit"]), hard=int(item["hardLimit"]))
            for item in container.get("ulimits") or []
        ],
        "user": container.get("user"),
        "working_dir": container.get("workingDirectory"),
    }
    return {name: value for name, value in settings.items() if value}


def _cpu_limit(definition: Record, agent: dict[str, str]) -> Record:
    """Return the arguments for Docker of a task's CPU size: a hard limit, where a container's is only a share.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
    """
    if not definition.get("cpu"):
        return {}
    period = machine_life.cpu_period(agent) * MICROSECONDS
    return {"cpu_period": period, "cpu_quota": period * int(definition["cpu"]) // CPU_UNITS}


def _scratch_folders(container: Record, task: Record, linux: Record) -> Record:
    """Return the tmpfs mounts, among them the task's volumes that no folder of the machine stands behind."""
    on_machine = {item["name"] for item in task.get("volumes", []) if (item.get("host") or {}).get("sourcePath")}
    mounts = {
        item["containerPath"]: "ro" if item.get("readOnly") else "rw"
        for item in container.get("mountPoints", [])
        if item["sourceVolume"] not in on_machine
    }
    for item in linux.get("tmpfs", []):
        mounts[item["containerPath"]] = ",".join([f"size={item['size']}m", *item.get("mountOptions", [])])
    return mounts


@replaces(ecs, "_remove_docker_container")
def stop_and_remove(client: DockerClient | None, container: Container | str | None) -> None:
    """Stop a container with the time that its task definition gives it, and remove it."""
    if client is None or container is None:
        return
    try:
        if isinstance(container, str):
            container = client.containers.get(container)
        timeout = int(container.labels.get(STOP_TIMEOUT_LABEL, stop_time.DEFAULT))
        # Docker takes whole seconds.
        container.stop(timeout=math.ceil(clock.seconds(timeout)))
        container.remove(v=True, force=True)
    except docker.errors.NotFound:
        return
    except running_containers.ERRORS as error:
        # The task ends all the same: a service that is deleted waits for it.
        ecs.logger.warning("ECS: could not remove a container: %s", error)


@extends(ecs, "_maybe_mark_stopped")
def seeing_removals(original: Callable[..., None], task: Record, engine: DockerClient | None = None) -> None:
    """Let a task end whose container is gone, which MiniStack takes for an engine that does not answer.

    MiniStack asks the engine for every container of its own many times a second: here only for those not known to run.
    """
    containers = list(task.get("_docker_ids") or [])
    engine = engine or ecs._get_docker()
    if task.get("lastStatus") != "RUNNING" or not containers or engine is None or is_on_lost_machine(task):
        return
    running = engine_watch().running()
    if running is None or running.issuperset(awaited_containers(task)):
        return
    ecs_restarts.restart_ended(task, engine)
    _tell_killed(task, engine)
    original(task, engine)
    # What has ended since: its task is not looked at again for a container that is known to have.
    ecs_restarts.restart_ended(task, engine)
    essential = task.get("_container_essentials") or [True] * len(containers)
    for described, name, needed in zip(task["containers"], containers, essential, strict=False):
        if task["lastStatus"] != "RUNNING" or not running_containers.is_gone(engine, name):
            continue
        described["lastStatus"] = "STOPPED"
        if needed:
            ecs._mark_task_stopped(task["taskArn"], task, "Essential container exited", "EssentialContainerExited")
            ecs._cleanup_task_resources(task, engine)


def _tell_killed(task: Record, engine: DockerClient) -> None:
    """Say of a container that the kernel killed at its memory limit what ECS's agent says.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/out-of-memory.html
    """
    for described, name in zip(task.get("containers", []), task["_docker_ids"], strict=False):
        with contextlib.suppress(*running_containers.ERRORS):
            state = engine.api.inspect_container(name)["State"]
            if state["OOMKilled"] and not state["Running"]:
                described.setdefault("reason", machine_limits.OUT_OF_MEMORY)


@extends(ecs, "_attach_started_container")
def with_network_bindings(
    original: Callable[..., bool], task: Record, container: Container, index: int, *rest: object
) -> bool:
    if not original(task, container, index, *rest):
        return False
    container.reload()
    published = container.attrs["NetworkSettings"]["Ports"] or {}
    task["containers"][index]["networkBindings"] = [
        {
            "bindIP": binding["HostIp"],
            "containerPort": int(port.partition("/")[0]),
            "hostPort": int(binding["HostPort"]),
            "protocol": port.partition("/")[2],
        }
        for port, bindings in published.items()
        for binding in bindings or []
    ]
    if is_on_lost_machine(task):
        # Its machine has ended while the container was started.
        machine_ends.silence([task])
    return True


@extends(ecs, "_register_task_definition", held_by=[(ecs._ACTION_MAP, "RegisterTaskDefinition")])
def refusing_this_machine(original: Callable[[Record], Response], data: Record) -> Response:
    """Refuse what would give a task this machine, or what ECS refuses, by the API and in a template."""
    for container in data.get("containerDefinitions", []):
        for problem in container_health.problems(container):
            return ecs_error("ClientException", f"Container {container.get('name')}: {problem}.")
    for problem in container_order.problems(data.get("containerDefinitions", [])):
        return ecs_error("ClientException", f"Container dependencies: {problem}.")
    if problems := list(containment.problems_of_definition(data)):
        text = f"Refused on the embedded AWS, where a task would get this machine: {'; '.join(problems)}"
        return ecs_error("ClientException", text)
    return original(data)
