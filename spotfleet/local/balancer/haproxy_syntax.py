"""HAProxy's syntax: the one place that turns values into words of a configuration or of a command.

A directive is given word by word, and every word is quoted here, so no value can become a word of its own, a comment,
a line or a section. https://docs.haproxy.org/2.6/configuration.html#2.2
"""

import re
from typing import NewType

# What stands for itself outside quotes. Everything else is quoted, harmless or not.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.,:/@%+=(){}!<>*~^|&?;\[\]-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What has a meaning inside double quotes: the escape, the end, and the value of a variable.
_ESCAPED = re.compile(r'[\\"$]')
# What HAProxy allows in the name of a section: https://docs.haproxy.org/2.6/configuration.html#4.2
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
# https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The socket splits commands at spaces, semicolons and line ends, and knows backslashes and <<.
# https://docs.haproxy.org/2.6/management.html#9.3
_COMMAND_WORD = re.compile(r"[A-Za-z0-9_.:/@%+-]+")

# A directive or a section's first line, without the line's end.
Line = NewType("Line", str)
Command = NewType("Command", str)


class Unwritable(ValueError):  # noqa: N818  # it is the value that is wrong
    """A value that no configuration or command of HAProxy can hold."""


def line(*words: str | int) -> Line:
    """Return a directive of a section, every word quoted; raises Unwritable."""
    return Line("  " + " ".join(_word(str(word)) for word in words))


def section(kind: str, section_name: str = "") -> Line:
    """Return the first line of a section; raises Unwritable when it cannot have that name."""
    return Line(f"{kind} {name(section_name)}" if section_name else kind)


def name(text: str) -> str:
    """Return a text that names a section or a server; raises Unwritable when it cannot."""
    if not _NAME.fullmatch(text):
        raise Unwritable(f"{text!r} cannot be a name in HAProxy")
    return text


def argument(text: str) -> str:
    """Return a text as an argument of a sample fetch or converter, within the parentheses of a word.

    These have a level of quoting of their own, inside that of the word.
    """
    return '"' + re.sub(r'[\\"]', lambda found: "\\" + found[0], text) + '"'


def literal(text: str) -> str:
    """Return a text as a part of a header's value in log-format, in which only the per cent sign is special."""
    return field_value(text).replace("%", "%%")


def field_name(text: str) -> str:
    """Return a text as a header's name; raises Unwritable where it can be none."""
    if not _TOKEN.fullmatch(text):
        raise Unwritable(f"{text!r} cannot be the name of a header")
    return text


def field_value(text: str) -> str:
    """Return a text as a header's value; raises Unwritable where it would end the header."""
    if _CONTROL.search(text):
        raise Unwritable(f"{text!r} cannot be the value of a header")
    return text


def command(*words: str | int) -> Command:
    """Return a command for the runtime socket; raises Unwritable when a word would be more than one word."""
    for word in words:
        if not _COMMAND_WORD.fullmatch(str(word)):
            raise Unwritable(f"{str(word)!r} cannot be a word of a command to HAProxy")
    return Command(" ".join(str(word) for word in words))


def _word(text: str) -> str:
    """Return a text as one word."""
    if "\0" in text:
        raise Unwritable(f"{text!r} holds a zero byte")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unwritable(f"{text!r} is no text: {error.reason}") from None
    if _PLAIN_WORD.fullmatch(text):
        return text
    if not _CONTROL.search(text):
        return "'" + text.replace("'", "'\"'\"'") + "'"
    escaped = _ESCAPED.sub(lambda found: "\\" + found[0], text)
    return '"' + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + '"'
