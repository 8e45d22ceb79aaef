"""Commands, durations, sizes and variables as the three formats write them."""

import pytest

from spotfleet.convert import interpolation, words
from spotfleet.convert.part import ConversionError, Part


@pytest.mark.parametrize(
    ("told", "command"),
    [
        ("gunicorn -b '0.0.0.0:80' app:app", ["gunicorn", "-b", "0.0.0.0:80", "app:app"]),
        (["node", "server.js"], ["node", "server.js"]),
        ('sh -c "a && exec b"', ["sh", "-c", "a && exec b"]),
        ("/bin/bash -lc 'x | y'", ["/bin/bash", "-lc", "x | y"]),
    ],
)
def test_a_command_is_a_list_of_words(told: object, command: list[str]) -> None:
    assert words.command(told, "command") == command


@pytest.mark.parametrize("told", ["migrate && serve", "serve > log", "serve $PORT", "a; b", "serve `date`", "serve 'x"])
def test_what_only_a_shell_understands_is_refused(told: str) -> None:
    with pytest.raises(ConversionError, match=r"^command "):
        words.command(told, "command")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("90", 90), (15, 15), ("90s", 90), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("1.5s", 1.5), ("2m", 120)],
)
def test_durations(told: object, seconds: float) -> None:
    assert words.seconds(told, "interval") == seconds


@pytest.mark.parametrize("told", ["", "soon", "10x", "-5s"])
def test_what_is_no_duration_is_refused(told: str) -> None:
    with pytest.raises(ConversionError, match="interval must be a duration"):
        words.seconds(told, "interval")


@pytest.mark.parametrize(
    ("told", "mib"), [("64m", 64), ("1gb", 1024), ("512M", 512), (1048576, 1), ("2048k", 2), ("1GiB", 1024)]
)
def test_sizes(told: object, mib: float) -> None:
    assert words.mib(told, "memory") == mib


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DATABASE_PASSWORD", "x", True),
        ("SECRET_KEY", "x", True),
        ("API_TOKEN", "x", True),
        ("SECRET_KEY_BASE", "x", True),
        ("PGPASSWORD", "x", True),
        ("dbPassword", "x", True),
        ("DB_PASSWORD_1", "x", True),
        ("PASSENGER_APP_ENV", "x", False),
        ("STRIPE_PUBLISHABLE_KEY", "x", False),
        ("DATABASE_URL", "postgres://u:pw@db/x", True),
        ("DATABASE_URL", "postgres://db/x", False),
        ("MONKEY", "x", False),
        ("TOKENS_PER_PAGE_SIZE", "x", False),
        ("KEYBOARD", "x", False),
        ("PASSWORD", "", False),
    ],
)
def test_what_looks_secret(name: str, value: str, secret: bool) -> None:
    assert words.is_secret(name, value) is secret


@pytest.mark.parametrize(
    ("told", "words_"),
    [
        (["CMD", "/check", "-x"], ["/check", "-x"]),
        (["CMD-SHELL", "curl -f localhost || exit 1"], ["/bin/sh", "-c", "curl -f localhost || exit 1"]),
        ("curl -f localhost", ["/bin/sh", "-c", "curl -f localhost"]),
        (["/check"], ["/check"]),
    ],
)
def test_a_health_command_is_what_stands_behind_cmd(told: object, words_: list[str]) -> None:
    assert words.health_command(told) == words_


FILE = """# a comment
export A=1
B="two # three"
C='four' # five
D=six # seven
not a variable
E=a=b
"""


def test_an_environment_file_is_read_as_docker_or_as_compose_reads_it() -> None:
    assert dict(words.variables_of_file(FILE)) == {
        **{"A": "1", "B": '"two # three"', "C": "'four' # five", "D": "six # seven", "E": "a=b"},
    }
    assert dict(words.variables_of_file(FILE, quoted=True)) == {
        **{"A": "1", "B": "two # three", "C": "four", "D": "six", "E": "a=b"},
    }


def test_variables_of_a_compose_file_get_their_defaults_and_nothing_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME_OF_MINE", "secret")
    seen: dict[str, str | None] = {}
    told = {"a": "${PORT:-8200}:80", "b": ["$HOME_OF_MINE", "$$5", "${X:?must}", "${Y-${Z:-z}}"]}
    assert interpolation.filled(told, seen) == {"a": "8200:80", "b": ["", "$5", "", "z"]}
    assert seen == {"PORT": "8200", "HOME_OF_MINE": None, "X": None, "Y": "z", "Z": "z"}


def test_what_nobody_asked_for_is_left() -> None:
    part = Part({"a": 1, "b": {"c": 2, "d": 3}, "e": None, "f": []})
    part.take("a")
    part.part("b").take("c")
    assert list(part.left()) == ["b.d"]
    with pytest.raises(ConversionError, match="b must be a mapping, not int"):
        Part({"b": 1}).part("b")
