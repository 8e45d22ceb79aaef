"""What all three formats say of images: how they are built, for which processors, and what they may write."""

from pathlib import Path

from spotfleet.convert import words
from spotfleet.convert.part import ConversionError, Part
from spotfleet.convert.service import Service

ARCHITECTURES = {
    "linux/amd64": "x86_64",
    "linux/x86_64": "x86_64",
    "amd64": "x86_64",
    "x86_64": "x86_64",
    "linux/arm64": "arm64",
    "linux/arm64/v8": "arm64",
    "arm64": "arm64",
}


def take_build(service: Service, build: object, place: str, root: Path) -> None:
    """Take over how an image is built: text names a Dockerfile whose folder is the context, or a mapping says more."""
    if not build:
        return
    told = Part({"dockerfile": build} if isinstance(build, str) else build, place)
    dockerfile = Path(str(told.take("dockerfile", "Dockerfile")))
    context = Path(str(told.take("context", dockerfile.parent)))
    name = dockerfile.relative_to(context) if dockerfile.is_relative_to(context) else dockerfile
    service.set("build_context", context.as_posix(), f"{place}.context")
    if not (root / context).is_dir():
        service.change(f"{place}.context", f"copy the folder {context} to the same place in this project")
    if name != Path("Dockerfile"):
        service.set("dockerfile", name.as_posix(), f"{place}.dockerfile")
    if target := told.take("target"):
        service.set("build_target", str(target), f"{place}.target")
    take_arguments(service, told.take("args"), f"{place}.args")
    told.forget("cache_from")
    for left in told.left():
        service.drop(left, "has no counterpart here")


def take_arguments(service: Service, arguments: object, place: str) -> None:
    """Take build arguments over: a mapping, or a list of NAME=value."""
    if not arguments:
        return
    if isinstance(arguments, list):
        arguments = dict(str(one).partition("=")[::2] for one in arguments)
    if not isinstance(arguments, dict):
        raise ConversionError(f"{place} must be a mapping or a list of NAME=value.")
    told = {str(key): str(value) for key, value in arguments.items()}
    secret = [name for name, value in told.items() if words.is_secret(name, value)]
    for name in secret:
        service.drop(f"{place}.{name}", "looks secret, and an image's history shows its arguments: use a build secret")
    if kept := {name: value for name, value in told.items() if name not in secret}:
        service.set("build_arguments", kept, place)


def take_platform(service: Service, platform: object, place: str) -> None:
    """Take over for which processors an image is."""
    if platform is None:
        return
    told = platform
    if isinstance(told, dict):
        told = f"{told.get('osfamily', 'linux')}/{told.get('architecture', 'x86_64')}"
    architecture = ARCHITECTURES.get(str(told).lower())
    if architecture is None:
        service.drop(place, f"{told} is neither linux/amd64 nor linux/arm64")
    else:
        service.set_of_environment("cpu_architecture", architecture, place)


def take_root(service: Service, read_only: bool, place: str) -> None:
    """Let an image write and be who it was made for, as elsewhere; this project's own defaults are stricter."""
    if "read_only" not in service.settings:
        service.set("read_only", read_only, place)
    if "user" not in service.settings:
        service.set("user", "", place)
        service.change(
            place, "runs as the image's own user and may write, as before; user and read_only are worth trying"
        )
