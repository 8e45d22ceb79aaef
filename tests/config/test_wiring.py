"""The wiring in config/wiring/: every environment's files find it, errors name the right file, and it is optional."""

import os
from pathlib import Path

import pytest
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from hooks.valid_settings import ValidSettings
from tests.support import sample_project

# A file as it was before the wiring was shared, with what the test needs of it.
OWN_WIRING = """\
{% set own = settings_of_service("api") %}
template:
  path: service.yaml.j2
parameters:
  VpcId: !stack_output {{ (stack_group_path ~ "/vpc.yaml::VpcId") | tojson }}
  MaxTasks: {{ own.max_tasks | string | tojson }}
hooks:
  before_launch:
    - !valid_settings {}
"""
API = "services: {api: {listener_priority: 90, min_tasks: 1, max_tasks: 1}}\nmax_machines: 5\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Make a folder config/, to be changed by the test."""
    sample_project.write_config(tmp_path / "config")
    return tmp_path / "config"


def stacks(config: Path | str, command_path: str = "dev") -> dict[str, Stack]:
    project = os.path.dirname(config)  # noqa: PTH120  # a Path would not keep what is relative as it is
    return {stack.name: stack for stack in SceptrePlan(SceptreContext(project, command_path)).graph}


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def check(stack: Stack) -> None:
    next(hook for hook in stack.hooks["before_launch"] if isinstance(hook, ValidSettings)).run()


def test_a_command_for_the_whole_project_takes_the_wiring_for_no_stack(config: Path) -> None:
    files = {file.relative_to(config).with_suffix("").as_posix() for file in config.glob("*/*.yaml")}
    assert stacks(config, "").keys() == {name for name in files if not name.endswith("/config")}


def test_an_environment_in_a_folder_of_environments_finds_the_wiring(config: Path) -> None:
    (config / "eu").mkdir()
    (config / "dev").rename(config / "eu/dev")
    assert stacks(config, "eu/dev").keys() == {
        f"eu/dev/{layer}" for layer in ("cluster", "load-balancer", "machines", "service", "vpc")
    }


def test_the_wiring_is_found_from_any_folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config / "dev")
    assert stacks("../../config").keys() == stacks(config).keys()


def test_what_stands_below_an_include_is_a_line_of_its_own(config: Path) -> None:
    add(config / "dev/vpc.yaml", "stack_timeout: 17\n")
    assert stacks(config)["dev/vpc"].stack_timeout == 17


def test_a_file_may_have_wiring_of_its_own(config: Path) -> None:
    add(config / "dev/config.yaml", API)
    (config / "dev/api.yaml").write_text(OWN_WIRING)
    api = stacks(config)["dev/api"]
    assert api._parameters["MaxTasks"] == "1"
    check(api)


def test_own_wiring_with_the_name_of_another_service_is_named(config: Path) -> None:
    add(config / "dev/config.yaml", API)
    (config / "dev/api.yaml").write_text(OWN_WIRING.replace('"api"', '"service"'))
    with pytest.raises(
        SceptreException, match=r"^config/dev/config\.yaml: services\.api is not read: config/dev/api\."
    ):
        check(stacks(config)["dev/vpc"])


def test_a_service_without_a_name_is_named(config: Path) -> None:
    (config / "dev/api.yaml").write_text('{% include "wiring/service.yaml.j2" %}\n')
    with pytest.raises(
        SceptreException, match=r'^dev/api\.yaml - must say which service this is.* service = "api" %}$'
    ):
        stacks(config)


def test_wiring_that_is_not_there_is_named(config: Path) -> None:
    (config / "dev/api.yaml").write_text('{% include "wiring/api.yaml.j2" %}\n')
    with pytest.raises(SceptreException, match=r"^dev/api\.yaml - 'wiring/api\.yaml\.j2' not found"):
        stacks(config)


def test_an_unknown_setting_in_the_wiring_is_named_with_the_file_that_has_it(config: Path) -> None:
    add(config / "wiring/stack.yaml.j2", "max_task: 4\n")
    with pytest.raises(SceptreException, match=r"^config/wiring/stack\.yaml\.j2: max_task is not a setting"):
        check(stacks(config)["dev/vpc"])


def test_wiring_that_is_not_yaml_is_named_with_the_file_that_includes_it(config: Path) -> None:
    add(config / "wiring/vpc.yaml.j2", "{% block before_diff %}]{% endblock %}\n")
    where = r"see line \d+ of what it becomes with wiring/vpc\.yaml\.j2 and wiring/stack\.yaml\.j2"
    with pytest.raises(SceptreException, match=rf"^dev/vpc\.yaml - is not YAML: {where}$"):
        stacks(config)
