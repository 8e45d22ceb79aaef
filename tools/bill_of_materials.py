"""Reads a CycloneDX bill of materials: is everything that must be in the image listed, and is it what was asked for?"""

import re
from collections.abc import Iterator
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What every image with Python has of the system: its C library, and what HTTPS is made with. By package manager, each
# under the names that distributions have for it.
SYSTEM_PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "deb": {"the C library": ("libc6",), "OpenSSL": ("libssl",)},
    "apk": {"the C library": ("musl", "glibc"), "OpenSSL": ("libssl",)},
}


def problems(bill: dict[str, Any], requirements: str) -> list[str]:
    """Return what is missing from a bill, and where the image has something else than `requirements` asks for."""
    return [*unlike_required(bill, requirements), *unlisted_system(bill)]


def unlike_required(bill: dict[str, Any], requirements: str) -> Iterator[str]:
    """Compare Python's packages with the pins in `requirements`, the text of a requirements.txt."""
    version = python_version(bill)
    if version is None:
        yield "Python itself is not in the bill of materials"
        return
    wanted = pins(requirements, version)
    found: dict[str, str] = {canonicalize_name(part["name"]): part.get("version", "") for part in parts(bill, "pypi")}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"{name} {wanted[name]} is required and not in the bill of materials"
        elif name not in wanted:
            yield f"{name} {found[name]} is in the image, and service/requirements.txt does not name it"
        elif found[name] != wanted[name]:
            yield f"{name} {found[name]} is in the image, and service/requirements.txt asks for {wanted[name]}"


def unlisted_system(bill: dict[str, Any]) -> Iterator[str]:
    """Look for the packages of the system that must be there."""
    system = next((part["name"] for part in bill["components"] if part["type"] == "operating-system"), None)
    listed = {kind: [part["name"] for part in parts(bill, kind)] for kind in SYSTEM_PACKAGES}
    if system is None:
        yield "the system's release is not in the bill of materials, so no scanner can judge its packages"
    elif not any(listed.values()):
        yield f"the packages of {system} are not in the bill of materials: only dpkg's and apk's can be"
    for kind, found in listed.items():
        for part, names in SYSTEM_PACKAGES[kind].items():
            if found and not any(name.startswith(names) for name in found):
                yield f"{part} of {system} is not in the bill of materials"


def parts(bill: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the components of one kind of package: deb, apk, pypi or generic."""
    return [part for part in bill["components"] if part.get("purl", "").startswith(f"pkg:{kind}/")]


def python_version(bill: dict[str, Any]) -> str | None:
    """Return the version of the interpreter, "3.13.9", wherever it comes from."""
    for kind in ("generic", "deb", "apk", "rpm"):
        for part in parts(bill, kind):
            number = re.match(r"\d+\.\d+(\.\d+)?", part.get("version", ""))
            if number and re.fullmatch(r"python(\d(\.\d+)?(-minimal)?)?", part["name"]):
                return number[0]
    return None


def pins(requirements: str, python: str) -> dict[str, str]:
    """Return name and version of each requirement that applies to a version of Python on Linux."""
    lines = requirements.replace("\\\n", " ").splitlines()
    wanted: dict[str, str] = {}
    for line in lines:
        text = re.split(r"\s+--hash=|(?:^|\s)#", line)[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        where = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
        where |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
        if requirement.marker is None or requirement.marker.evaluate(where):
            wanted[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return wanted
