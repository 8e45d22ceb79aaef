"""Judges rendered templates with AWS's own offline validator, cloudformation-validate.

Run with the scanners' own Python as `python tools/validate_templates.py <region> <folder of templates>`: one line per
finding, exit code 1 when there is any. First the validator has to find what is wrong with templates broken on purpose.
"""

import json
import sys
from pathlib import Path

from cloudformation_validate import CompositeEngine, PseudoParameterOverrides, TemplateContent, ValidateConfig

# Why a finding is none.
ACCEPTED = {
    "W9013": "settings hold whole ARNs of things that the account has, such as a key",
}
# Of one thing in the templates only: what its words begin with.
ACCEPTED_OF_ONE = ("W2001 RefreshAlarms:",)  # an update policy names it, and the validator does not read those
# What a reader may want to know, and nothing to mend: which properties are create-only, and that stacks have the tags.
INFORMATION = "INFO"
# By the rule that has to find it: a type that no service has, a property that is missing, a type of another region.
BROKEN = {
    "F3006": {"Thing": {"Type": "AWS::EC2::Vpcs"}},
    "F3003": {"Subnet": {"Type": "AWS::EC2::SubnetRouteTableAssociation", "Properties": {"SubnetId": "subnet-1"}}},
    "F3012": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": ["10.0.0.0/16"]}}},
}


def findings(engine: CompositeEngine, template: str | TemplateContent, region: str) -> list[tuple[str, str]]:
    """Return the rule and the words of each finding in a template, a path or a TemplateContent."""
    where = ValidateConfig(pseudo_parameter_overrides=PseudoParameterOverrides(region=region))
    report = engine.validate_template(template, where)
    return [
        (found.rule_id, f"{found.rule_id} {getattr(found.entity, 'logical_id', '')}: {found.message}")
        for found in report.diagnostics
        if found.severity.name != INFORMATION
    ]


def check_the_validator(engine: CompositeEngine, region: str) -> list[str]:
    """Return which of the templates broken on purpose it takes for right."""
    return [
        f"{rule} is not found in a template that is wrong on purpose"
        for rule, resources in BROKEN.items()
        if rule not in dict(findings(engine, TemplateContent(json.dumps({"Resources": resources})), region))
    ]


def main() -> int:
    """Check the validator, then the templates; return the exit code."""
    region, folder = sys.argv[1], Path(sys.argv[2])
    engine = CompositeEngine()
    problems = check_the_validator(engine, region)
    files = sorted(folder.rglob("*.yaml"))
    for file in files:
        problems += [
            f"{file}: {words}"
            for rule, words in findings(engine, str(file), region)
            if rule not in ACCEPTED and not words.startswith(ACCEPTED_OF_ONE)
        ]
    for problem in problems:
        print(problem)
    print(f"cloudformation-validate: {len(files)} templates, {len(problems)} findings")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
