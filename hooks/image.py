"""Names the service's image after what goes into it, so that an unchanged source builds and pushes nothing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from docker.utils.build import exclude_paths
from sceptre.exceptions import SceptreException

# Docker's name of each architecture that a fleet can have.
PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
ARGUMENTS = ("repository_uri", "build_context", "base_image", "cpu_architecture")


@dataclass(frozen=True)
class Image:
    """The service's image: where it is stored, and everything that decides what is in it."""

    repository_uri: str
    base_image: str
    platform: str
    context: Path

    @property
    def uri(self) -> str:
        """The name under which the image is pushed and run."""
        return f"{self.repository_uri}:{self.tag}"

    @property
    def tag(self) -> str:
        """A hash of the platform, the base image's name and every file of the build context.

        The base image counts by name: pin it by digest where a new base must give a new image.
        """
        digest = hashlib.sha256(f"{self.platform}\n{self.base_image}\n".encode())
        for name in context_files(self.context):
            path = self.context / name
            executable = bool(path.stat().st_mode & 0o100)
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}\0{executable}\0{content}\n".encode())
        return digest.hexdigest()[:20]


def context_files(context: Path) -> list[str]:
    """List the files that `docker build` sends to the engine: all of `context` that .dockerignore lets through."""
    if not (context / "Dockerfile").is_file():
        raise SceptreException(
            f"No Dockerfile in {context}: run sceptre from the project's folder, with the setting build_context in it."
        )
    ignore = context / ".dockerignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    paths = exclude_paths(str(context), patterns)
    return sorted(Path(path).as_posix() for path in paths if (context / path).is_file())


def image_from(argument: object, project_path: str) -> Image:
    """Read the argument that the hook and the resolver share.

    Raises SceptreException when a key is missing or unknown, or the architecture is none that a fleet can have.
    """
    if not isinstance(argument, dict) or set(argument) != set(ARGUMENTS):
        raise SceptreException(f"!docker_image and !image_uri take the keys {', '.join(ARGUMENTS)}; got {argument!r}.")
    if argument["cpu_architecture"] not in PLATFORMS:
        raise SceptreException(
            f"cpu_architecture {argument['cpu_architecture']!r} is unknown: use {' or '.join(PLATFORMS)}."
        )
    return Image(
        repository_uri=argument["repository_uri"],
        base_image=argument["base_image"],
        platform=PLATFORMS[argument["cpu_architecture"]],
        context=Path(project_path, argument["build_context"]),
    )
