"""Measures what an environment costs this computer while nothing happens to it: processor time and memory.

    python -m bench.idle dev          # an environment that is up, over two minutes
    python -m bench.idle dev 60       # over one

It first lets pass what a launch leaves to do. What is counted is what the kernel has charged the processes with, which
other work on the computer changes less than any clock's time; compare two states side by side all the same.
"""

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from spotfleet.cli import status
from spotfleet.local.api import embedded_aws
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, complain, output, say

SECONDS = 120.0
# After a launch, until nothing of it is left to do: metrics of it, scaling, the next look of everything.
REST_AWS_SECONDS = 600
TICK = os.sysconf("SC_CLK_TCK")
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Idle:
    """What an idle environment takes: shares of one core in percent, and memory in MiB.

    `containers` are those of the tasks, which answer health checks.
    """

    services: int
    tasks: int
    embedded_aws: float
    load_balancer: float
    containers: float
    memory: float

    @property
    def text(self) -> str:
        """The same in a line."""
        return (
            f"{self.services} services, {self.tasks} tasks: "
            f"{self.embedded_aws + self.load_balancer:.1f} % of a core "
            f"(embedded AWS {self.embedded_aws:.1f} %, HAProxy {self.load_balancer:.1f} %), "
            f"{self.memory:.0f} MiB; the tasks' containers {self.containers:.1f} %"
        )


def main(environment: str = "dev", seconds: str = str(SECONDS), *options: str) -> int:
    """Measure an environment that is up, and print it: as JSON where the last argument is --json."""
    try:
        found = measured(environment, float(seconds))
    except Failure as failure:
        complain(str(failure))
        return 1
    say(json.dumps(asdict(found)) if "--json" in options else found.text)
    return 0


def measured(environment: str, seconds: float) -> Idle:
    """Return what an environment takes over so many seconds. Raises Failure when it is not up."""
    identity, current = embedded_aws.find(), status.of_environment(environment)
    if identity is None or current is None or not current.complete:
        raise Failure(f"{environment} is not up, or not healthy: see spotfleet status {environment}")
    time.sleep(REST_AWS_SECONDS / current.speed)
    roots = {"aws": [int(identity["pid"])], "haproxy": _load_balancer(), "containers": _containers()}
    before = {name: _cpu_seconds(pids) for name, pids in roots.items()}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    share = {name: 100 * (_cpu_seconds(pids) - before[name]) / passed for name, pids in roots.items()}
    return Idle(
        services=len(current.services),
        tasks=len(current.tasks),
        embedded_aws=round(share["aws"], 2),
        load_balancer=round(share["haproxy"], 2),
        containers=round(share["containers"], 2),
        memory=round(_memory([*roots["aws"], *roots["haproxy"]]) / MEBIBYTE, 1),
    )


def _load_balancer() -> list[int]:
    """Return the process of HAProxy's master: its workers are below it."""
    try:
        return [int((paths.state_folder() / "haproxy.pid").read_text())]
    except (OSError, ValueError):
        return []


def _containers() -> list[int]:
    """Return the first process of each container of the embedded AWS."""
    label = f"label=ministack.instance={socket.gethostname()}:{paths.port()}"
    names = (output(["docker", "ps", "-q", "--filter", label]) or "").split()
    pids = output(["docker", "inspect", "--format", "{{.State.Pid}}", *names]) if names else ""
    return [int(pid) for pid in (pids or "").split()]


def _cpu_seconds(roots: list[int]) -> float:
    """Return the processor time of processes, of those that they have started, and of those of them that have ended."""
    return sum(_ticks(pid) for pid in _with_children(roots)) / TICK


def _ticks(pid: int) -> int:
    # After the name: state, and as fields 14 to 17 the time of the process, and of its children that have ended.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def _memory(roots: list[int]) -> int:
    """Return the bytes of memory that processes and those that they have started have to themselves or share."""
    return sum(_resident(pid) for pid in _with_children(roots))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _with_children(roots: list[int]) -> list[int]:
    found = list(roots)
    for pid in found:
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += [int(child) for child in file.read_text().split()]
            except OSError:
                continue
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
