"""The sample's environment dev with other settings, as a test wants them, rendered by Sceptre like any other."""

import json
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from spotfleet.configuration.given_settings import settings_of
from spotfleet.configuration.quoting import dumps
from spotfleet.settings.problems import find_problems
from tests.support import sample_project
from tests.support.rendered import decoded

Json = dict[str, Any]

# Templates are rendered when a test asks for them, so their folders have to last until the end of all tests.
_folders: list[tempfile.TemporaryDirectory[str]] = []


class Changed:
    """The stacks of the environment, by name, and what they are made from."""

    def __init__(self, folder: Path, changes: Json, further_services: tuple[str, ...]) -> None:
        shutil.copytree(sample_project.folder() / "config", folder / "config")
        (folder / "templates").symlink_to(sample_project.folder() / "templates")
        file = folder / "config/dev/config.yaml"
        kept = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in changes]
        file.write_text("\n".join([*kept, *(f"{key}: {_literal(value)}" for key, value in changes.items()), ""]))
        for name in further_services:
            copy_service(folder / "config/dev", name)
        plan = SceptrePlan(SceptreContext(str(folder), "dev"))
        self.stacks: dict[str, Stack] = {stack.name.rpartition("/")[2]: stack for stack in plan.graph}
        self.problems = find_problems(settings_of(self.stacks["service"].config))

    def body(self, stack: str) -> str:
        """Return the template of a stack as Sceptre sends it."""
        text: str = self.stacks[stack].template.body
        return text

    def template(self, stack: str) -> Json:
        """Return the decoded template of a stack, which no test may change."""
        return decoded(self.body(stack))

    def resources(self, stack: str) -> Json:
        """Return the resources of a stack, by logical id."""
        found: Json = self.template(stack)["Resources"]
        return found

    def properties(self, stack: str, logical_id: str) -> Json:
        """Return what the template says of one resource."""
        found: Json = self.resources(stack)[logical_id]["Properties"]
        return found

    def of_type(self, stack: str, kind: str) -> dict[str, Json]:
        """Return the properties of the resources of one type, by logical id."""
        return {name: item["Properties"] for name, item in self.resources(stack).items() if item["Type"] == kind}

    def parameters(self, stack: str) -> Json:
        """Return the parameters as configured, with resolvers unresolved."""
        values: Json = self.stacks[stack]._parameters
        return values


def changed(*further_services: str, **changes: object) -> Changed:
    """Return the environment dev with these settings; they have to be valid. Equal ones are rendered once."""
    environment = _changed(json.dumps(changes), further_services)
    assert environment.problems == {}
    return environment


def copy_service(folder: Path, name: str) -> None:
    """Add a further service to an environment as the documentation says: a copy whose first line has its name."""
    text = (folder / "service.yaml").read_text()
    (folder / f"{name}.yaml").write_text(text.replace('service = "service"', f'service = "{name}"'))


def _literal(value: object) -> str:
    """Return a value as a file in config/ has it, which Jinja reads before YAML does."""
    return re.sub(r"\{([{%#])", r"\\u007b\1", dumps(value))


@cache
def _changed(changes: str, further_services: tuple[str, ...]) -> Changed:
    folder = tempfile.TemporaryDirectory()
    _folders.append(folder)
    return Changed(Path(folder.name), json.loads(changes), further_services)
