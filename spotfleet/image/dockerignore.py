"""Reads .dockerignore files and matches paths against them as Docker's builders do.

The rules: https://docs.docker.com/build/concepts/context/#dockerignore-files, and in full those of BuildKit's clients,
https://github.com/moby/patternmatcher. A pattern is checked with Go's filepath.Match and then becomes a regular
expression of Go, so that classes, escapes and the case of letters mean what they mean there.
The clients up to Docker 20.10 read some patterns differently, which LegacyIgnoreRules do as well.
Paths and patterns are text, decoded by `decoded` whatever the locale is: bytes that are no UTF-8 are lone surrogates.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

# What Go's strings.TrimSpace removes; Python's strip() would take four control characters more.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
BYTE_ORDER_MARK = "\ufeff"
# A longer line ends the build: the limit of Go's bufio.Scanner.
LONGEST_LINE = 64 * 1024 - 1
WILDCARDS = set("*?[]\\")
# Go's escapes that Python has not, or has with another meaning: outside of a class, and inside one.
ESCAPES = {"z": r"\Z", "s": r"[\t\n\f\r ]", "S": r"[^\t\n\f\r ]"}
CLASS_ESCAPES = {"s": r"\t\n\f\r ", "S": r"\S\v"}
SHARED_ESCAPES = set("dDwWafnrtv")
SHARED_ANCHORS = set("AbB")


class PatternError(ValueError):
    """A line that ends the build; the message says which one and why."""


def decoded(path: bytes) -> str:
    """Return the text of a path or pattern; `encoded` is the way back."""
    return path.decode("utf-8", "surrogateescape")


def encoded(path: str) -> bytes:
    """Return the bytes of a path that `decoded` has read."""
    return path.encode("utf-8", "surrogateescape")


def read_patterns(content: bytes) -> list[str]:
    """Return the patterns of an ignore file, an exception with its leading `!`.

    Raises PatternError for a line that is too long for Docker.
    """
    patterns = []
    for number, line in enumerate(content.removeprefix(BYTE_ORDER_MARK.encode()).split(b"\n"), start=1):
        if len(line) > LONGEST_LINE:
            raise PatternError(f"line {number} is longer than {LONGEST_LINE} bytes")
        text = decoded(line)
        pattern = text.strip(SPACE)
        if text.startswith("#") or not pattern:
            continue
        exception, pattern = pattern.startswith("!"), pattern.removeprefix("!").strip(SPACE)
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        patterns.append("!" * exception + pattern)
    return patterns


def _clean(path: str) -> str:
    """Return the shortest path that means the same, as Go's filepath.Clean does."""
    return posixpath.normpath(re.sub("^//+", "/", path))


class IgnoreRules:
    """The patterns of one ignore file, in their order: the last one that matches a path decides."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raise PatternError for a malformed pattern."""
        self._patterns = [_pattern(text) for text in patterns if text.strip(SPACE)]
        self._exceptions = [pattern.text for pattern in self._patterns if pattern.exception]

    def are_read_alike(self) -> bool:
        """Return whether there is nothing in the patterns that old clients read differently."""
        return not self._exceptions and not any(pattern.is_read_differently() for pattern in self._patterns)

    def match(self, path: str, above: Sequence[bool] = ()) -> tuple[bool, list[bool]]:
        """Return whether `path` is ignored, and which patterns match it or a folder that it is in.

        `above` is the second part of the answer for the folder that holds the path; nothing for a path at the top.
        Raises PatternError for a pattern that is no regular expression.
        """
        ignored = False
        matched = [False] * len(self._patterns)
        for number, pattern in enumerate(self._patterns):
            found = bool(above) and above[number]
            # An exception can change nothing while nothing is ignored, nor another pattern once something is.
            if not found and pattern.exception == ignored:
                found = pattern.matches(path)
            matched[number] = found
            if found:
                ignored = not pattern.exception
        return ignored, matched

    def can_pass_over(self, folder: str) -> bool:
        """Return whether no exception can bring back anything below an ignored folder."""
        beginnings = [text.removesuffix("/**").removesuffix("/*") for text in self._exceptions]
        if any(set(text) & (WILDCARDS | {"^"}) for text in beginnings):
            return False
        return not any(_is_on_the_way(folder, text) for text in beginnings)

    def sends(self, folder: str) -> bool:  # noqa: ARG002  # the other rules look at it
        """Return whether an ignored folder is sent itself, though nothing in it may be."""
        return False


class LegacyIgnoreRules(IgnoreRules):
    """The same as the clients up to Docker 20.10 read them.

    Every pattern is a regular expression, in which +, |, () and {} keep their meaning. Of the folders above a path only
    the one as deep as a pattern is compared with it, and exceptions that begin with a wildcard are not looked for.
    """

    def match(self, path: str, above: Sequence[bool] = ()) -> tuple[bool, list[bool]]:
        """Return whether `path` is ignored; `above` does not matter."""
        del above
        ignored = False
        folders = path.split("/")[:-1]
        for pattern in self._patterns:
            if pattern.exception == ignored:
                folder = folders[: pattern.text.count("/") + 1]
                as_deep = len(folder) == pattern.text.count("/") + 1
                if pattern.matched_formerly(path) or (as_deep and pattern.matched_formerly("/".join(folder))):
                    ignored = not pattern.exception
        return ignored, []

    def can_pass_over(self, folder: str) -> bool:
        """Return whether no exception names something below the folder."""
        return not self.sends(folder)

    def sends(self, folder: str) -> bool:
        """Return whether an exception names something below the folder."""
        return any(_is_on_the_way(folder, text) for text in self._exceptions)


