"""Scans every template of every environment, with the configured values filled in, for what attackers would like.

Run as `python -m tools.scan_templates`, which `make scan` does: one line per finding, exit code 1 when there is any.
The scanners have a Python environment of their own, build/scanners.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sceptre.stack import Stack

from tests.rules import variants
from tests.support.rendered import layers
from tools.lint_templates import ENVIRONMENTS, PROJECT, plan

SCANNERS = PROJECT / "build" / "scanners" / "bin"
FOLDER = PROJECT / "build" / "scan"
BODIES = PROJECT / "build" / "validate"


def everywhere() -> Iterator[tuple[str, Iterable[Stack]]]:
    """Yield each environment with its stacks, and the variants, which have what no environment may have."""
    for environment in ENVIRONMENTS:
        yield environment, plan(environment).graph
    for name in variants.VARIANTS:
        # No environment's name has an underscore.
        yield f"variant_{name}", variants.stacks(name)


def write() -> int:
    """Write the templates to build/scan; return how many resources they have."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    count = 0
    for name, stacks in everywhere():
        (FOLDER / name).mkdir(parents=True)
        for layer, template in layers(stacks).items():
            resources = template["Resources"]
            count += len(resources)
            (FOLDER / name / f"{layer}.json").write_text(json.dumps({"Resources": resources}, indent=2))
    return count


def write_bodies() -> dict[str, Path]:
    """Write the templates as CloudFormation gets them to build/validate; return the folder of each region."""
    shutil.rmtree(BODIES, ignore_errors=True)
    folders = {}
    for name, stacks in everywhere():
        for stack in stacks:
            folders[stack.region] = BODIES / stack.region
            file = folders[stack.region] / name / f"{stack.name.rpartition('/')[2]}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(stack.template.body)
    return folders


def checkov() -> dict[str, Any]:
    """Return checkov's report."""
    # It exits with 0 when it cannot read a template, and without --skip-download it asks a server for more.
    command: list[str | Path] = [
        SCANNERS / "checkov",
        "--directory",
        FOLDER,
        "--framework",
        "cloudformation",
        "--skip-download",
    ]
    command += ["--output", "json", "--compact", "--quiet", "--soft-fail"]
    scanned = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(scanned.stdout)
    except ValueError:
        raise SystemExit(f"checkov gave no report: {scanned.stdout}{scanned.stderr}") from None
    return report


def problems(report: dict[str, Any], resources: int) -> list[str]:
    """Return what is wrong: findings, and signs that not everything was scanned."""
    summary = report["summary"]
    found = [
        f"build/scan{check['file_path']}: {check['check_id']} {check['resource'].rpartition('.')[2]}: "
        f"{check['check_name']}"
        for check in report["results"]["failed_checks"]
    ]
    found += [
        f"build/scan{check['file_path']}: {check['check_id']} is skipped without a reason"
        for check in report["results"].get("skipped_checks", [])
        if not check["check_result"].get("suppress_comment")
    ]
    if summary["parsing_errors"]:
        found.append(f"checkov could not read {summary['parsing_errors']} of the templates")
    if summary["resource_count"] != resources:
        found.append(f"checkov saw {summary['resource_count']} resources of {resources}")
    return found


def main() -> int:
    """Write the templates and let both judges look at them; return the exit code."""
    resources = write()
    report = checkov()
    found = problems(report, resources)
    for problem in found:
        print(problem)
    print(f"checkov: {resources} resources, {report['summary']['passed']} checks passed, {len(found)} findings")
    validator: list[str | Path] = [SCANNERS / "python", "tools/validate_templates.py"]
    validated = [
        subprocess.run([*validator, region, folder], cwd=PROJECT, check=False).returncode
        for region, folder in write_bodies().items()
    ]
    return 1 if found or any(validated) else 0


if __name__ == "__main__":
    sys.exit(main())
