"""Writes spotfleet/facts/create_only_properties.json: `python -m tools.create_only_properties`, after a new cfn-lint.

It has, by resource type of the templates, the properties that AWS's resource schemas call createOnlyProperties: with
another value CloudFormation replaces the resource. Those of conditionalCreateOnlyProperties, with which it may or may
not, are left out. https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
"""

import json
import re
from pathlib import Path

import cfnlint

ROOT = Path(__file__).parent.parent
FILE = ROOT / "spotfleet/facts/create_only_properties.json"
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas"
TYPE = re.compile(r"^    Type: (AWS::\w+::\w+)$", re.MULTILINE)
PREFIX = "/properties/"


def types() -> list[str]:
    """Return the resource types of all templates, sorted."""
    files = (ROOT / "templates").rglob("*.j2")
    return sorted({kind for file in files for kind in TYPE.findall(file.read_text())})


def text() -> str:
    """Return the file's content."""
    index = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())
    schemas = {kind: json.loads((SCHEMAS / f"resources/{index[kind]}.json").read_text()) for kind in types()}
    found = {
        kind: sorted(path.removeprefix(PREFIX) for path in schema.get("createOnlyProperties", []))
        for kind, schema in schemas.items()
    }
    return json.dumps(found, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
