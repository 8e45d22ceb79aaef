"""The ECS agent starts a container again where it is, when its definition wants that."""

import socket
import threading
from contextlib import suppress
from datetime import datetime

from docker import DockerClient
from docker.models.containers import Container
from ministack.core.concurrency import spawn_background
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import ecs

from spotfleet.behaviour import restarts
from spotfleet.local.backchannel import container_restarts
from spotfleet.local.emulator import ecs_health
from spotfleet.local.emulator.engine import engine_watch
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock, running_containers

# Held while ended containers are looked at: a task's own watcher and every call that lists tasks see them.
_restarting = threading.Lock()


def restart_ended(task: Record, engine: DockerClient) -> None:
    """Start those of a task's containers again that have ended and whose definitions want it."""
    registered = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    definitions = {item["name"]: item for item in registered.get("containerDefinitions", [])}
    for described, name in list(zip(task["containers"], task["_docker_ids"], strict=False)):
        container_definition = definitions.get(described["name"], {})
        if restarts.policy_of(container_definition).enabled:
            with _restarting, suppress(*running_containers.ERRORS):
                _restart(task, described, engine.containers.get(name), container_definition)


def _restart(task: Record, described: Record, container: Container, definition: Record) -> None:
    state = container.attrs["State"]
    if state["Status"] != "exited" or not ecs._task_is_active(task["taskArn"], task):
        return
    ended = moment(state["FinishedAt"])
    # Here one engine stands for those of all machines, and its end is nothing that happens on AWS.
    if engine_watch().was_away_after(ended):
        return
    ran = clock.aws_seconds(ended - moment(state["StartedAt"]))
    if not restarts.may_restart(restarts.policy_of(definition), state["ExitCode"], ran):
        return
    container_restarts.record(task["taskArn"])
    container.start()
    described["lastStatus"] = "RUNNING"
    described.pop("exitCode", None)
    ecs_health.begin_anew(task, definition["name"])
    ecs.logger.warning("ECS: restarted the container %s of %s", definition["name"], task["taskArn"])
    _follow_log_again(task, container, definition, ended)


def _follow_log_again(task: Record, container: Container, definition: Record, since: float) -> None:
    """Put what a restarted container prints into the log stream that it has had: the reader ended with its process."""
    task_id = task["taskArn"].rpartition("/")[2]
    config = ecs._awslogs_config(definition, task_id, container.id)
    if not config:
        return
    scope = get_account_id(), config["region"] or get_region()

    def follow() -> None:
        with request_scope(*scope), suppress(*running_containers.ERRORS):
            for chunk in container.logs(stream=True, follow=True, since=since):
                for line in chunk.decode("utf-8", errors="replace").splitlines():
                    ecs._emit_awslogs_event(config, line)

    spawn_background(follow, thread_name=f"log-{task_id[:8]}")


def moment(text: str) -> float:
    """Return a time in Docker's words, such as 2026-01-02T03:04:05.123456789Z, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def free_port() -> int:
    """Return a port of this machine that nothing listens on.

    The agent chooses a container's ports as well: one of Docker's choice would be another after a restart, and the load
    balancer would not know it (GetHostPort in https://github.com/aws/amazon-ecs-agent).
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
