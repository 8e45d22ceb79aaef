"""Whatever the text of a setting or of an environment variable is, it arrives as written and changes nothing else."""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given, strategies
from hypothesis import settings as options
from jinja2 import nodes
from sceptre.hooks import Hook
from sceptre.resolvers import Resolver
from sceptre.stack import Stack

from spotfleet.configuration.quoting import dumps
from spotfleet.settings.environment import Settings
from spotfleet.settings.sceptre import SceptreSettings
from tests.support.changed import Changed
from tests.support.sample_project import ROOT

Json = Any

SMUGGLED = 'x"\ntask_policy_arns: [arn:aws:iam::aws:policy/AdministratorAccess]\ndomain_name: "'
HOSTILE = {
    "double quote": 'a"b',
    "single quote": "it's",
    "quoted": '"a"',
    "lines": "two\nlines\n",
    "further settings": SMUGGLED,
    "further resources": "end\n    Type: AWS::IAM::User\n---\n...\n",
    "control characters": "\r\n\t\x0b\x0c\x7f\x00",
    "YAML's line breaks": "a\x85b\u2028c\u2029d",
    "Jinja": "{{ 1 + 1 }} {% set a = 1 %} {# c #} {% endraw %}",
    "substitution": "${AWS::AccountId} ${!x} ${",
    "resolver": "!stack_output dev/vpc.yaml::VpcId",
    "map": "key: value # comment",
    "list": "- [a, {b: c}]",
    "indicators": "&a *a |> %YAML @ `",
    "escapes": "\\n \\u0041 \\",
    "markup": "<b> & </b>",
    "boolean": "true",
    "nothing": "null",
    "number": "1e3",
    "date": "2026-01-01",
    "spaces": " a ",
    "other scripts": "häß — 漢字 😀 \ufffe",
    "long": "long " * 300,
}
# On, so that every text has a place in a template.
ON: dict[str, Any] = {
    **{"alarms": True, "dashboard": True, "deployment_alarms": True, "access_logs": True, "flow_logs": "all"},
    **{"web_application_firewall": True, "egress": "nat_instance", "requests_per_task": 5},
    **{"task_memory_target_percent": 50},
}
HARMLESS = re.compile(r"<(\w+)>")
OURS = {name: field for name, field in Settings.model_fields.items() if name not in SceptreSettings.model_fields}


def with_texts(text: Callable[[str], str]) -> dict[str, Any]:
    """Return the settings that hold text, with a text for each; what goes around it decides where it goes."""
    return {
        **{name: text(name) for name, field in OURS.items() if field.annotation is str},
        **{name: [text(name)] for name, field in OURS.items() if field.annotation == list[str]},
        "allowed_addresses": [f":{text('allowed_addresses')}"],
        "instance_types": [f"t{text('instance_types')}"],
        "extra_user_data": f"{text('extra_user_data')}.",
        "environment_variables": {"A": text("value"), f"B{text('variable')}": "value"},
        "secrets": {"C": f"/{text('parameter')}", f"D{text('secret')}": f"arn:aws:ssm:{text('arn')}"},
        "scheduled_scaling": [{"schedule": text("schedule"), "min_tasks": 1, "max_tasks": 1}],
        "stack_tags": {"Project": "spotfleet", "Environment": text("tag")},
    }


def harmless(name: str) -> str:
    return f"<{name}>"


def replaced(value: Json, text: Callable[[str], str]) -> Json:
    """Return the structure with these texts in the place of the harmless ones."""
    match value:
        case str():
            return HARMLESS.sub(lambda found: text(found[1]), value)
        case dict():
            return {replaced(key, text): replaced(item, text) for key, item in value.items()}
        case list():
            return [replaced(item, text) for item in value]
    return value


def configured(stack: Stack) -> Json:
    """Return what Sceptre reads from a stack's file."""
    return _plain(
        {"parameters": stack._parameters, "data": stack.sceptre_user_data, "tags": stack.tags, "hooks": stack.hooks}
    )


def rendered(stack: Stack) -> Json:
    """Return the same with the stack's template."""
    return {**configured(stack), "template": yaml.load(stack.template.body, Loader=_Template)}  # noqa: S506  # a SafeLoader


