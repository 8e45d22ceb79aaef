"""The image that the service is built on: the configured one, or one from Debian's packages where no registry is."""

import os
import platform
import re
from pathlib import Path

from spotfleet.image.registries import registry_answers, registry_of
from spotfleet.local.host import console, packages, paths
from spotfleet.local.host.console import Failure, output, say

VARIABLE = "BASE_IMAGE"
PACKAGES = "python3,python3-venv,ca-certificates"
SOURCES_FOLDER = Path("/etc/apt")
# Debian's name of each architecture that a fleet can have, and that of Python's platform module.
ARCHITECTURES = {"x86_64": ("amd64", "x86_64"), "arm64": ("arm64", "aarch64")}


def choose(name: str) -> str | None:
    """Return the base image to use for an environment instead of the configured one, or None to use that.

    Raises Failure when no image can be had.
    """
    if chosen := os.environ.get(VARIABLE):
        return chosen
    substitute = _substitute(name)
    if substitute and _in_docker_cache(substitute):
        say(f"{_registry(name)} cannot be reached: using {substitute}, built from Debian's packages.")
    elif substitute:
        _build(substitute, _registry(name), paths.setting(name, "cpu_architecture"))
    return substitute


def variables(name: str) -> dict[str, str]:
    """Return the variable that a plain `sceptre launch` of an environment needs to build on what `up` has built on."""
    if os.environ.get(VARIABLE):
        return {}
    substitute = _substitute(name)
    return {VARIABLE: substitute} if substitute and _in_docker_cache(substitute) else {}


def _substitute(name: str) -> str | None:
    """Name the image that stands in for the configured one, or return None where that one can be had."""
    configured = paths.setting(name, "base_image")
    if not isinstance(configured, str) or _in_docker_cache(configured) or registry_answers(registry_of(configured)):
        return None
    return f"spotfleet-base:{_codename(registry_of(configured))}"


def _registry(name: str) -> str:
    return registry_of(str(paths.setting(name, "base_image")))


def _in_docker_cache(image: str) -> bool:
    return output(["docker", "image", "inspect", "--format", "{{.Id}}", image]) is not None


def _codename(registry: str) -> str:
    """Return this machine's Debian or Ubuntu release, "bookworm"."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    if not packages.find("apt-get") or "VERSION_CODENAME" not in release:
        raise Failure(
            f"{registry} cannot be reached, and only Debian and Ubuntu can build a base image from their packages: "
            f"name an image that Docker has with {VARIABLE}=<image>."
        )
    return release["VERSION_CODENAME"]


def _build(image: str, registry: str, cpu_architecture: object) -> None:
    """Build `image` from the packages of the release that this machine runs, with its own package sources."""
    debian_name, machine = ARCHITECTURES.get(str(cpu_architecture), ARCHITECTURES["x86_64"])
    if platform.machine() != machine:
        raise Failure(
            f"{registry} cannot be reached, and a base image for {cpu_architecture} cannot be built on "
            f"{platform.machine()}: name one that Docker has with {VARIABLE}=<image>."
        )
    if not packages.find("mmdebstrap"):
        if not packages.may_install():
            raise Failure(
                f"{registry} cannot be reached, and building a base image from Debian's packages needs mmdebstrap: "
                f"{packages.how_to_install('mmdebstrap')}"
            )
        packages.install("mmdebstrap", "mmdebstrap, which builds a base image from Debian's packages")
    say(f"{registry} cannot be reached: building {image} from Debian's packages, once ...")
    archive = paths.state_folder() / "base-image.tar"
    try:
        _bootstrap(image, archive)
        importing = ["docker", "import", "--platform", f"linux/{debian_name}", "--change", 'CMD ["python3"]']
        if console.run([*importing, str(archive), image], "importing the base image") != 0:
            raise Failure(f"Docker could not import {image}; its own words are above.")
    finally:
        archive.unlink(missing_ok=True)


def _bootstrap(image: str, archive: Path) -> None:
    codename = image.partition(":")[2]
    sources = paths.state_folder() / "base-image.list"
    sources.write_text("".join(f"{line}\n" for line in package_sources(SOURCES_FOLDER, codename)))
    command = [packages.find("mmdebstrap") or "mmdebstrap", "--variant=minbase", f"--include={PACKAGES}"]
    command += ["--skip=cleanup/apt/lists"]
    # Neither manuals nor caches: half of the image's size.
    command += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
    command += ["--dpkgopt=path-exclude=/usr/share/locale/*", "--customize-hook=rm -rf $1/var/lib/apt/lists/*"]
    command += [f"--aptopt={option}" for option in _proxy_options()]
    command += [codename, str(archive), str(sources)]
    if console.run(command, "building the base image", packages.variables()) != 0:
        raise Failure(
            f"mmdebstrap could not build {image}; its own words are above (a full disk, or no package mirror)."
        )


def _proxy_options() -> list[str]:
    """Return how this machine's apt reaches its mirrors, which mmdebstrap would not take over by itself."""
    lines = (output(["apt-config", "dump", "Acquire"]) or "").splitlines()
    return [line for line in lines if any(word in line for word in ("::Proxy", "::CaInfo", "::Verify-"))]


def package_sources(folder: Path, codename: str) -> list[str]:
    """Return the package sources below `folder` that belong to a Debian or Ubuntu release, as lines of a list file."""
    lines = []
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if file.suffix == ".list" and file.is_file():
            lines += [line.strip() for line in file.read_text().splitlines() if _is_of(line, codename)]
        elif file.suffix == ".sources" and file.is_file():
            lines += [line for line in _from_paragraphs(file.read_text()) if _is_of(line, codename)]
    return lines


def _is_of(line: str, codename: str) -> bool:
    """Return whether a line names the release itself, or its updates or security fixes."""
    words = re.sub(r"\[.*\]", "", line).split()
    suites = (codename, f"{codename}-updates", f"{codename}-security")
    return words[:1] == ["deb"] and bool(set(words[2:3]) & set(suites))


def _from_paragraphs(text: str) -> list[str]:
    """Return the lines of a deb822 file (Types, URIs, Suites, Components) in the one-line form."""
    lines = []
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in paragraph.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith(("#", " ", "\t")):
                fields[name.strip().lower()] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        signed = fields.get("signed-by", "")
        option = f"[signed-by={signed}] " if signed.startswith("/") else ""
        lines += [
            f"deb {option}{uri} {suite} {fields.get('components', '')}"
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return lines
