"""What a conversion writes into an environment's folder."""

import re
from pathlib import Path

import jinja2
import pytest
import yaml

from spotfleet.convert import entries
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import Service

CONFIG = """# dev
vpc_cidr: 10.0.0.0/16
cpu_architecture: x86_64  # a comment
max_tasks: 4
services:  # further ones
  api:
    listener_priority: 1000

  old: {listener_priority: 5}
log_retention_days: 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for layer in entries.LAYERS:
        (tmp_path / f"{layer}.yaml").write_text(f"# {layer}\n")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def read(file: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load(jinja2.Template(file.read_text()).render())
    return content


def test_entries_come_beside_those_that_are_there(folder: Path) -> None:
    web = Service("shop", settings={"kind": "web", "path_pattern": "/*", "environment_variables": {"A": "1"}})
    worker = Service("mailer", "worker", {"kind": "worker", "command": ["a", "b c"]}, {"cpu_architecture": "arm64"})
    entries.add(folder, "dev", [web, worker])
    found = read(folder / "config.yaml")
    assert found == {
        "vpc_cidr": "10.0.0.0/16",
        "cpu_architecture": "arm64",
        "max_tasks": 4,
        "services": {
            # 1000 is taken.
            "shop": {
                **{"kind": "web", "path_pattern": "/*", "environment_variables": {"A": "1"}},
                "listener_priority": 1010,
            },
            "mailer": {"kind": "worker", "command": ["a", "b c"]},
            "api": {"listener_priority": 1000},
            "old": {"listener_priority": 5},
        },
        "log_retention_days": 7,
    }
    assert re.search(r'set service = "shop"', (folder / "shop.yaml").read_text())


@pytest.mark.parametrize(
    "value",
    [
        "{{ 7 * 7 }}",
        "{% raw %}",
        "{# x #}",
        "a: b # c",
        "yes",
        "1e3",
        "",
        "'\"\\",
        "é\n\u2028😀",
        "{{",
        "}}",
        "null",
        "0x1F",
        "~",
    ],
)
def test_no_value_is_taken_for_anything_else(folder: Path, value: str) -> None:
    settings = {"environment_variables": {"A": value, "B": "x"}, "command": [value, {"c": {"d": value}}]}
    entries.add(folder, "dev", [Service("shop", "worker", settings)])
    services = read(folder / "config.yaml")["services"]
    assert isinstance(services, dict)
    assert services["shop"] == settings


def test_a_new_environment_has_the_layers_of_another_one_and_none_of_its_services(folder: Path) -> None:
    (folder / "service.yaml").write_text("# the sample\n")
    made = folder.parent / "made"
    entries.make_environment(made, folder)
    assert {file.stem for file in made.iterdir()} == {*entries.LAYERS, "config"}
    expected = {"vpc_cidr": "10.0.0.0/16", "cpu_architecture": "x86_64", "max_tasks": 4, "log_retention_days": 7}
    assert read(made / "config.yaml") == expected
    entries.add(made, "made", [Service("shop", "worker", {"kind": "worker"})])
    assert read(made / "config.yaml") == expected | {"services": {"shop": {"kind": "worker"}}}


def test_parameters_are_named_by_their_environment(folder: Path) -> None:
    name = "/{environment}/shop/token"
    secrets = {"TOKEN": name, "OTHER": "/{environment}/of/mine"}
    entries.add(folder, "dev", [Service("shop", "worker", {"secrets": secrets}, to_store=[name])])
    services = read(folder / "config.yaml")["services"]
    assert isinstance(services, dict)
    assert services["shop"]["secrets"] == {"TOKEN": "/dev/shop/token", "OTHER": "/{environment}/of/mine"}


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ([Service("service"), Service("x")], "cannot be called service here"),
        ([Service("vpc")], "cannot be called vpc here"),
        ([Service("x" * 40)], "cannot be called x+ here"),
        ([Service("x"), Service("x")], "There are two services x"),
        (
            [
                Service("x", of_environment={"cpu_architecture": "arm64"}),
                Service("y", of_environment={"cpu_architecture": "x86_64"}),
            ],
            "cpu_architecture is arm64 by x and x86_64 by y",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_is_written(
    folder: Path, services: list[Service], words: str
) -> None:
    before = {file.name: file.read_text() for file in folder.iterdir()}
    with pytest.raises(ConversionError, match=words):
        entries.add(folder, "dev", services)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
