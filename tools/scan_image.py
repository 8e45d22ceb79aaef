"""Scans the service's image: is everything in it listed, is it what was asked for, and is a fault of any of it known?

Run as `python -m tools.scan_image`, which `make scan` does: one line per finding, exit code 1 when there is any. It
builds the image, as a launch does, and reads the bill of materials in it, of which a copy stays in build/sbom.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sceptre.exceptions import SceptreException

from spotfleet.image.docker_cli import build, find_docker
from spotfleet.image.image import PLATFORMS, Image, look_at
from spotfleet.local.host import base_image, docker_engine, paths
from spotfleet.local.host.console import Failure, say
from tests.support.projects import ROOT
from tools.advisories import NotLookedUpError, audited, matched, start_audit
from tools.bill_of_materials import problems

ENVIRONMENT = "dev"
BILL_IN_IMAGE = "/usr/share/sbom/cyclonedx.json"
BILLS = ROOT / "build" / "sbom"


def built_image(docker: str) -> Image:
    """Return the image of an environment, built."""
    base = base_image.choose(ENVIRONMENT) or str(paths.setting(ENVIRONMENT, "base_image"))
    platform = PLATFORMS[str(paths.setting(ENVIRONMENT, "cpu_architecture"))]
    image = look_at("spotfleet-scan", base, platform, ROOT, ROOT, pull=say)
    build(docker, image, lambda _: None)
    return image


def bill_of(docker: str, uri: str) -> dict[str, Any]:
    """Return the bill of materials in an image. Raises Failure when it has none."""
    created = subprocess.run([docker, "create", uri], capture_output=True, text=True, check=False)
    if created.returncode != 0:
        raise Failure(f"docker cannot open it: {created.stderr.strip()}")
    container = created.stdout.strip()
    copied = subprocess.run([docker, "cp", f"{container}:{BILL_IN_IMAGE}", "-"], capture_output=True, check=False)
    subprocess.run([docker, "rm", container], capture_output=True, check=True)
    if copied.returncode != 0:
        raise Failure(f"it has no bill of materials, {BILL_IN_IMAGE}: keep the Dockerfile's stage root_file_system.")
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as archive:
        file = archive.extractfile(Path(BILL_IN_IMAGE).name)
        bill: dict[str, Any] = json.load(file) if file else {}
    return bill


def scan(docker: str) -> Path | None:
    """Build the image, keep its bill of materials, and print what is wrong with it; return the bill if nothing is."""
    image = built_image(docker)
    bill = bill_of(docker, image.uri)
    subprocess.run([docker, "rmi", image.uri], capture_output=True, check=False)
    BILLS.mkdir(parents=True, exist_ok=True)
    file = BILLS / f"{image.tag}.cdx.json"
    file.write_text(json.dumps(bill, indent=2))
    found = problems(bill, (ROOT / "service" / "requirements.txt").read_text())
    for problem in found:
        print(problem)
    print(f"image: {len(bill['components'])} parts, listed in {file.relative_to(ROOT)}; {len(found)} findings")
    return None if found else file


def look_up(audit: subprocess.Popen[str], bill: Path) -> bool:
    """Print the known faults; return whether there is none. On GitHub, not to know is not enough."""
    good = True
    questions: dict[str, Callable[[], list[str]]] = {
        "pip-audit": lambda: audited(audit),
        "grype": lambda: matched(bill),
    }
    for scanner, ask in questions.items():
        try:
            faults = ask()
        except NotLookedUpError as reason:
            print(f"known vulnerabilities: NOT looked up with {scanner}, there may be some: {reason}")
            good = good and os.environ.get("GITHUB_ACTIONS") != "true"
        else:
            for fault in faults:
                print(fault)
            print(f"known vulnerabilities: {len(faults)} found with {scanner}")
            good = good and not faults
    return good


def main() -> int:
    """Scan the image while pip-audit asks for advisories; return the exit code."""
    audit = start_audit()
    engine_was_there = docker_engine.answers()
    try:
        docker_engine.ensure()
        bill = scan(find_docker())
        return 0 if bill and look_up(audit, bill) else 1
    except (Failure, SceptreException) as error:
        print(f"The image could not be scanned: {error}")
        return 1
    finally:
        audit.kill()
        audit.communicate()
        if not engine_was_there:
            docker_engine.stop_if_ours()


if __name__ == "__main__":
    sys.exit(main())
