"""What Docker is asked of the containers of a machine: what they use, what they are limited to, and the end of one.

A user of the group docker may do all of it; no control group is written here.
"""

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import docker
from docker import DockerClient

from spotfleet.behaviour.usage import Use, use_of
from spotfleet.local.host import running_containers

READERS = 8


class Containers:
    """The containers of this computer, by their ids; one that is gone, or an engine that is away, fails nothing."""

    def __init__(self, engine: DockerClient | None = None) -> None:
        self._engine = engine

    def use(self, names: Collection[str]) -> dict[str, Use]:
        """Return what each container has used; those that Docker tells nothing of are left out."""
        if not names:
            return {}
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(names, pool.map(self._use, names), strict=True))
        return {name: use for name, use in found.items() if use}

    def _use(self, name: str) -> Use | None:
        try:
            stats = self._docker().api.stats(name, stream=False, one_shot=True)
        except running_containers.ERRORS:
            return None
        return use_of(stats, time.time())

    def cpu_limit(self, name: str) -> tuple[int, int] | None:
        """Return a container's CPU period and quota in microseconds, both 0 without limit; None when it is gone."""
        try:
            settings = self._docker().api.inspect_container(name)["HostConfig"]
        except running_containers.ERRORS:
            return None
        return settings["CpuPeriod"], max(0, settings["CpuQuota"])

    def limit_cpu(self, name: str, period: int, quota: int) -> bool:
        """Limit a container's CPU, in microseconds, and return whether that is done."""
        try:
            self._docker().api.update_container(name, cpu_period=period, cpu_quota=quota)
        except running_containers.ERRORS:
            return False
        return True

    def kill(self, name: str) -> None:
        """End a container as the kernel does when memory is out: with SIGKILL, exit code 137."""
        try:
            self._docker().api.kill(name)
        except running_containers.ERRORS:
            return

    def close(self) -> None:
        """Close the connection to Docker."""
        if self._engine:
            self._engine.close()

    def _docker(self) -> DockerClient:
        self._engine = self._engine or docker.from_env()
        return self._engine
