"""Writes hooks/instance_types_by_region.json from cfn-lint's data: `python -m tools.instance_types_by_region`.

Deploying does without cfn-lint, so what a launch has to know of it is kept in a file, with its date.
"""

import datetime
import importlib.metadata
import json
from importlib.resources import files
from pathlib import Path

from spotfleet.facts import instance_types

FILE = Path(instance_types.__file__).with_name("instance_types_by_region.json")
DATA = "data/schemas/extensions/aws_ec2_instance/instancetype_enum.json"


def families_by_region() -> dict[str, list[str]]:
    """Return by Region the families that this project knows and EC2 has there."""
    data = json.loads(files("cfnlint").joinpath(DATA).read_text())
    regions = {name: found["enum"] for name, found in data.items() if "-" in name and "enum" in found}
    return {
        region: sorted({name.partition(".")[0] for name in names if instance_types.is_known(name)})
        for region, names in sorted(regions.items())
    }


def source() -> str:
    """Name the data that is read here."""
    return f"cfn-lint {importlib.metadata.version('cfn-lint')}"


def text() -> str:
    """Return what the file has to hold."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    rows = ",\n".join(f'    "{region}": "{" ".join(names)}"' for region, names in families_by_region().items())
    return f'{{\n  "source": "{source()}",\n  "date": "{today}",\n  "families": {{\n{rows}\n  }}\n}}\n'


if __name__ == "__main__":
    FILE.write_text(text())
