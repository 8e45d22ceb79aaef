"""spotfleet convert: files to convert become an environment that is valid."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spotfleet.cli import main
from spotfleet.local.host import paths, variables
from spotfleet.settings.problems import find_problems
from tests.support import sample_project

Convert = Callable[..., Result]
COMPOSE = """
services:
  web:
    image: example/web:1
    ports: ["8000:8000"]
    environment: {TOKEN: t0ps3cret, MODE: fast}
    deploy: {replicas: 8}
  mailer: {image: example/web:1, command: python mailer.py}
"""


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    """Return what runs the verb in a project of its own."""
    sample_project.write_config(tmp_path / "config")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(variables, "enter", lambda: dict(os.environ))
    return lambda *words: CliRunner().invoke(main.spotfleet, ["convert", *map(str, words)], prog_name="spotfleet")


@pytest.fixture
def compose_file(tmp_path: Path) -> Path:
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)
    return file


def test_a_compose_file_becomes_a_new_environment(convert: Convert, compose_file: Path) -> None:
    result = convert(compose_file, "--into", "shop")
    assert (result.exit_code, result.stderr, result.exception) == (0, "", None)
    assert result.stdout.splitlines()[-1] == "  Next: spotfleet up shop"
    assert "--name /shop/web/token" in result.stdout
    assert paths.layers("shop") == ["cluster", "load-balancer", "machines", "mailer", "vpc", "web"]
    settings = paths.settings("shop")
    assert find_problems(settings, has_first_service=False) == {}
    # Not one machine more than they need.
    fewer = settings | {"max_machines": settings["max_machines"] - 1}
    assert list(find_problems(fewer, has_first_service=False)) == ["max_machines"]
    # Eight tasks of half a gibibyte, twice during a deployment, and one more for the worker's.
    assert settings["max_machines"] > paths.settings("dev")["max_machines"]
    assert f"max_machines is {settings['max_machines']}" in result.stdout
    assert settings["services"]["mailer"]["command"] == ["python", "mailer.py"]
    assert "t0ps3cret" not in (paths.ROOT / "config/shop/config.yaml").read_text() + result.stdout


def test_again_it_is_refused_and_nothing_is_written(convert: Convert, compose_file: Path) -> None:
    convert(compose_file, "--into", "shop")
    before = (paths.ROOT / "config/shop/config.yaml").read_text()
    result = convert(compose_file, "--into", "shop")
    assert result.exit_code == 1
    assert result.stderr == "There are two services web: in shop, or in the files to convert.\n"
    assert (paths.ROOT / "config/shop/config.yaml").read_text() == before


def test_a_trial_writes_nothing_and_answers_a_program(convert: Convert, compose_file: Path) -> None:
    result = convert(compose_file, "--into", "shop", "--dry-run", "--json")
    found = json.loads(result.stdout)["shop"]
    assert [service["name"] for service in found] == ["web", "mailer"]
    assert found[0]["settings"]["container_port"] == 8000
    assert not (paths.ROOT / "config/shop").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is neither YAML nor JSON: see its line 1."),
        (b"\xff\xfe\x00", "cannot be read: it is no text."),
        (b"[1]", "is none of: an AWS Copilot manifest, an ECS task definition or a Compose file."),
        (b"a: 1", "is none of: an AWS Copilot manifest, an ECS task definition or a Compose file."),
        (b"services: {a: {image: x, ports: 5}}", "is not as its format demands"),
        (b"containerDefinitions: [{name: a, image: x, portMappings: [{hostPort: 1}]}]", "is not as its format demands"),
        (b"services: {db: {image: postgres}}", "Nothing of this can run in shop: see `--dry-run`."),
        (b"#" * 2**21, "is larger than a mebibyte."),
    ],
)
def test_what_cannot_be_converted_is_one_line(convert: Convert, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "strange.yaml"
    file.write_bytes(content)
    result = convert(file, "--into", "shop")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "config/shop").exists()


@pytest.mark.parametrize("name", ["../../outside", "/etc/shop", "a b", "-x", ""])
def test_an_environment_is_a_folder_of_the_project(convert: Convert, tmp_path: Path, name: str) -> None:
    manifest = {"name": "x", "type": "Worker Service", "image": {"location": "y"}, "environments": {name: {}}}
    (tmp_path / "manifest.yml").write_text(json.dumps(manifest))
    result = convert(tmp_path / "manifest.yml")
    assert result.exit_code == (1 if name else 0), result.stdout
    if name:
        assert "An environment cannot be called" in result.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config", "manifest.yml"]


def test_a_second_service_for_every_path_is_told_of(convert: Convert, compose_file: Path) -> None:
    result = convert(compose_file, "--into", "dev")
    assert result.exit_code == 0
    assert "path_pattern: the first service takes /* already" in result.stdout


def test_a_file_that_is_not_there(convert: Convert, tmp_path: Path) -> None:
    assert convert(tmp_path / "nothing.yaml").stderr.endswith(
        "nothing.yaml cannot be read: No such file or directory.\n"
    )
    assert convert(tmp_path).stderr.endswith("cannot be read: Is a directory.\n")
