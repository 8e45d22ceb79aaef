"""Where configurations come from: settings of the command line, files, folders, commits, and what is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

from spotfleet.plan import changes, sources
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.configurations import NoConfigurationError
from tests.support.planned import configuration, project, project_with


def test_values_of_the_command_line_are_yaml() -> None:
    assert sources.given(["max_machines=6", "instance_types=[t3.micro]", "alarm_email=a=b"]) == {
        "max_machines": 6,
        "instance_types": ["t3.micro"],
        "alarm_email": "a=b",
    }


@pytest.mark.parametrize(
    "text",
    [
        *("max_machines", "=6", "machines=6", "alarm_email='", "region=2026-13-45", "services.api=6"),
        *("services.api.max_machines=6", "api.max_tasks=6", "services..max_tasks=6", "services.a.b.max_tasks=6"),
    ],
)
def test_what_is_no_setting_is_named(text: str) -> None:
    with pytest.raises(NoConfigurationError, match="--set"):
        sources.given([text])


def test_a_setting_out_of_bounds_is_refused_as_by_a_launch() -> None:
    with pytest.raises(NoConfigurationError, match="max_machines is 0: must be"):
        sources.now(project(), "dev", {"max_machines": 0})


def test_a_value_that_is_a_date_is_refused_as_any_other_wrong_one() -> None:
    with pytest.raises(NoConfigurationError, match="region is '2026-01-01': must be"):
        sources.now(project(), "dev", sources.given(["region=2026-01-01"]))


def test_a_setting_of_a_further_service_leaves_its_others_as_they_are() -> None:
    folder = project_with(shop={"min_tasks": 1, "max_tasks": 2}, mailer={"kind": "worker", "max_tasks": 2})
    found = sources.now(folder, "dev", sources.given(["services.shop.max_tasks=3", "max_machines=8"])).settings
    assert found
    assert found.max_machines == 8
    assert found.services["shop"] == {"listener_priority": 90, "min_tasks": 1, "max_tasks": 3}
    assert found.services["mailer"] == {"kind": "worker", "max_tasks": 2}
    with pytest.raises(NoConfigurationError, match="there is no service api"):
        sources.now(folder, "dev", sources.given(["services.api.max_tasks=3"]))


def test_jinja_in_a_value_stays_text() -> None:
    found = sources.now(project(), "dev", {"environment_variables": {"A": "{{ nothing }}"}})
    assert found.settings
    assert found.settings.environment_variables == {"A": "{{ nothing }}"}


def test_a_file_and_a_folder_are_the_environment_with_them(tmp_path: Path) -> None:
    own = project() / "config/dev"
    text = (own / "config.yaml").read_text().replace("max_machines: 4", "max_machines: 6")
    file = tmp_path / "other.yaml"
    file.write_text(text)
    folder = tmp_path / "dev"
    shutil.copytree(own, folder)
    (folder / "config.yaml").write_text(text)
    for path in (file, folder):
        found = sources.against(project(), "dev", str(path))
        assert found.source == str(path)
        changed = [one for stack in changes.between(found, configuration()) for one in stack.changed]
        assert [(one.resource, one.properties[0].before) for one in changed] == [("AutoScalingGroup", "6")]


def test_a_commit_is_the_environment_as_it_was(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project(), copy)
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=copy, check=True)
    (copy / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    config = copy / "config/dev/config.yaml"
    config.write_text(config.read_text().replace("max_machines: 4", "max_machines: 6"))
    before, after = sources.against(copy, "dev", "HEAD"), sources.now(copy, "dev", {})
    assert before.source == "commit HEAD"
    found = {one.resource: one.does for stack in changes.between(before, after) for one in stack.changed}
    # The image is built of something else.
    assert found == {
        "AutoScalingGroup": Does.UPDATED,
        "TaskDefinition": Does.REPLACED,
        "Service": Does.UPDATED,
    }
    with pytest.raises(NoConfigurationError, match="has no config/none"):
        sources.against(copy, "none", "HEAD")


@pytest.mark.parametrize("name", ["nowhere", "0123456789abcdef0123456789abcdef01234567", "--output=x"])
def test_what_is_no_file_and_no_commit_is_said(name: str) -> None:
    with pytest.raises(NoConfigurationError, match="is no file, no folder and no commit"):
        sources.against(project(), "dev", name)


def test_a_file_that_is_no_configuration_is_said_without_its_text(tmp_path: Path) -> None:
    for text in ("secret: [", "just words", "{% if %}"):
        file = tmp_path / "bad.yaml"
        file.write_text(text)
        with pytest.raises(NoConfigurationError, match="is no configuration of dev") as caught:
            sources.against(project(), "dev", str(file))
        assert "words" not in str(caught.value)
    with pytest.raises(NoConfigurationError, match="is no configuration"):
        sources.against(project(), "dev", str(tmp_path))
