"""Looks up what is known against the image's parts: pip-audit for Python's packages, grype for these and all others.

Both exit alike for a fault and for no answer, and pip-audit says "no known vulnerabilities" of what it left out; only a
whole report counts here.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.projects import ROOT

PIP_AUDIT = ROOT / "build" / "scanners" / "bin" / "pip-audit"
REQUIREMENTS = ROOT / "service" / "requirements.txt"
AUDIT_SECONDS = 120
# grype's names for what nobody should deploy once there is a version without it. Of Python itself it does not know
# whether there is one: its maker's advisories do not say.
SEVERE = ("High", "Critical")
WITHOUT_REMEDY = ("not-fixed", "wont-fix")


class NotLookedUpError(Exception):
    """No advisories could be read, so nothing is known about faults, good or bad."""


def start_audit() -> subprocess.Popen[str]:
    """Ask for the advisories on what service/requirements.txt pins; building the image goes on meanwhile."""
    command: list[str | Path] = [
        PIP_AUDIT,
        "--strict",
        "--require-hashes",
        "--disable-pip",
        "--requirement",
        REQUIREMENTS,
    ]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def audited(audit: subprocess.Popen[str]) -> list[str]:
    """Return the known faults of Python's packages. Raises NotLookedUpError when pip-audit could not ask for them."""
    try:
        output, errors = audit.communicate(timeout=AUDIT_SECONDS)
    except subprocess.TimeoutExpired:
        audit.kill()
        audit.communicate()
        raise NotLookedUpError(f"pip-audit had no answer after {AUDIT_SECONDS} s") from None
    return faults_of_pip_audit(output, errors)


def faults_of_pip_audit(output: str, errors: str) -> list[str]:
    """Return the faults in pip-audit's report. Raises NotLookedUpError when it is none, or not of all packages."""
    report = parsed("pip-audit", output, errors)
    if skipped := [part["name"] for part in report["dependencies"] if "skip_reason" in part]:
        raise NotLookedUpError(f"pip-audit left out {', '.join(skipped)}")
    return [
        f"{part['name']} {part['version']}: {fault['id']}, "
        f"mended in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for part in report["dependencies"]
        for fault in part["vulns"]
    ]


def matched(bill: Path) -> list[str]:
    """Return the severe faults with a remedy that grype knows in a bill, the system's packages included.

    Raises NotLookedUpError without grype, or when it has no data.
    """
    grype = shutil.which("grype")
    if grype is None:
        raise NotLookedUpError("grype, which knows the system's packages and Python itself, is not on the PATH")
    looked_up = subprocess.run([grype, f"sbom:{bill}", "--output", "json"], capture_output=True, text=True, check=False)
    return faults_of_grype(looked_up.stdout, looked_up.stderr)


def faults_of_grype(output: str, errors: str) -> list[str]:
    """Return the severe faults in grype's report that may have a remedy. Raises NotLookedUpError when it is none."""
    report = parsed("grype", output, errors)
    return [
        f"{match['artifact']['name']} {match['artifact']['version']}: {fault['id']}, {fault['severity']}, "
        f"mended in {', '.join(fault['fix']['versions']) or 'a version that it does not know'}"
        for match in report["matches"]
        if (fault := match["vulnerability"])["severity"] in SEVERE and fault["fix"]["state"] not in WITHOUT_REMEDY
    ]


def parsed(scanner: str, output: str, errors: str) -> dict[str, Any]:
    """Return a scanner's report. Raises NotLookedUpError with the last of its words when there is none."""
    try:
        report: dict[str, Any] = json.loads(output)
    except ValueError:
        raise NotLookedUpError(f"{scanner}: {errors.strip().rpartition(chr(10))[2] or 'no answer'}") from None
    return report
