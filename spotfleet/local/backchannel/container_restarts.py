"""When a task's container was last started again in its place, from the emulator to the controller of task health.

AWS has no call for it: its agent tells nobody of such a restart.
"""

import threading
import time

_restarts: dict[str, float] = {}
_recording = threading.Lock()


def record(task_arn: str) -> None:
    """Keep that a container of a task has just been started again."""
    with _recording:
        _restarts[task_arn] = time.monotonic()


def seconds_since(task_arn: str) -> float | None:
    """Return the real seconds since a container of a task was started again, or None where none was."""
    with _recording:
        moment = _restarts.get(task_arn)
    return None if moment is None else time.monotonic() - moment
