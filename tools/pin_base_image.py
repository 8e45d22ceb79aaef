"""Writes config/base-images.json: python -m tools.pin_base_image, or make pin-base-image.

Each base image that an environment or one of its services names is pulled, and its name pinned to the digest that the
registry has for it now. That is the digest of the index, which holds for every architecture.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sceptre.exceptions import SceptreException

from spotfleet.image import base_image, docker_command
from spotfleet.image.image import PLATFORMS
from spotfleet.local.host import paths
from spotfleet.local.host.console import say


def main() -> int:
    """Pin every base image, and return the exit code: 1 where one could not be pulled."""
    failed = False
    for name, platform in base_images().items():
        if "@" in name:
            say(f"{name} names its digest itself.")
            continue
        try:
            pin(paths.ROOT, name, platform)
        except SceptreException as error:
            say(str(error))
            failed = True
    return int(failed)


def base_images() -> dict[str, str]:
    """Return the base images of all environments and their services, each with the platform to pull it for."""
    found: dict[str, str] = {}
    for name in paths.environments():
        platform = PLATFORMS.get(str(paths.setting(name, "cpu_architecture")), PLATFORMS["x86_64"])
        services = paths.setting(name, "services")
        own = [service.get("base_image") for service in services.values()] if isinstance(services, dict) else []
        for image in [paths.setting(name, "base_image"), *own]:
            if isinstance(image, str):
                found.setdefault(image, platform)
    return found


def pin(project: Path, name: str, platform: str) -> None:
    """Pull an image and write down its digest, and from when it is. A file of pins that cannot be read is made anew.

    Raises SceptreException when there is no docker command, or it cannot pull the image.
    """
    client = next(docker_command.clients(), None)
    if client is None:
        raise SceptreException("No docker command found: install Docker, then run this again.")
    digest = docker_command.pull(client, name, platform, say)
    file = project / base_image.PINS
    pinned_before: dict[str, str] = {}
    pins: dict[str, Any] = {}
    try:
        if pinned_before := base_image.read_pins(project):
            pins = json.loads(file.read_bytes())
    except SceptreException as error:
        say(f"{error}; this does so.")
    if pinned_before.get(name) == digest:
        say(f"{name} is {digest} still.")
        return
    pins[name] = {"digest": digest, "pinned": datetime.now(UTC).date().isoformat()}
    file.write_text(json.dumps(pins, indent=2, sort_keys=True) + "\n")
    say(f"{name} is {digest} now, instead of {pinned_before.get(name, 'any that has the name')}.")


if __name__ == "__main__":
    sys.exit(main())
