"""Measures how long it takes after a step of load until twice as many tasks serve, in AWS's seconds, phase by phase.

    LOCAL_SPEED=10 python -m bench.step_of_load dev 1 2 3 4 5     # the environment, and seeds: one launch for each

A task cannot use more CPU here than it reserves: with `task_cpu_target_percent: 50` a step to full use asks for twice
the tasks, as one from 70 to 140 % does on AWS. What AWS takes for that, two tasks on one machine and the fourth on a
second one: 330 s on average from the beginning of a minute until they are wanted (rule T2), 120 s until a machine is
asked for, 75 s until it has joined, 15 s until the task serves. With metrics every 20 seconds it is 274 s less.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from spotfleet.cli import status
from spotfleet.local.daemon.environment_status import Status
from spotfleet.local.host import delays, packages
from spotfleet.local.host.console import Failure, complain, say

CONNECTIONS = 32
# After the launch, until nothing of it is in the metrics any more; and the longest measurement. AWS's seconds.
REST_SECONDS, LONGEST_SECONDS = 360, 1800
LOOK_SECONDS = 0.2
FACTOR = 2


def main(environment: str = "dev", *seeds: str) -> int:
    """Launch, measure and delete the environment for each seed; print AWS's seconds of each phase and their means."""
    try:
        packages.ensure("wrk", "wrk (it makes the load)")
        found = [_measured(environment, seed) for seed in seeds or ("1",)]
    except Failure as failure:
        complain(str(failure))
        return 1
    for phase in found[0]:
        # All the tasks may fit the machines that were there.
        seconds = [phases[phase] for phases in found if phase in phases]
        say(f"{phase}: {statistics.mean(seconds):.0f} s in the mean, from {min(seconds):.0f} to {max(seconds):.0f}")
    return 0


def _measured(environment: str, seed: str) -> dict[str, float]:
    """Return, by phase, AWS's seconds from the step on."""
    if _running(environment) is not None:
        raise Failure(f"{environment} is up: end it with make down, then each seed gets a launch of its own")
    variables = os.environ | {delays.SEED_VARIABLE: seed}
    _run(variables, "up", environment)
    try:
        before = _look(environment)
        _wait_for_rest_and_minute(before.speed)
        began = time.time()
        with _load(str(before.url)):
            phases = _phases(environment, before, began)
    finally:
        _run(variables, "down", environment)
    say(f"seed {seed}: " + ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in phases.items()))
    return phases


def _run(variables: dict[str, str], verb: str, environment: str) -> None:
    command = [sys.executable, "-m", "spotfleet", verb, environment]
    if subprocess.run(command, env=variables, check=False).returncode:
        raise Failure(f"spotfleet {verb} {environment} failed: see above")


def _running(environment: str) -> Status | None:
    found = status.of_environment(environment)
    return found if found and found.url else None


def _look(environment: str) -> Status:
    found = _running(environment)
    if found is None:
        raise Failure(f"{environment} is not up any more: see spotfleet status {environment}")
    return found


def _wait_for_rest_and_minute(speed: float) -> None:
    """Wait until the launch is out of the metrics, and then for the beginning of one of AWS's minutes."""
    minute = 60 / speed
    rested = time.time() + REST_SECONDS / speed
    time.sleep((rested // minute + 1) * minute - time.time())


@contextmanager
def _load(url: str) -> Iterator[None]:
    """Send as many requests as are answered, for the block."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d3600s", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sending:
        try:
            yield
        finally:
            sending.terminate()


def _phases(environment: str, before: Status, began: float) -> dict[str, float]:
    """Return when each phase was first seen; raises Failure when one does not come."""
    goal = FACTOR * before.desired_tasks
    phases: dict[str, float] = {}
    while True:
        now = _look(environment)
        passed = (time.time() - began) * now.speed
        seen = {
            "more tasks wanted": now.desired_tasks > before.desired_tasks,
            "all tasks wanted": now.desired_tasks >= goal,
            "machine asked for": len(now.machines) > len(before.machines),
            "machine joined": _joined(now) > _joined(before),
            "all tasks serve": sum(task.health == "healthy" for task in now.tasks) >= goal,
        }
        for phase, reached in seen.items():
            if reached:
                phases.setdefault(phase, passed)
        if "all tasks serve" in phases:
            return phases
        if passed > LONGEST_SECONDS:
            missing = ", ".join(phase for phase in seen if phase not in phases)
            raise Failure(f"after {passed:.0f} s of AWS still missing: {missing}; see the log of the embedded AWS")
        time.sleep(LOOK_SECONDS)


def _joined(now: Status) -> int:
    return sum(machine.cpu_units is not None for machine in now.machines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
