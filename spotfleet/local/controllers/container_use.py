"""What Docker tells of the containers' use, for those who publish it."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import docker
from docker import DockerClient

from spotfleet.behaviour.record import Record
from spotfleet.behaviour.usage import Measured, Use, use_of
from spotfleet.local.host import running_containers

READERS = 8


class Reader:
    """Reads the use of containers. Safe for one thread."""

    def __init__(self, engine: DockerClient | None = None) -> None:
        self._engine = engine

    def of_tasks(self, tasks: Sequence[Record]) -> dict[str, Use]:
        """Return the use of each container of tasks that Docker tells it of."""
        containers = {item["runtimeId"] for task in tasks for item in task["containers"] if "runtimeId" in item}
        if not containers:
            return {}
        engine = self._engine = self._engine or docker.from_env()
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(containers, pool.map(lambda name: _use(engine, name), containers), strict=True))
        return {name: use for name, use in found.items() if use}

    def close(self) -> None:
        """Close the connection to Docker."""
        if self._engine:
            self._engine.close()


def measured(task: Record, before: Mapping[str, Use], now: Mapping[str, Use]) -> Measured:
    """Return a task with what its containers had used before, since their start where that is not known, and now."""
    after = {item["runtimeId"]: now[item["runtimeId"]] for item in task["containers"] if item.get("runtimeId") in now}
    return Measured(task, [before.get(name, _at_start(task, use)) for name, use in after.items()], list(after.values()))


def _use(engine: DockerClient, container: str) -> Use | None:
    """Return the use of a container; None when it is gone, or while the engine does not answer."""
    try:
        stats = engine.api.stats(container, stream=False, one_shot=True)
    except running_containers.ERRORS:
        return None
    return use_of(stats, time.time())


def _at_start(task: Record, use: Use) -> Use:
    """Return what a container had used when its task started: nothing."""
    started = task["startedAt"].timestamp() if "startedAt" in task else use.moment
    return Use(min(started, use.moment), 0.0, 0)
