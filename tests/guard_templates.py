"""Checks rendered templates against the rules in cloudformation.guard.

Run with the scanners' own Python as `python tests/guard_templates.py <folder of templates>`: one line per finding, exit
code 1 when there is any. First each rule has to find what is wrong with a template broken on purpose.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

from cfn_guard_rs import run_checks

RULES = Path(__file__).with_name("cloudformation.guard")

Json = dict[str, Any]

MACHINE = {"ImageId": "/aws/service/ecs/optimized-ami", "CreditSpecification": {"CpuCredits": "standard"}}
PORTS = {"FromPort": 32768, "ToPort": 65535}
GOOD: Json = {
    "Machine": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": MACHINE}},
    "Nat": {
        "Type": "AWS::EC2::Instance",
        "Properties": {"ImageId": "/aws/service/ami", "CreditSpecification": {"CPUCredits": "standard"}},
    },
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"SecurityGroupIngress": [PORTS], "SecurityGroupEgress": [PORTS]},
    },
    "Repository": {"Type": "AWS::ECR::Repository", "Properties": {"ImageTagMutability": "IMMUTABLE"}},
    "Task": {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {"ContainerDefinitions": [{"User": "65532:65532", "ReadonlyRootFilesystem": True}]},
    },
}
# What makes the good template break a rule: where, and with what.
BROKEN: list[tuple[str, str, object]] = [
    ("image_ids_come_from_a_parameter", "Machine.Properties.LaunchTemplateData.ImageId", "ami-0ec5a12023aaa8664"),
    ("image_ids_of_instances_come_from_a_parameter", "Nat.Properties.ImageId", "ami-0ec5a12023aaa8664"),
    ("instances_buy_no_credits", "Nat.Properties.CreditSpecification.CPUCredits", "unlimited"),
    ("instances_buy_no_credits", "Nat.Properties", {"ImageId": "/aws/service/ami"}),
    ("ports_in_are_web_or_the_hosts_own_range", "Group.Properties.SecurityGroupIngress.0.FromPort", 32678),
    ("ports_out_are_web_or_the_hosts_own_range", "Group.Properties.SecurityGroupEgress.0.FromPort", 32678),
    ("image_tags_never_move", "Repository.Properties.ImageTagMutability", "MUTABLE"),
    ("image_tags_never_move", "Repository.Properties", {}),
    ("machines_buy_no_credits", "Machine.Properties.LaunchTemplateData.CreditSpecification.CpuCredits", "unlimited"),
    ("containers_cannot_change_their_files", "Task.Properties.ContainerDefinitions.0.ReadonlyRootFilesystem", False),
    ("containers_cannot_change_their_files", "Task.Properties.ContainerDefinitions.0", {"User": "65532"}),
    ("containers_are_not_root", "Task.Properties.ContainerDefinitions.0.User", "root"),
    ("containers_are_not_root", "Task.Properties.ContainerDefinitions.0.User", "0:0"),
    ("containers_are_not_root", "Task.Properties.ContainerDefinitions.0", {"ReadonlyRootFilesystem": True}),
]


def findings(template: Json) -> dict[str, str]:
    """Return by the name of each rule that a template breaks what is wrong."""
    report = run_checks(template, RULES.read_text())
    return {check.Rule.name: _messages(check.Rule.checks) for check in report.not_compliant}


def _messages(checks: list[Any]) -> str:
    """Return the rules' own words, and where they apply."""
    found = []
    for check in checks:
        clause = check.Clause
        part = (clause.Unary or clause.Binary) if clause else None
        if part is not None:
            place = json.dumps(part, default=vars)
            paths = [word for word in place.split('"') if word.startswith("/Resources/")]
            found.append(f"{paths[0] if paths else ''} {part.messages}".strip())
    return "; ".join(found)


def check_the_rules() -> list[str]:
    """Return what is wrong with the rules: one that finds nothing in a broken template, or something in a good one."""
    problems = [f"{rule} finds fault with a good template" for rule in findings({"Resources": GOOD})]
    for rule, place, replacement in BROKEN:
        if rule not in findings({"Resources": _broken(place, replacement)}):
            problems.append(f"{rule} does not find {place} = {replacement}")
    return problems


def _broken(place: str, replacement: object) -> Json:
    resources = copy.deepcopy(GOOD)
    *parents, last = place.split(".")
    node: Any = resources
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = replacement
    return resources


def main() -> int:
    """Check the rules, then the templates; return the exit code."""
    problems = check_the_rules()
    files = sorted(Path(sys.argv[1]).rglob("*.json"))
    for file in files:
        problems += [f"{file}: {rule}: {text}" for rule, text in findings(json.loads(file.read_text())).items()]
    for problem in problems:
        print(problem)
    print(f"cfn-guard: {len(files)} templates, {len(problems)} findings")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
