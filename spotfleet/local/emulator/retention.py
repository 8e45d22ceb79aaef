"""How long the embedded AWS keeps what is over: it may run all day, and what it keeps must not grow with that.

AWS keeps metrics for up to 15 months and a stopped task for at least an hour:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from ministack.services import cloudwatch, ecs

from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record
from spotfleet.local.host import clock

# In AWS's seconds: the longest that an alarm of the templates looks back is fifteen minutes.
METRIC_SECONDS = 6 * 3600
TASK_SECONDS = 3600
# In real seconds: at high speeds a person still has the time to look, and nothing is looked through all the time.
LEAST_SECONDS = 600
LOOK_SECONDS = 60

_looked_at = 0.0


@replaces(cloudwatch, "_evict_old_metrics")
def forget_old_metrics() -> None:
    """Forget the points that are too old, now and then: MiniStack looks through all there are in every call."""
    global _looked_at  # noqa: PLW0603  # one embedded AWS a process
    now = time.time()
    if now - _looked_at < LOOK_SECONDS:
        return
    _looked_at = now
    oldest = now - max(clock.seconds(METRIC_SECONDS), LEAST_SECONDS)
    for key, points in list(cloudwatch._metrics.items()):
        cloudwatch._metrics[key] = recent(points, oldest)
        if not cloudwatch._metrics[key]:
            del cloudwatch._metrics[key]


def recent(points: Iterable[Record], oldest: float) -> list[Record]:
    """Return the points of a metric since `oldest`, in seconds since 1970."""
    return [point for point in points if point["Timestamp"] >= oldest]


@extends(ecs, "_mark_task_stopped")
def and_forget_older_ones(original: Callable[..., bool], *arguments: object, **named: object) -> bool:
    """Forget the tasks that stopped long ago whenever another one stops; return whether this one did."""
    stopped = original(*arguments, **named)
    oldest = time.time() - max(clock.seconds(TASK_SECONDS), LEAST_SECONDS)
    for arn in over(ecs._tasks.items(), oldest):
        ecs._tasks.pop(arn, None)
    return stopped


def over(tasks: Iterable[tuple[str, Record]], oldest: float) -> list[str]:
    """Return the tasks, by their ARN, that stopped before `oldest`, in seconds since 1970."""
    return [arn for arn, task in tasks if task["lastStatus"] == "STOPPED" and _stopped_at(task) < oldest]


def _stopped_at(task: Record) -> float:
    stopped = task.get("stoppedAt")
    if isinstance(stopped, str):
        return datetime.fromisoformat(stopped).timestamp()
    return float(stopped) if stopped else float("inf")
