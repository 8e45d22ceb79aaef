"""The profiles of the configuration, which exist on the embedded AWS."""

import os
from pathlib import Path

import boto3
import pytest

from spotfleet.local.host import aws_profiles


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("profile: my-company-sso", "my-company-sso"),
        ('profile: "with space"  # of the team', "with space"),
        ("profile: 'it''s'", "it's"),
        ('profile: "{{ environment_variable.TEAM_PROFILE }}"', "from-the-shell"),
        ('profile: "{{ project_code }}-{{ region }}"', "spotfleet-eu-west-1"),
    ],
)
def test_profiles_are_found_in_every_form(
    line: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_PROFILE", "from-the-shell")
    write(tmp_path, config="project_code: spotfleet\nregion: eu-west-1\n", dev__config=f"{line}\n")
    assert aws_profiles.names(tmp_path) == [name]


def test_profiles_are_found_in_every_file(tmp_path: Path) -> None:
    jinja = "{% set own = settings_of_service('service') %}\nparameters:\n  A: {{ x | tojson }}\n"
    write(
        tmp_path,
        config="profile: all",
        dev__config="a: {{ unknown | tojson }}",
        dev__service=f"{jinja}profile: one",
        prod__vpc="x: {{",
    )
    write(
        tmp_path,
        one__two__config="profile: deep",
        prod__config="profile:\nvalue: !tag x",
        eu__vpc="profile: {{ var.p }}",
    )
    (tmp_path / "wiring").mkdir()
    (tmp_path / "wiring/stack.yaml.j2").write_text("profile: shared\n")
    assert aws_profiles.names(tmp_path) == ["all", "deep", "one", "shared"]


def test_clients_find_each_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "se%cret"}
    write(tmp_path, config="profile: default", one__config="profile: my-sso", two__config="profile: with space")
    file = aws_profiles.write(tmp_path, tmp_path, access)
    assert Path(file).stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("AWS_CONFIG_FILE", file)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for profile in ("default", "my-sso", "with space"):
        credentials = boto3.Session(profile_name=profile).get_credentials()
        assert credentials is not None
        assert (credentials.access_key, credentials.secret_key) == ("local", "se%cret")


def test_without_a_profile_there_is_no_file(tmp_path: Path) -> None:
    assert aws_profiles.write(tmp_path, tmp_path, {}) == os.devnull
