"""Sees which containers of running tasks have ended, in one loop for all of them.

MiniStack has a thread for each task, which looks ten times a second: fifty idle tasks would keep a computer awake.
"""

import logging
import time
from dataclasses import dataclass

from docker import DockerClient
from ministack.core.concurrency import spawn_background
from ministack.core.responses import request_scope
from ministack.services import ecs

from spotfleet.local.emulator.engine import engine_watch
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, awaited_containers

logger = logging.getLogger("spotfleet.ecs")

# Real seconds between two looks, as many as MiniStack waits.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Watched:
    """A task whose containers have been started, the engine that runs them, and where the task is."""

    task: Record
    engine: DockerClient
    account: str
    region: str


_watched: dict[str, Watched] = {}
# Those that are looked at now, which can take as long as it takes to stop a container.
_looked_at: set[str] = set()


def start() -> None:
    """Watch all tasks until the process ends."""
    spawn_background(_watch_for_ever, thread_name="ecs-watch")


@replaces(ecs, "_watch_task_lifecycle")
def watch(task: Record, engine: DockerClient, account: str, region: str) -> None:
    """Watch a task until it has ended."""
    _watched[task["taskArn"]] = Watched(task, engine, account, region)


def _watch_for_ever() -> None:
    while True:
        try:
            look()
        except Exception:
            # Of no task's trouble may it follow that none is watched any more.
            logger.exception("The tasks could not be looked after, and are tried again.")
        time.sleep(LOOK_SECONDS)


def look() -> None:
    """Look after the tasks of which a container does not run that was not known to have ended."""
    if not _watched:
        return
    running = engine_watch().running()
    for arn, watched in list(_watched.items()):
        with request_scope(watched.account, watched.region):
            if not ecs._task_is_active(arn, watched.task):
                _watched.pop(arn, None)
            elif running is not None and not running.issuperset(awaited_containers(watched.task)):
                _look_at(arn, watched)


def _look_at(arn: str, watched: Watched) -> None:
    """Let a task end whose containers have, in a thread of its own: other tasks must not wait for that."""
    if arn in _looked_at:
        return
    _looked_at.add(arn)

    def end() -> None:
        try:
            ecs._maybe_mark_stopped(watched.task, watched.engine)
        finally:
            _looked_at.discard(arn)

    # With the account and region of now.
    try:
        spawn_background(end, thread_name=f"ecs-watch-{arn[-8:]}")
    except RuntimeError:
        # There are too many threads just now.
        _looked_at.discard(arn)
        raise
