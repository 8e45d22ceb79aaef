"""Which containers run: one question to the Docker engine for everybody who asks within a moment.

A container that is not among them has ended, was removed, or is newer than the answer: whoever needs to know asks for
that one. An engine that does not answer tells nothing about its containers.

Each question has a connection of its own: an engine that ends takes no new ones, and goes on answering on old ones
while it ends its containers. It is asked again when it has told of an event, and while it tells of none because nobody
could listen, many times a second: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemEvents
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import docker
import docker.errors
import requests
from docker import DockerClient

logger = logging.getLogger("spotfleet.engine")

# What the Docker SDK raises when an engine is away, and when it refuses something.
AWAY = (requests.RequestException, OSError)
ERRORS = (docker.errors.DockerException, *AWAY)
# Real seconds for which an answer holds when there may be news, and the longest without any.
FRESH_SECONDS = 0.25
LONGEST_SECONDS = 10.0
# For so long after an event its engine may still list what was before it.
SETTLING_SECONDS = 2.0
# After which a container runs that did not, or the other way round. What health checks do is none of it.
EVENTS = ["start", "die", "destroy", "pause", "unpause"]


class EngineWatch:
    """The containers that an engine runs, and whether it answers at all."""

    def __init__(self, label: str, connect: Callable[[], DockerClient] = docker.from_env) -> None:
        self._label = label
        self._filters = {"label": label, "status": "running"}
        self._connect = connect
        self._listener: threading.Thread | None = None
        self._listening = False
        self._news_at = -math.inf
        self._engine: DockerClient | None = None
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._running: set[str] | None = set()
        # When it was last found away, in seconds since 1970.
        self._away_at = 0.0

    def running(self) -> set[str] | None:
        """Return the ids of the labelled containers that run, or None while the engine does not answer."""
        with self._lock:
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="engine-events", daemon=True)
                self._listener.start()
            if time.monotonic() - self._asked_at > self._holds():
                self._ask()
                self._asked_at = time.monotonic()
            return self._running

    def was_away_after(self, moment: float) -> bool:
        """Return whether the engine was found away since a moment in seconds since 1970."""
        return self._away_at >= moment

    def _holds(self) -> float:
        """Return for how many seconds an answer holds."""
        settled = time.monotonic() - self._news_at > SETTLING_SECONDS
        quiet = self._listening and self._running is not None and settled
        return LONGEST_SECONDS if quiet else FRESH_SECONDS

    def _listen(self) -> None:
        """Listen to the engine's events for ever."""
        while True:
            # Whatever the end of an engine makes the SDK raise amid an answer.
            with suppress(Exception):
                self._listen_once()
            time.sleep(max(FRESH_SECONDS, 0.01))

    def _listen_once(self) -> None:
        engine = self._connect()
        try:
            filters = {"type": "container", "label": self._label, "event": EVENTS}
            # From a moment ago on: the engine answers before it listens itself.
            events = engine.api.events(since=int(time.time()) - 1, filters=filters)
            self._news_at = time.monotonic()
            self._listening = True
            for _event in events:
                self._news_at = time.monotonic()
        finally:
            self._listening = False
            engine.close()

    def _ask(self) -> None:
        answered = self._running is not None
        try:
            self._engine = self._engine or self._connect()
            self._engine.api.headers["Connection"] = "close"
            self._running = {item["Id"] for item in self._engine.api.containers(filters=self._filters)}
        except ERRORS as error:
            self._running = None
            self._away_at = time.time()
            if answered:
                logger.warning("The Docker engine does not answer: no task starts or ends until it does (%s).", error)
            return
        if not answered:
            logger.warning("The Docker engine answers again.")


def is_gone(engine: DockerClient, container: str) -> bool:
    """Return whether an engine says that it has no such container."""
    try:
        engine.api.inspect_container(container)
    except docker.errors.NotFound:
        return True
    except ERRORS:
        return False
    return False
