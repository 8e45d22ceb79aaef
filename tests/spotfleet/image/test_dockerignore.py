"""Ignore files are read as Docker's clients read them; test_build_context_end_to_end.py compares with a real one."""

import pytest

from spotfleet.image.dockerignore import IgnoreRules, LegacyIgnoreRules, PatternError, decoded, read_patterns


def is_ignored(path: str, *patterns: str) -> bool:
    """Return whether a path is ignored, asking for the folders above it first, as a walk does."""
    rules = IgnoreRules(patterns)
    above: list[bool] = []
    ignored = False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        ignored, above = rules.match("/".join(parts[:depth]), above)
    return ignored


@pytest.mark.parametrize(
    ("content", "patterns"),
    [
        (b"a\n\n  b  \n", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        (b"# no\n #yes\na#b\n\\#c", ["#yes", "a#b", "\\#c"]),
        (b"/a/\n./b//c/../d\n/\n!/e\n! f\n!", ["a", "b/d", "/", "!e", "!f", "!"]),
        (b"../up\n/../up\n//a\n.\n", ["../up", "up", "a", "."]),
        (b"a\x1c\n\xc2\xa0b\xe3\x80\x80\n\xff\n", ["a\x1c", "b", "\udcff"]),
        (b"a\\b\n", ["a\\b"]),
    ],
)
def test_lines_are_cleaned_as_docker_does(content: bytes, patterns: list[str]) -> None:
    assert read_patterns(content) == patterns


@pytest.mark.parametrize(
    ("path", "patterns", "ignored"),
    [
        # The case of letters, and where a name stands.
        ("build/x", ["build"], True),
        ("build/x", ["Build"], False),
        ("a/build", ["build"], False),
        # Wildcards stop at a slash, two of them do not.
        ("a.py", ["*.py"], True),
        ("a/b.py", ["*.py"], False),
        ("a/b.py", ["*/*.py"], True),
        ("a/b.py", ["**/*.py"], True),
        ("b.py", ["**/*.py"], True),
        ("a/b/c", ["a/**"], True),
        ("a", ["a/**"], False),
        ("a/x/y/b", ["a/**/b"], True),
        ("a/b", ["a/**/b"], True),
        ("xfoo", ["**/foo"], False),
        ("x/foo/y", ["**/foo"], True),
        ("xfoo", ["**foo"], True),
        ("abc/d", ["a**"], True),
        (".hidden", ["*"], True),
        ("ab", ["a?"], True),
        ("é", ["?"], True),
        ("a/b", ["a?b"], False),
        # Classes: only ^ turns one round.
        ("b", ["[^a]"], True),
        ("a", ["[^a]"], False),
        ("!", ["[!a]"], True),
        ("b", ["[!a]"], False),
        ("c", ["[a-f]"], True),
        ("C", ["[a-f]"], False),
        ("]", ["[\\]a]"], True),
        ("-", ["[\\-a]"], True),
        ("é", ["[é]"], True),
        # Escapes, and what has a meaning in regular expressions but none here.
        ("#a", ["\\#a"], True),
        ("[b]", ["\\[b\\]"], True),
        ("!a", ["\\!a"], True),
        ("a*", ["a\\*"], True),
        ("ab", ["a\\*"], False),
        ("a.b", ["a.*"], True),
        ("axb", ["a.*"], False),
        ("a+b", ["a+*"], True),
        ("(x)|{y}$", ["(x)|{y}?"], True),
        ("a\n", ["[a]"], False),
        ("1", ["\\d"], True),
        ("d", ["\\d"], False),
        (decoded(b"\xff"), ["?"], True),
        (decoded(b"\xff"), [decoded(b"\xff")], True),
        (decoded(b"\xfe"), [decoded(b"\xff")], False),
        # The last pattern that matches decides, for a folder and so for what is in it.
        ("a", ["*", "!a"], False),
        ("a", ["!a", "*"], True),
        ("a/b", ["a", "!a/b"], False),
        ("a/c", ["a", "!a/b"], True),
        ("a/b/c", ["*", "!a", "a/b"], True),
        ("a/b.md", ["*.md", "!a/*.md"], False),
        ("README.md", ["*.md", "!README*.md", "README-secret.md"], False),
        ("README-secret.md", ["*.md", "!README*.md", "README-secret.md"], True),
        ("service/x.pyc", ["*", "!service", "**/*.pyc"], True),
    ],
)
def test_a_path_is_matched_as_docker_does(path: str, patterns: list[str], ignored: bool) -> None:
    assert is_ignored(path, *patterns) is ignored


@pytest.mark.parametrize("pattern", ["[", "[]", "[]a]", "[a", "[a-]", "[-a]", "[^]", "a\\", "!", "!/", "!["])
def test_a_pattern_that_ends_a_build_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        IgnoreRules(read_patterns(pattern.encode()))


@pytest.mark.parametrize("pattern", ["[z-a]", "[a]\\i", "\\Q", "*é\\é"])
def test_a_pattern_that_is_no_expression_is_refused_when_it_is_needed(pattern: str) -> None:
    with pytest.raises(PatternError, match="malformed"):
        IgnoreRules([pattern]).match("a")


def test_a_line_is_as_long_as_docker_can_read() -> None:
    assert read_patterns(b"x" * 65535) == ["x" * 65535]
    with pytest.raises(PatternError, match="line 2 is longer"):
        read_patterns(b"a\n" + b"x" * 65536)


@pytest.mark.parametrize(
    ("patterns", "folder", "passed_over"),
    [
        (["a"], "a", True),
        (["a", "!a/b"], "a", False),
        (["a", "!ab/c"], "a", True),
        (["a", "!a/b/*"], "a/b", False),
        (["a", "!*/b"], "a", False),
        (["a", "!b/**"], "a", True),
    ],
)
def test_a_folder_is_passed_over_where_nothing_of_it_comes_back(
    patterns: list[str], folder: str, passed_over: bool
) -> None:
    assert IgnoreRules(patterns).can_pass_over(folder) is passed_over


def test_old_clients_differ_in_few_patterns() -> None:
    assert LegacyIgnoreRules(["a+b"]).match("aab")[0]
    assert not LegacyIgnoreRules(["**foo"]).match("xfoo")[0]
    assert LegacyIgnoreRules(["*", "!a/*"]).sends("a")
    for pattern in ("a+b", "**foo", "a^b", "!a"):
        assert not IgnoreRules([pattern]).are_read_alike()
    for pattern in ("*.py", "**/__pycache__", "build", "[!a]", "a/**/b"):
        assert IgnoreRules([pattern]).are_read_alike()