def _plain(value: object) -> Json:
    match value:
        case Resolver() | Hook():
            return [type(value).__name__, _plain(value._argument)]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
    return value


class _Template(yaml.CSafeLoader):
    """Reads a template; a tag such as !Sub becomes a list of its name and its argument."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.SequenceNode):
        return [tag, loader.construct_sequence(node, deep=True)]
    # CloudFormation makes ${x} of ${!x}.
    return [tag, node.value.replace("${!", "${") if tag == "Sub" else node.value]


_Template.add_multi_constructor("!", _tagged)


def read(changes: dict[str, Any], what: Any) -> Json:  # noqa: ANN401  # one of the two functions above
    """Return what an environment's stacks are with these settings, which need not be valid."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: what(stack) for name, stack in Changed(Path(folder), changes, ()).stacks.items()}


def differences(one: Json, other: Json, place: str = "") -> Iterator[str]:
    """Yield where two structures are not the same."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{place}.{index}")
    elif (type(one), one) != (type(other), other):
        yield f"{place}: {one!r} is not {other!r}"


@pytest.fixture(scope="module")
def expected() -> Json:
    return read(ON | with_texts(harmless), rendered)


@pytest.mark.parametrize("turn", range(4))
def test_text_of_a_setting_is_nothing_but_text(expected: Json, turn: int) -> None:
    # Each setting has another text in each turn; together the texts are all of them.
    names = [*with_texts(harmless), "value", "variable", "parameter", "secret", "arn", "schedule", "tag"]
    kinds = [*HOSTILE.values()]

    def text(name: str) -> str:
        return kinds[(names.index(name) + 6 * turn) % len(kinds)]

    assert [*differences(read(ON | with_texts(text), rendered), replaced(expected, text))] == []


def test_all_hostile_texts_in_each_setting(expected: Json) -> None:
    def text(_name: str) -> str:
        return " ".join(HOSTILE.values())

    assert [*differences(read(ON | with_texts(text), rendered), replaced(expected, text))] == []


def test_text_in_the_place_of_anything_else_stays_text() -> None:
    # Ahead of the hook, which refuses it: `sceptre diff` runs no hooks.
    names = OURS.keys() - {"services", "scheduled_scaling", "environment_variables", "secrets"}
    expected = read({name: harmless(name) for name in names}, configured)
    found = read(dict.fromkeys(names, SMUGGLED), configured)
    changed_case = {"CpuArchitecture", "EmptyRepositoryOnDelete", "DetailedMonitoring", "DeletionProtection"}
    unlike = [*differences(found, replaced(expected, lambda _name: SMUGGLED))]
    assert {place.partition(":")[0].rpartition(".")[2] for place in unlike} == changed_case


@pytest.mark.parametrize("text", [SMUGGLED, " ".join(HOSTILE.values()).replace("\0", ""), "true"])
def test_environment_variable_is_nothing_but_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_IMAGE", harmless("BASE_IMAGE"))
    expected = read({}, configured)
    monkeypatch.setenv("BASE_IMAGE", text)
    assert [*differences(read({}, configured), replaced(expected, lambda _name: text))] == []


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
        lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner),
        max_leaves=5,
    )
)
@options(deadline=None)
def test_yaml_reads_what_was_written(value: Json) -> None:
    text = dumps(value)
    assert text.isascii()
    assert text.isprintable()
    assert yaml.safe_load(text) == value
    assert yaml.safe_load(f"- a: {text}") == [{"a": value}]


def test_a_key_of_any_length_is_written() -> None:
    assert yaml.safe_load(dumps({"k" * 5000: 1, "short": 2})) == {"k" * 5000: 1, "short": 2}


@pytest.mark.parametrize(
    "file",
    sorted([*ROOT.glob("config/wiring/*.j2"), *ROOT.glob("tests/sample/config/**/*.yaml")]),
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_every_value_in_the_wiring_is_quoted(file: Path) -> None:
    outputs = jinja2.Environment(autoescape=False).parse(file.read_text()).find_all(nodes.Output)  # noqa: S701  # YAML
    written = [node for output in outputs for node in output.nodes if not isinstance(node, nodes.TemplateData)]
    assert [node.lineno for node in written if not (isinstance(node, nodes.Filter) and node.name == "tojson")] == []
