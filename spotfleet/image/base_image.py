"""Decides which base image a build gets, and what of it counts in the name of the image that is built on it.

A name such as python:3.13 means another image every few weeks. config/base-images.json pins names to digests, those of
the index, so that they hold for every architecture; `make pin-base-image` writes it. A new digest there is a new image,
and so the fixes of the base arrive.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sceptre.exceptions import SceptreException

from spotfleet.image import docker_command, docker_config
from spotfleet.image.docker_command import EngineImage, Report
from spotfleet.image.registries import DOCKER_HUB, DOCKER_HUB_NAMES, registry_answers, registry_of

PINS = Path("config/base-images.json")
PIN_COMMAND = "make pin-base-image"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class BaseImage:
    """A base image: the name that the build is given, and the digest or id that says what is in it.

    `engine_id` is set where the build uses what the engine has under that name. `remark` is a sentence for the user
    where the image is not the pinned one.
    """

    reference: str
    identity: str
    engine_id: str | None = None
    remark: str = ""

    def is_unchanged(self, client: str) -> bool:
        """Return whether the engine has no other image under the name meanwhile."""
        if self.engine_id is None:
            return True
        found = docker_command.engine_image(client, self.reference)
        return found is not None and found.id == self.engine_id


def resolve(name: str, platform: str, project: Path, pull: Report | None = None) -> BaseImage:
    """Return what to build on for a configured name.

    A name with a digest is taken as it is, and a pinned one by its pin; where the registry cannot be reached, and the
    engine has another image under the name, by that. A name without a pin is what the engine has under it; where that
    has none, it is pulled if there is a `pull`, which hears of it. A launch without a change waits for no registry.
    Raises SceptreException where the image is nowhere, no Docker is there to have it, or the file of the pins is
    malformed.
    """
    if "@" in name:
        return BaseImage(name, name.partition("@")[2])
    pin = read_pins(project).get(name)
    client = next(docker_command.clients(), None)
    copy = _copy(client, name, platform) if client else None
    if pin:
        return _pinned(name, pin, copy)
    if client is None:
        raise SceptreException(docker_command.NOT_FOUND)
    if copy is None:
        docker_command.require_engine(client)
    if copy is None and pull:
        pull(f"Pulling {name}, which is not pinned")
        docker_command.pull(client, name, platform, pull)
        copy = _copy(client, name, platform)
    if copy is None:
        raise SceptreException(
            f"Base image {name} is not pinned, and Docker here has none of that name for {platform}: {PIN_COMMAND}"
        )
    digest = digest_of(copy, name)
    if digest is None:
        return BaseImage(name, copy.id, copy.id, f"Base image {name} is from no registry: its id {copy.id} counts")
    remark = f"Base image {name} is not pinned: it is {digest}, as Docker has it. To pin it: {PIN_COMMAND}"
    return _in_engine(name, digest, copy, remark)


def _pinned(name: str, pin: str, copy: EngineImage | None) -> BaseImage:
    if copy and pin in [reference.partition("@")[2] for reference in copy.repository_digests]:
        return _in_engine(name, pin, copy)
    if copy is None or registry_answers(registry_of(name)):
        return BaseImage(f"{repository_of(name)}@{pin}", pin)
    identity = digest_of(copy, name) or copy.id
    remark = (
        f"{registry_of(name)} cannot be reached: building on the {name} that Docker has, {identity}, not on the pin"
    )
    return BaseImage(name, identity, copy.id, remark)


def _in_engine(name: str, digest: str, copy: EngineImage, remark: str = "") -> BaseImage:
    """Return the engine's copy; a builder of its own, which the user may have chosen, needs the digest instead."""
    if os.environ.get("BUILDX_BUILDER") or docker_config.build_is_buildx():
        return BaseImage(f"{repository_of(name)}@{digest}", digest, remark=remark)
    return BaseImage(name, digest, copy.id, remark)


def _copy(client: str, name: str, platform: str) -> EngineImage | None:
    found = docker_command.engine_image(client, name)
    return found if found and found.platform == platform else None


def read_pins(project: Path) -> dict[str, str]:
    """Return the digest of each pinned name; none where the project has no such file.

    Raises SceptreException when the file is not as `make pin-base-image` writes it.
    """
    file = project / PINS
    try:
        pins = {name: entry["digest"] for name, entry in json.loads(file.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise SceptreException(f"{file} cannot be read ({error}): write it anew with {PIN_COMMAND}") from error
    for name, digest in pins.items():
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise SceptreException(f"{file}: {digest!r} of {name} is no digest: write it anew with {PIN_COMMAND}")
    return pins


def named_without_digest(dockerfile: bytes) -> list[str]:
    """Return the images that a Dockerfile builds on by a name of its own: whatever that means at the time."""
    stages: set[str] = {"scratch"}
    found = []
    for line in dockerfile.decode(errors="replace").splitlines():
        words = [word for word in line.split() if not word.startswith("--")]
        if len(words) > 1 and words[0].upper() == "FROM":
            if words[1].lower() not in stages and not set(words[1]) & set("$@"):
                found.append(words[1])
            if [word.upper() for word in words[2:3]] == ["AS"]:
                stages.add(words[-1].lower())
    return list(dict.fromkeys(found))


def repository_of(name: str) -> str:
    """Return an image's name without its tag and digest."""
    folder, slash, last = name.partition("@")[0].rpartition("/")
    return folder + slash + last.partition(":")[0]


def _full(repository: str) -> str:
    """Return a repository's name with what may be left out of those of Docker Hub."""
    if registry_of(repository) != DOCKER_HUB:
        return repository
    for host in DOCKER_HUB_NAMES:
        repository = repository.removeprefix(f"{host}/")
    return f"{DOCKER_HUB}/{'' if '/' in repository else 'library/'}{repository}"


def digest_of(copy: EngineImage, name: str) -> str | None:
    """Return the digest that the registry of `name` has given for the engine's copy, if it is from there."""
    wanted = _full(repository_of(name))
    found = [reference.partition("@") for reference in copy.repository_digests]
    return max((digest for repository, _, digest in found if _full(repository) == wanted), default=None)
