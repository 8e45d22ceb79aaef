"""Lists what is in the image, as CycloneDX, with syft: `python3 bill_of_materials.py SYFT ROOT`.

Runs inside the build, so that every image has its list, whoever builds it and wherever it goes.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# Not *.cdx.json: scanners that read the image would take that for more packages, and count all of them twice.
FILE = Path("usr/share/sbom/cyclonedx.json")
# Times of a build in an image would make every build another one.
NO_TIME = (0, 0)


def main(syft: Path, root: Path) -> None:
    """List in FILE of `root` what `root` holds; say so and write nothing where `syft` cannot be had."""
    if not syft.is_file():
        print("syft does not run on this base image, which has no GNU C library: the image gets no bill of materials")
        return
    bill = reproducible(listed(syft, root))
    if not has_interpreter(bill["components"]):
        bill["components"].append(interpreter())
    file = root / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, separators=(",", ":")))
    for path in (file, *file.parents[: len(FILE.parents)]):
        os.utime(path, NO_TIME)


def listed(syft: Path, root: Path) -> dict[str, Any]:
    """Return what syft finds in `root`, looking for what is installed, as it does in an image."""
    command: list[str | Path] = [
        syft,
        "scan",
        f"dir:{root}",
        "--base-path",
        root,
        "--override-default-catalogers",
        "image",
    ]
    command += ["--source-name", "service", "--output", "cyclonedx-json", "--quiet"]
    offline = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    scanned = subprocess.run(command, env=os.environ | offline, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(scanned.stdout)
    return found | {"components": found.get("components", [])}


def reproducible(bill: dict[str, Any]) -> dict[str, Any]:
    """Leave out the serial number and the time, so that the same source gives the same image."""
    metadata = {name: value for name, value in bill["metadata"].items() if name != "timestamp"}
    return {name: value for name, value in bill.items() if name != "serialNumber"} | {"metadata": metadata}


def has_interpreter(components: list[dict[str, Any]]) -> bool:
    """Return whether Python itself is listed, as a package of the system or as a program that syft recognised."""
    return any(
        re.match(r"(lib)?python\d?(\.|-|$)", component["name"])
        and not component.get("purl", "").startswith("pkg:pypi/")
        for component in components
    )


def interpreter() -> dict[str, Any]:
    """Return the component for a Python that belongs to no package, under the names that advisories know it by.

    The official images build theirs from source, and syft finds its version only if the compiler left it in one piece.
    """
    version = platform.python_version()
    purl = f"pkg:generic/python@{version}"
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    return {"bom-ref": purl, "type": "application", "name": "python", "version": version, "cpe": cpe, "purl": purl}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
