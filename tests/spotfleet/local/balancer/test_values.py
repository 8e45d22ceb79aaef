"""Whatever a value of ELBv2 says, it is refused or stays one word in HAProxy's configuration."""

import dataclasses
import functools
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotfleet.local.balancer import haproxy, haproxy_config, haproxy_syntax
from spotfleet.local.balancer.haproxy_syntax import Unwritable
from spotfleet.local.balancer.wanted import Wanted
from spotfleet.local.emulator import elbv2_validation
from spotfleet.local.emulator.elbv2_validation import Invalid
from tests.support.balancers import BALANCER, GROUP
from tests.support.hostile_values import FIELDS, TRAPS, everything

# A fuzzer that runs in every build has to find the same each time.
STEADY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
CONTROL_BUT_LINE_END = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
# The review's own: it made HAProxy serve a file of this machine.
SERVE_SHADOW = next(text for text in TRAPS if "/etc/shadow if" in text)
fields = pytest.mark.parametrize("name", FIELDS)


def rendered(wanted: Wanted) -> str:
    return haproxy_config.render(wanted, {(BALANCER, 80): 18080}, "haproxy.sock", None, {})


def structure(configuration: str) -> list[str]:
    """Return what each line of a configuration is: the kind of a section, or what a directive begins with."""
    assert not CONTROL_BUT_LINE_END.search(configuration)
    # What counts answers is named by a digest.
    configuration = re.sub(r"(proc\.own_\w+)_[0-9a-f]{16}", r"\1", configuration)
    lines = [line for line in configuration.split("\n") if not line.startswith(("  description ", "  use_backend "))]
    return [" ".join(line.split(" ")[:4]) if line.startswith("  ") else line.split(" ")[0] for line in lines]


@functools.cache
def of_harmless(name: str) -> list[str]:
    return structure(rendered(FIELDS[name].wanted(FIELDS[name].harmless)))


def is_refused(name: str, text: str) -> bool:
    try:
        elbv2_validation.check(*FIELDS[name].call(text))
    except Invalid:
        return True
    return False


@fields
def test_what_aws_takes_is_taken(name: str) -> None:
    for text in (FIELDS[name].harmless, *FIELDS[name].near):
        assert not is_refused(name, text), text


@fields
@settings(STEADY, max_examples=25)
@given(data=st.data())
def test_a_value_is_no_line_of_its_own(name: str, data: st.DataObject) -> None:
    text = data.draw(FIELDS[name].texts)
    written = structure(rendered(FIELDS[name].wanted(text)))
    if not is_refused(name, text):
        assert written == of_harmless(name)
    # Past the API: what cannot be written is missing, and a missing answer is one with 500.
    assert Counter(written) - Counter(["  http-request return"]) <= Counter(of_harmless(name))


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"body"}))
def test_the_file_of_another_user_is_no_value(name: str) -> None:
    assert is_refused(name, FIELDS[name].harmless + SERVE_SHADOW)
    assert "file" not in re.sub(r"'[^']*'|\"[^\"]*\"", "", rendered(FIELDS[name].wanted(SERVE_SHADOW)))


def test_one_rule_that_cannot_be_written_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bad = FIELDS["source"].wanted("10.0.0.0/8 or everybody").balancers[0].listeners[0].rules[0]
    good = FIELDS["path"].wanted("/good").balancers[0].listeners[0].rules[0]
    text = rendered(everything(dataclasses.replace(bad, priority="7"), good))
    assert "path -m reg -- ^/good$" in text.replace("'", "")
    assert "everybody" not in text
    assert "The rule 7 of" in caplog.text


def test_requests_of_a_rule_whose_answer_cannot_be_written_go_to_no_other_rule() -> None:
    text = rendered(FIELDS["redirect code"].wanted("HTTP_999"))
    assert "http-request return status 500 if { var(txn.rule) -m int 0 }" in text


def test_a_group_that_cannot_be_written_answers_503() -> None:
    text = rendered(FIELDS["matcher"].wanted("200 or else"))
    assert "backend" not in text
    assert "http-request return status 503" in text


@pytest.mark.parametrize("word", ["", "a b", "a;show info", "a\nshow info", "a\\ b", "<<", "é", "a'b", 'a"b'])
def test_a_word_of_a_command_is_one_word(word: str) -> None:
    with pytest.raises(Unwritable):
        haproxy_syntax.command("add", "server", word)


# --- With HAProxy itself


@pytest.mark.e2e
@settings(STEADY, max_examples=60)
@given(texts=st.fixed_dictionaries({name: field.texts for name, field in FIELDS.items()}))
def test_haproxy_takes_whatever_is_written(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> None:
    haproxy.ensure_installed()
    wanted = {name: FIELDS[name].wanted(text) for name, text in texts.items()}
    # All together, past the API, and each once more as the API lets it through.
    through = [FIELDS[name].wanted(text) for name, text in texts.items() if not is_refused(name, text)]
    rules = [rule for one in [*wanted.values(), *through] for rule in one.balancers[0].listeners[0].rules[:-1]]
    group = wanted["health check path"].groups[GROUP]
    header = "" if is_refused("response header", texts["response header"]) else texts["response header"]
    file = tmp_path_factory.getbasetemp() / "haproxy.cfg"
    file.write_text(rendered(everything(*rules, group=group, header=header)), encoding="utf-8")
    checked = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, check=False)
    assert checked.returncode == 0, (checked.stderr.decode(errors="replace"), file.read_text())


@pytest.mark.e2e
def test_haproxy_tells_which_regular_expressions_it_knows(tmp_path: Path) -> None:
    haproxy.ensure_installed()
    process = haproxy.Process(tmp_path)
    assert process.compiles(r"^/a\x{41}(?<n>[[:alpha:]])\d{2}$")
    assert not process.compiles("a**")
    assert list(tmp_path.iterdir()) == []
