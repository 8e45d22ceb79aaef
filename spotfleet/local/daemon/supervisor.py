"""Runs the controllers, each in a thread of its own, and starts again what dies."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spotfleet.local.controller import Controller

logger = logging.getLogger("spotfleet.controllers")

# Real seconds before a controller that died starts again: first, and at most after dying again and again.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
# Steps without a failure after which a controller counts as well again.
WELL_AFTER = 10
STOP_SECONDS = 20
# A step that takes longer than this is shown as stuck.
STUCK_SECONDS = 60


@dataclass
class Report:
    """How a controller does. `state` is starting, running, restarting or stopped; times are in seconds."""

    name: str
    state: str = "starting"
    steps: int = 0
    restarts: int = 0
    last_error: str = ""
    last_step_seconds: float = 0.0


class Supervisor:
    """Runs each controller in a thread of its own and starts one that dies again."""

    def __init__(self, makers: Sequence[Callable[[], Controller]]) -> None:
        self._runners = [_Runner(maker) for maker in makers]

    def start(self) -> None:
        """Start all controllers."""
        for runner in self._runners:
            runner.thread.start()

    def stop(self) -> None:
        """End all controllers, and what they started, at once."""
        for runner in self._runners:
            runner.ending.set()
        deadline = time.monotonic() + STOP_SECONDS
        for runner in self._runners:
            runner.thread.join(max(0.0, deadline - time.monotonic()))
            if runner.thread.is_alive():
                logger.warning("The controller %s did not end within %s s.", runner.report.name, STOP_SECONDS)

    def report(self) -> list[dict[str, Any]]:
        """Return how each controller does, for a program."""
        return [asdict(runner.current()) for runner in self._runners]


class _Runner:
    """One controller's thread."""

    def __init__(self, make: Callable[[], Controller]) -> None:
        self._make = make
        self._step_started: float | None = None
        self.report = Report(str(getattr(make, "name", "controller")))
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name=self.report.name, daemon=True)

    def current(self) -> Report:
        started = self._step_started
        if started is not None and time.monotonic() - started > STUCK_SECONDS:
            return Report(**{**asdict(self.report), "state": "stuck"})
        return self.report

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            steps_before = self.report.steps
            try:
                self._live()
                break
            except Exception as error:
                self.report.state = "restarting"
                self.report.restarts += 1
                self.report.last_error = f"{type(error).__name__}: {error}"
                # The first of a row with its traceback, the rest in a line.
                first = pause == FIRST_PAUSE
                logger.warning(
                    "The controller %s died and starts again: %s",
                    self.report.name,
                    self.report.last_error,
                    exc_info=error if first else None,
                )
            if self.report.steps - steps_before >= WELL_AFTER:
                pause = FIRST_PAUSE
            if self.ending.wait(pause):
                self._close()
                break
            pause = min(pause * 2, LONGEST_PAUSE)
        self.report.state = "stopped"

    def _close(self) -> None:
        """End what a controller that died has left running."""
        try:
            self._make().close()
        except Exception:
            logger.exception("The controller %s could not end what it started.", self.report.name)

    def _live(self) -> None:
        """Run a new object of the controller until the end, or until it raises."""
        self._step_started = None
        controller = self._make()
        while not self.ending.is_set():
            self._step(controller)
            self.ending.wait(controller.interval)
        controller.close()

    def _step(self, controller: Controller) -> None:
        self._step_started = time.monotonic()
        controller.step()
        self.report.last_step_seconds = round(time.monotonic() - self._step_started, 3)
        self._step_started = None
        self.report.steps += 1
        self.report.state = "running"
