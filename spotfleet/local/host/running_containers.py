"""Which containers run: one question to the Docker engine for everybody who asks within a moment.

A container that is not among them has ended, was removed, or is newer than the answer: whoever needs to know asks for
that one. An engine that does not answer tells nothing about its containers.

Each question has a connection of its own: an engine that ends takes no new ones, and goes on answering on old ones
while it ends its containers.
"""

import logging
import threading
import time
from collections.abc import Callable

import docker
import docker.errors
import requests
from docker import DockerClient

logger = logging.getLogger("spotfleet.engine")

# What the Docker SDK raises when an engine is away, and when it refuses something.
AWAY = (requests.RequestException, OSError)
ERRORS = (docker.errors.DockerException, *AWAY)
# Real seconds for which an answer holds.
FRESH_SECONDS = 0.25


class EngineWatch:
    """The containers that an engine runs, and whether it answers at all."""

    def __init__(self, label: str, connect: Callable[[], DockerClient] = docker.from_env) -> None:
        self._filters = {"label": label, "status": "running"}
        self._connect = connect
        self._engine: DockerClient | None = None
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._running: set[str] | None = set()
        # When it was last found away, in seconds since 1970.
        self._away_at = 0.0

    def running(self) -> set[str] | None:
        """Return the ids of the labelled containers that run, or None while the engine does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._ask()
                self._asked_at = time.monotonic()
            return self._running

    def was_away_after(self, moment: float) -> bool:
        """Return whether the engine was found away since a moment in seconds since 1970."""
        return self._away_at >= moment

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
