"""A task waits for its image: what AWS's machines fetch from a registry is here already (rule E10).

The time follows from the layers that the task's machine has not fetched before. Their sizes are those that were pushed
to the registry that is here; of images from elsewhere they are estimated from those that Docker knows, unpacked. An
image that this computer does not have is fetched for real, in its own time.
"""

import json
import threading
import time
from collections.abc import Callable

import docker.errors
import requests
from docker import DockerClient
from docker.models.containers import Container
from ministack.services import ecs

from spotfleet.behaviour import container_start, image_pull
from spotfleet.behaviour.container_start import Step
from spotfleet.behaviour.delays import IMAGE_PULL_MEBIBYTE, IMAGE_PULL_START
from spotfleet.behaviour.delays import image_pull as seconds_to_pull
from spotfleet.local.emulator import ecr, ecs_order
from spotfleet.local.emulator.ecs_tasks import TASK_LABEL
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, machine_of
from spotfleet.local.host import clock, delays, running_containers

# In real seconds: how soon a waiting task sees that it is stopped.
POLL_SECONDS = 0.1

# Of AWS's seconds, at most: the registry says that all is there.
ASKING_SECONDS = 1.0

# By machine, when each layer is there, in the clock of time.time().
_layers: dict[str, dict[str, float]] = {}
_fetching = threading.Lock()


@extends(ecs, "_run_docker_container")
def after_its_image(
    original: Callable[..., Container], engine: DockerClient, container: Record, settings: Record, **more: object
) -> Container:
    """Run a container when those are there that it waits for, and its machine has its image."""
    task = ecs._tasks.get(settings["labels"][TASK_LABEL], {})
    if task:
        ecs_order.wait_for_others(task, container, engine)
    there = _there_at(machine_of(task), container["image"], _layers_of(engine, container["image"]), time.time())
    while time.time() < there and ecs._task_is_active(task.get("taskArn"), task):
        time.sleep(POLL_SECONDS)
    engine.api.timeout = container_start.LONGEST[Step.START]
    try:
        return original(engine, container, settings, **more)
    except docker.errors.ImageNotFound:
        raise
    except docker.errors.APIError as error:
        raise NotStartedError(
            container_start.failure(_step(error.response), error.explanation or str(error))
        ) from error
    except requests.Timeout as error:
        raise NotStartedError(container_start.failure(_step(error.request), None)) from error


class NotStartedError(Exception):
    """Docker has not made or started a container; the text says so in the agent's words."""


def _step(asked: requests.Request | requests.PreparedRequest | requests.Response | None) -> Step:
    """Return what Docker was asked when it refused or did not answer."""
    return Step.START if asked is not None and str(asked.url).endswith("/start") else Step.CREATE


@extends(ecs, "_fail_task_start")
def in_the_words_of_the_agent(
    original: Callable[..., None], task: Record, engine: DockerClient | None, reason: str
) -> None:
    """Leave out what MiniStack says before each of them."""
    for beginning in (*container_start.REFUSED.values(), "DockerTimeoutError", "Essential container in task exited"):
        if f": {beginning}" in reason:
            reason = reason[reason.index(beginning) :]
    original(task, engine, reason)


def _layers_of(engine: DockerClient, name: str) -> dict[str, float]:
    """Return the MiB of an image's layers; none of an image that is neither in the registry nor here."""
    if (pushed := ecr.manifest_and_configuration(name)) and (
        found := image_pull.pushed_layers(*map(json.loads, pushed))
    ):
        return found
    try:
        image = engine.images.get(name)
        return image_pull.layers(image.attrs["RootFS"]["Layers"], [step["Size"] for step in image.history()])
    except running_containers.ERRORS:
        return {}


def _there_at(machine: str, image: str, layers: dict[str, float], now: float) -> float:
    """Return when a machine has an image that is asked for now; who asks while it comes waits for the same."""
    with _fetching:
        present = _layers.setdefault(machine, {})
        start = delays.of(IMAGE_PULL_START, f"{machine} {image}")
        if mebibytes := image_pull.missing(layers, present):
            each = delays.of(IMAGE_PULL_MEBIBYTE, f"{machine} {image}")
            there = now + clock.seconds(seconds_to_pull(start, each, mebibytes))
            present.update({digest: there for digest in layers if digest not in present})
        asked = now + clock.seconds(min(start, ASKING_SECONDS))
        return max([asked, *[present[digest] for digest in layers]])
