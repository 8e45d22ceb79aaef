"""Names the service's image after what goes into it, so that an unchanged source builds and pushes nothing."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from spotfleet.image import base_image, build_context
from spotfleet.image.base_image import BaseImage
from spotfleet.image.build_context import Fingerprint
from spotfleet.image.docker_command import Report

# Docker's name of each architecture that a fleet can have.
PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
ARGUMENTS = ("repository_uri", "build_context", "base_image", "cpu_architecture")
# Those with a default, for a wiring of one's own.
FURTHER_ARGUMENTS = ("image", "dockerfile", "build_target", "build_arguments")
# A Dockerfile that does not name it builds on something else; then the setting base_image means nothing.
BASE_IMAGE_ARGUMENT = b"BASE_IMAGE"


@dataclass(frozen=True)
class Image:
    """The service's image: where it is stored, and everything that decides what is in it, as it was looked at."""

    repository_uri: str
    base: BaseImage
    platform: str
    context: Path
    contents: Fingerprint
    # Begins the tag, so that the repository counts each service's images for themselves.
    service: str = ""
    dockerfile: str = build_context.DOCKERFILE
    # The stage to build, and the values of the Dockerfile's arguments.
    target: str = ""
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def uri(self) -> str:
        """The name under which the image is built and pushed."""
        return f"{self.repository_uri}:{self.tag}"

    @property
    def tag(self) -> str:
        """The service, and a hash of the platform, of what the base image is, and of all that the build is sent."""
        parts = f"{self.platform}\n{self.base.identity}\n{self.contents.content}\n"
        if self.target or self.arguments:
            parts += json.dumps([self.target, self.arguments])
        return tag_prefix(self.service) + hashlib.sha256(parts.encode()).hexdigest()[:20]

    def with_digest(self, digest: str) -> str:
        """Return the name by which no other image can be meant."""
        return f"{self.repository_uri}@{digest}"


def tag_prefix(service: str) -> str:
    """Return what the tags of a service's images begin with, and no other's: no name has the character at its end."""
    return f"{service}_" if service else ""


def look_at(
    repository_uri: str,
    base: str,
    platform: str,
    context: Path,
    project: Path,
    pull: Report | None = None,
    service: str = "",
    dockerfile: str = build_context.DOCKERFILE,
) -> Image:
    """Look at the build context and the base image as they are now.

    `pull` is for the base image, see base_image.resolve. Raises SceptreException as that does, and where the
    build context cannot be read.
    """
    contents = build_context.fingerprint(context, dockerfile)
    if BASE_IMAGE_ARGUMENT in build_context.dockerfile(context, dockerfile):
        resolved = base_image.resolve(base, platform, project, pull)
    else:
        resolved = BaseImage(base, identity="")
    return Image(repository_uri, resolved, platform, context, contents, service, dockerfile)


def image_of(stack: Stack, argument: object, pull: Report | None = None) -> Image:
    """Look at the image that the argument means for a stack; see `image_from`."""
    service = stack.name.rpartition("/")[2]
    return image_from(argument, stack.stack_group_config["project_path"], pull, service)


def image_from(
    argument: Any,  # noqa: ANN401  # whatever a stack's file says
    project_path: str,
    pull: Report | None = None,
    service: str = "",
) -> Image:
    """Look at the image that the argument means, which the hook and the resolver share.

    Raises SceptreException when a key is missing or unknown, the architecture is none that a fleet can have, or as
    `look_at` does.
    """
    platform, keys = platform_of(argument), dict(argument)
    project = Path(project_path)
    image = look_at(
        keys["repository_uri"],
        keys["base_image"],
        platform,
        project / keys["build_context"],
        project,
        pull,
        service,
        keys.get("dockerfile") or build_context.DOCKERFILE,
    )
    arguments = tuple(sorted((keys.get("build_arguments") or {}).items()))
    return replace(image, target=keys.get("build_target") or "", arguments=arguments)


def existing(argument: object) -> str:
    """Return the name of the image that exists already, or '' where one is built."""
    return str(argument.get("image") or "") if isinstance(argument, dict) else ""


def platform_of(argument: object) -> str:
    """Return Docker's name of the architecture that the argument asks for.

    Raises SceptreException when a key is missing or unknown, or the architecture is none that a fleet can have.
    """
    keys = set(argument) if isinstance(argument, dict) else set()
    if not isinstance(argument, dict) or not set(ARGUMENTS) <= keys <= {*ARGUMENTS, *FURTHER_ARGUMENTS}:
        raise SceptreException(
            f"!docker_image and !image_uri take the keys {', '.join(ARGUMENTS)}, and may have "
            f"{', '.join(FURTHER_ARGUMENTS)}; got {argument!r}."
        )
    if argument["cpu_architecture"] not in PLATFORMS:
        raise SceptreException(
            f"cpu_architecture {argument['cpu_architecture']!r} is unknown: use {' or '.join(PLATFORMS)}."
        )
    return PLATFORMS[argument["cpu_architecture"]]


def pushed_digest(stack: Stack, image: Image) -> str | None:
    """Return the digest of the image that the repository has under the tag, or None where it has none.

    See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    repository = image.repository_uri.partition("/")[2]
    try:
        answer = stack.connection_manager.call(
            service="ecr",
            command="describe_images",
            kwargs={"repositoryName": repository, "imageIds": [{"imageTag": image.tag}]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return None
        raise
    digest: str = answer["imageDetails"][0]["imageDigest"]
    return digest