def _is_on_the_way(folder: str, path: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


@dataclass(frozen=True)
class _Pattern:
    """One pattern, without its `!`."""

    text: str
    exception: bool

    def matches(self, path: str) -> bool:
        """Return whether the pattern means this very path; the folders above are looked at by themselves."""
        start, end = self.text[:-2], self.text[2:]
        if not WILDCARDS & set(self.text):
            return path == self.text
        if self.text.startswith("**") and not WILDCARDS & set(end):
            return path.endswith(end) or f"/{path}" == end
        if self.text.endswith("**") and not WILDCARDS & set(start):
            return path.startswith(start)
        return self._expression.search(_as_go_decodes(path)) is not None

    def matched_formerly(self, path: str) -> bool:
        """Tell the same for the clients up to Docker 20.10."""
        return self._former_expression.search(_as_go_decodes(path)) is not None

    def is_read_differently(self) -> bool:
        """Return whether the pattern may mean something else to those clients."""
        return bool(set(self.text) & set("+|(){}^\n")) or "**" in self.text.replace("**/", "/")

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return self._compiled(".$+|(){}")

    @cached_property
    def _former_expression(self) -> re.Pattern[str]:
        return self._compiled(".$")

    def _compiled(self, literal: str) -> re.Pattern[str]:
        try:
            return re.compile(_in_python(_go_expression(_as_go_decodes(self.text), literal)), re.ASCII)
        except (re.error, PatternError) as error:
            raise PatternError(f"the pattern {self.text!r} is malformed: {error}") from error


def _pattern(text: str) -> _Pattern:
    cleaned = _clean(text.strip(SPACE))
    if cleaned == "!":
        raise PatternError('the pattern "!" excepts nothing')
    pattern = _Pattern(cleaned.removeprefix("!"), cleaned.startswith("!"))
    _require_well_formed(pattern.text)
    return pattern


def _require_well_formed(pattern: str) -> None:
    """Raise PatternError where Go's filepath.Match finds a pattern malformed."""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "\\":
            position += 1
            if position > len(pattern):
                raise PatternError(f"the pattern {pattern!r} ends with a backslash")
        elif character == "[":
            position = _after_class(pattern, position)


def _after_class(pattern: str, position: int) -> int:
    position += pattern.startswith("^", position)
    position = _after_member(pattern, position)
    while not pattern.startswith("]", position):
        position = _after_member(pattern, position)
    return position + 1


def _after_member(pattern: str, position: int) -> int:
    position = _after_character(pattern, position)
    return _after_character(pattern, position + 1) if pattern.startswith("-", position) else position


def _after_character(pattern: str, position: int) -> int:
    escaped = pattern.startswith("\\", position)
    character = pattern[position + escaped : position + escaped + 1]
    after = position + escaped + 1
    if not character or (character in "-]" and not escaped) or after >= len(pattern) or _is_no_text(character):
        raise PatternError(f"the class [...] in the pattern {pattern!r} is malformed")
    return after


def _is_no_text(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def _as_go_decodes(text: str) -> str:
    """Return text as Go's regular expressions see it: each byte that is not UTF-8 is U+FFFD."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def _go_expression(pattern: str, literal: str) -> str:
    """Write a pattern as the regular expression of Go that Docker makes of it; `literal` loses its meaning there."""
    text = pattern.removeprefix(BYTE_ORDER_MARK)
    parts = []
    position = 0
    while position < len(text):
        character, rest = text[position], text[position + 1 :]
        position += 1
        if character == "*" and rest.startswith("*"):
            position += 2 if rest.startswith("*/") else 1
            parts.append("(.*/)?" if position < len(text) else ".*")
        elif character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character in literal:
            parts.append(f"\\{character}")
        elif character == "\\" and rest:
            parts.append(f"\\{rest[0]}")
            position += 1
        else:
            parts.append(character)
    return f"^{''.join(parts)}$"


def _in_python(expression: str) -> str:
    """Write one of these regular expressions of Go for Python.

    Raises PatternError for what Go refuses, and for a few escapes that no file name needs.
    """
    parts = []
    position = 0
    while position < len(expression):
        character = expression[position]
        position += 1
        if character == "\\":
            parts.append(_escape(expression[position], ESCAPES, SHARED_ESCAPES | SHARED_ANCHORS))
            position += 1
        elif character == "[":
            part, position = _class(expression, position)
            parts.append(part)
        elif character == "$":
            # Python's $ would also stand before a line break at the end.
            parts.append(r"\Z")
        elif character == "^":
            # Python repeats no ^, which ^{2} does.
            parts.append("(?:^)")
        else:
            parts.append(character if character in ".*?+|(){}" else re.escape(character))
    return "".join(parts)


def _escape(letter: str, own: dict[str, str], shared: set[str]) -> str:
    if letter in own:
        return own[letter]
    if letter in shared:
        return f"\\{letter}"
    if letter.isalnum() or not letter.isascii():
        raise PatternError(f"\\{letter} is not supported")
    return re.escape(letter)


def _class(expression: str, position: int) -> tuple[str, int]:
    """Return the class that starts before `position` for Python, and where it ends."""
    start = position
    parts = ["["]
    if expression.startswith("^", position):
        parts.append("^")
        position += 1
    first = position
    while position == first or not expression.startswith("]", position):
        if position >= len(expression):
            raise PatternError(f"missing ] after {expression[start:]}")
        if expression.startswith("[:", position):
            raise PatternError("[: is not supported")
        character = expression[position]
        position += 1
        if character == "\\":
            parts.append(_escape(expression[position], CLASS_ESCAPES, SHARED_ESCAPES))
            position += 1
        elif character == "-" and position - 1 > first and not expression.startswith("]", position):
            parts.append("-")
        else:
            parts.append(re.escape(character))
    return "".join([*parts, "]"]), position + 1
