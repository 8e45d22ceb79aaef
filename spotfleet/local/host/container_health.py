"""The health of containers as the Docker engine tells it: by its events, so that nobody has to ask again and again.

Docker runs the health checks. A container that has none tells nothing, and costs nothing here.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing

import docker
from docker import DockerClient

from spotfleet.local.host.running_containers import ERRORS

logger = logging.getLogger("spotfleet.engine")

# Real seconds until an engine that is away is asked again.
AWAY_SECONDS = 1.0
# What Docker says of a container that passes, and that fails its checks; one that is new is neither.
TOLD = ("healthy", "unhealthy")
EVENT = "health_status"

# Gets the labels of a container, and one of TOLD.
Hear = Callable[[Mapping[str, str], str], None]


def follow_for_ever(label: str, hear: Hear, connect: Callable[[], DockerClient] = docker.from_env) -> None:
    """Tell of the labelled containers whenever the health of one changes, and of all after the engine was away."""
    while True:
        try:
            with closing(connect()) as engine:
                follow(label, hear, engine)
        except ERRORS as error:
            logger.debug("The health of containers is not told: %s", error)
        except Exception:
            # Of one event's trouble may it not follow that no health is told any more.
            logger.warning("The health of containers could not be told, and is asked for again.", exc_info=True)
        time.sleep(AWAY_SECONDS)


def follow(label: str, hear: Hear, engine: DockerClient) -> None:
    """Do so until the engine ends. Raises one of ERRORS when it is away."""
    events = engine.api.events(decode=True, filters={"type": "container", "event": EVENT, "label": label})
    for health in TOLD:
        for item in engine.api.containers(filters={"label": label, "status": "running", "health": health}):
            hear(item["Labels"], health)
    for event in events:
        health = event["Action"].rpartition(": ")[2]
        if health in TOLD:
            hear(event["Actor"]["Attributes"], health)
