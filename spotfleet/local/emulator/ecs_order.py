"""The ECS agent starts and stops the containers of a task in the order in which they wait for each other.

MiniStack starts them as they are listed, one after the other: they are listed as they start.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import docker.errors
from docker import DockerClient
from docker.models.containers import Container
from ministack.services import ecs

from spotfleet.behaviour import container_order
from spotfleet.behaviour.container_health import Health
from spotfleet.behaviour.container_order import Condition, Seen
from spotfleet.local.emulator.engine import engine_watch
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock, running_containers

# In real seconds: how soon a container that waits sees another one end or get healthy.
POLL_SECONDS = 0.2
# As a container that is gone is said to have ended.
KILLED = 137


class UnmetDependencyError(Exception):
    """A container that others wait for will never be as they want it, or was not in time; the text says which."""


def in_order_of_start(task: Record, definition: Record) -> Record:
    """Return the definition of a task with its containers in the order of their starts, as the task has them too."""
    definitions = {item["name"]: item for item in definition["containerDefinitions"]}
    task["_waves"] = container_order.waves(list(definitions.values()))
    ordered = [definitions[name] for wave in task["_waves"] for name in wave]
    rank = {item["name"]: number for number, item in enumerate(ordered)}
    # At once: a list is empty while it sorts itself, and others read this one.
    task["containers"] = sorted(task["containers"], key=lambda item: rank[item["name"]])
    task["_container_essentials"] = [bool(item.get("essential", True)) for item in ordered]
    return definition | {"containerDefinitions": ordered}


def wait_for_others(task: Record, definition: Record, engine: DockerClient) -> None:
    """Wait until the other containers are as a container needs them, or its task is stopped.

    Raises UnmetDependencyError when they will not be, when an essential one has ended meanwhile, and after the
    startTimeout of one that is waited for; without one the agent waits on.
    """
    started = started_containers(task)
    registered = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    limits = {item["name"]: item.get("startTimeout") for item in registered.get("containerDefinitions", [])}
    begun = time.monotonic()
    for needed in container_order.dependencies(definition):
        if needed.condition is Condition.START:
            continue
        limit = limits.get(needed.name)
        words = f"dependency {needed.name} of container {definition['name']}"
        while ecs._task_is_active(task["taskArn"], task):
            _require_essential(task, started, engine)
            met = container_order.is_met(needed.condition, _seen(engine, started[needed.name]))
            if met:
                break
            if met is None:
                raise UnmetDependencyError(f"CannotStartContainerError: {words} will not be {needed.condition}")
            if limit and time.monotonic() > begun + clock.seconds_with_start(int(limit)):
                raise UnmetDependencyError(f"CannotStartContainerError: {words} has timed out after {limit} s")
            time.sleep(POLL_SECONDS)


def started_containers(task: Record) -> dict[str, str]:
    """Return Docker's ids of the containers of a task that were started, by their names."""
    return dict(zip([item["name"] for item in task["containers"]], task.get("_docker_ids") or [], strict=False))


def _require_essential(task: Record, started: dict[str, str], engine: DockerClient) -> None:
    running = engine_watch().running()
    if running is None:
        return
    essential = dict(zip((item["name"] for item in task["containers"]), task["_container_essentials"], strict=True))
    missing = [container for name, container in started.items() if essential[name] and container not in running]
    if any(_seen(engine, container).exit_code is not None for container in missing):
        raise UnmetDependencyError("Essential container in task exited")


def _seen(engine: DockerClient, name: str) -> Seen:
    """Return how a container is; of an engine that does not answer nothing is known."""
    try:
        state = engine.containers.get(name).attrs["State"]
    except docker.errors.NotFound:
        return Seen(exit_code=KILLED)
    except running_containers.ERRORS:
        return Seen()
    health = (state.get("Health") or {}).get("Status", "")
    return Seen(
        exit_code=state["ExitCode"] if state["Status"] in ("exited", "dead") else None,
        health=Health.HEALTHY if health == "healthy" else Health.UNKNOWN,
    )


@extends(ecs, "_cleanup_task_resources")
def stopping_in_order(
    original: Callable[..., None], task: Record, engine: DockerClient | None, extra: Container | None = None
) -> None:
    """Stop what still runs of several containers in the reverse order of their starts, those of a wave together.

    MiniStack leaves the others running when an essential one has ended.
    """
    started, waves = started_containers(task), task.get("_waves") or []
    others = engine or ecs._get_docker()
    running = engine_watch().running() if len(started) > 1 and others else None
    for wave in reversed(waves) if running else []:
        names = [started[name] for name in wave if started.get(name) in (running or ())]
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            list(pool.map(lambda name: ecs._remove_docker_container(others, name), names))
    original(task, engine, extra)
