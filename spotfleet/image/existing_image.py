"""An image that exists already: which one its name means, by a digest that stays the same on every machine.

A tag is moved by whoever owns it. ECS asks for what a task definition names each time that it starts a task, so a tag
would let tasks of one service run different programs, and a launch without a change would not bring a newer one.
"""

import json
from typing import Any

from sceptre.exceptions import SceptreException

from spotfleet.image import docker_command
from spotfleet.image.base_image import digest_of, repository_of
from spotfleet.image.registries import registry_answers, registry_of


def resolve(name: str, platform: str, embedded: bool) -> tuple[str, str]:
    """Return what an image's name means now, as `<repository>@<digest>`, and a remark for the user or ''.

    On the embedded AWS (`embedded`), where the registry cannot be reached, it is what Docker here has under the name,
    by its id if it is from no registry. Raises SceptreException, in one sentence, where the image cannot be pulled,
    is of another architecture, or has no digest.
    """
    clients = list(docker_command.clients())
    if not clients:
        raise SceptreException(docker_command.NOT_FOUND)
    registry = registry_of(name)
    if registry_answers(registry):
        return _of_registry(clients, name, platform), ""
    if embedded:
        return _of_engine(clients[0], name, platform)
    if "@" in name:
        return _by_digest(name), f"{registry} cannot be reached: whether it has {name} for {platform} is not known"
    raise SceptreException(
        f"image {name}: {registry} cannot be reached, so what the tag means is not known: launch where it can be, or "
        "write the digest behind the name, as in name@sha256:…"
    )


def _of_registry(clients: list[str], name: str, platform: str) -> str:
    manifests = _manifests(clients, name)
    digests = {_platform(one["Descriptor"]): str(one["Descriptor"]["digest"]) for one in manifests}
    if platform not in digests:
        raise _of_other_architecture(name, ", ".join(sorted(digests)), platform)
    return _by_digest(name) if "@" in name else f"{repository_of(name)}@{digests[platform]}"


def _manifests(clients: list[str], name: str) -> list[dict[str, Any]]:
    """Ask the registry, with the user's own login, for what there is under a name: one entry for each platform.

    https://docs.docker.com/reference/cli/docker/manifest/inspect/
    """
    words = ""
    for client in clients:
        answer = docker_command.output(client, "manifest", "inspect", "--verbose", name)
        if answer.returncode == 0:
            found = json.loads(answer.stdout)
            return found if isinstance(found, list) else [found]
        words = words or docker_command.last_line(answer.stderr)
    raise SceptreException(
        f"image {name} cannot be pulled ({words}): correct its name or tag, or log in with `docker login "
        f"{registry_of(name)}`"
    )


def _of_engine(client: str, name: str, platform: str) -> tuple[str, str]:
    found = docker_command.engine_image(client, name)
    if found is None:
        docker_command.require_engine(client)
        raise SceptreException(
            f"image {name} cannot be pulled: {registry_of(name)} cannot be reached, and Docker here has none of that "
            "name"
        )
    if found.platform != platform:
        raise _of_other_architecture(name, found.platform, platform)
    remark = f"{registry_of(name)} cannot be reached: running the {name} that Docker has"
    digest = digest_of(found, name)
    if digest is None:
        return found.id, f"{remark}, which is from no registry and has no digest: on AWS a launch would refuse it"
    return f"{repository_of(name)}@{digest}", f"{remark}, {digest}"


def _by_digest(name: str) -> str:
    """Return a name that has a digest without its tag, which Docker would not look at."""
    return f"{repository_of(name)}@{name.partition('@')[2]}"


def _platform(descriptor: dict[str, Any]) -> str:
    platform = descriptor.get("platform") or {}
    return f"{platform.get('os')}/{platform.get('architecture')}"


def _of_other_architecture(name: str, found: str, wanted: str) -> SceptreException:
    return SceptreException(
        f"image {name} is for {found}, and the machines need {wanted}: take another tag, or set cpu_architecture and "
        "instance_types"
    )
