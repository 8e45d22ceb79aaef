"""How the value of a setting appears in a message: short, on one line, and never when it may be a secret.

Likewise what others have printed, such as a container, of which nobody knows what it holds.
"""

import re

# What a person may paste a password into, whatever belongs there.
HIDDEN = {"secrets", "environment_variables", "extra_user_data", "services"}
HIDDEN_VALUE = "has a value that is not shown, as it may be secret"
LONGEST = 120
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}|[0-9]{1,4}")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}|[0-9]{1,4}")
# The password in an address such as postgres://user:password@host or user:password@host, and in a list such as
# password=...;
# What stands before an image's digest is its tag.
ADDRESS = re.compile(r"(?<=//)[^\s/]*(?=@)|(?<=:)[^\s/]+(?=@(?!sha(256|512)\b))")
ASSIGNED = re.compile(r"""(?i)((?:password|passwd|pwd|secret|token|key)['"]?\s*[=:]\s*)('[^']*'|"[^"]*"|[^\s;&,}]+)""")


def setting(key: str, value: object) -> str:
    """Say what a setting is, as the beginning of a sentence: `is 3`. `key` may be a place such as secrets.KEY."""
    return HIDDEN_VALUE if _is_hidden(key.split(".")) else f"is {_short(without_passwords(repr(value)))}"


def text(value: object) -> str:
    """Return a text that is part of a setting, without quotes where it is easily read without them."""
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    return _short(without_passwords(str(value) if plain else repr(value)))


def key(parts: tuple[int | str, ...]) -> str:
    """Return the place of a setting; what is not a name, or is within a setting that is not shown, is left out."""
    hidden = False
    found = []
    for index, part in enumerate(parts):
        fitting = VARIABLE if hidden else NAME
        found.append(str(part) if fitting.fullmatch(str(part)) else "…")
        hidden = hidden or (part in HIDDEN and (part != "services" or index > 0))
    return ".".join(found)


def without_addresses(message: str) -> str:
    """Return a message of any check without the users and passwords in the addresses that it names."""
    return ADDRESS.sub("…", message)


def without_passwords(message: str) -> str:
    """Return a text without the passwords that are recognisable in it."""
    return ASSIGNED.sub(r"\1…", without_addresses(message))


def harmless(text: str) -> str:
    """Return a text whose characters do nothing to a terminal: a log can have what a stranger has sent."""
    return "".join(one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode() for one in text)


def printed(line: str) -> str:
    """Return a line that a program has printed as it may stand in a message: CI keeps its output, for many to read."""
    return harmless(without_passwords(line))


def _is_hidden(parts: list[str]) -> bool:
    if parts[0] == "services":
        # Below it are a name and a setting of that service.
        parts = parts[2:] or parts
    return parts[0] in HIDDEN


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
