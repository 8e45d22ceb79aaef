"""AWS's waiting times, in real time or all of them divided by one factor, LOCAL_SPEED.

Rules for everything in local/:
- A time that AWS makes one wait (boot, evaluation period, cooldown, notice, stop timeout, health check interval) is
  written in AWS's seconds and goes through `seconds()` where a program waits, or compares with a clock, for it.
- Points in time (metrics, activities, events) carry the wall clock's time, because MiniStack's own do. A period of one
  AWS minute is therefore `seconds(60)` of them: at LOCAL_SPEED=10 data points come every 6 seconds.
- A time in which a container has to start and answer goes through `seconds_with_start()`: no factor hastens that work.
- A rate or a latency is measured in real seconds and stays as it is: the requests are real. What is counted in a minute
  of AWS's is therefore multiplied by the factor, so that a rate looks there as it would on AWS.
- Whoever shows a figure also shows a rehearsal's `label`, which has ours in it.
"""

import os

from spotfleet.local.host.console import Failure

VARIABLE = "LOCAL_SPEED"
# Fast enough to see a fleet scale while one looks on, slow enough for containers to start within AWS's times.
DEFAULT = 10.0
HIGHEST = 60.0
# Real seconds that a container may take here until it answers. Chosen, not derived: with it no healthy task was
# replaced in a launch and an update at speeds 10 and 60, beside four busy processes on two cores.
START_SECONDS = 15.0


def speed() -> float:
    """Return how many of AWS's seconds pass in one real second: LOCAL_SPEED, from 1 to 60, by default 10.

    Raises Failure when LOCAL_SPEED is something else.
    """
    value = os.environ.get(VARIABLE) or str(DEFAULT)
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 1 <= number <= HIGHEST:
        raise Failure(f"{VARIABLE} is {value!r}: give a number from 1 (AWS's own times) to {HIGHEST:g}.")
    return number


def seconds(aws_seconds: float) -> float:
    """Return how many real seconds a waiting time of AWS takes here."""
    return aws_seconds / speed()


def seconds_with_start(aws_seconds: float) -> float:
    """Return how many real seconds a waiting time of AWS takes here in which a container starts, which is real work."""
    return max(seconds(aws_seconds), min(aws_seconds, START_SECONDS))


def aws_seconds(real_seconds: float) -> float:
    """Return how many of AWS's seconds pass in so many real ones: the reverse of `seconds`."""
    return real_seconds * speed()


def label(factor: float | None = None) -> str:
    """Return what to show beside figures; `factor` is another process's speed, by default this one's."""
    factor = speed() if factor is None else factor
    if factor == 1:
        return "AWS's times, real"
    return f"AWS's times, {factor:g} times faster ({VARIABLE}={factor:g}; real with {VARIABLE}=1)"
