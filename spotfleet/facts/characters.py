"""Characters that no text of a setting may hold: AWS refuses them, or they stand for a line break where none may be."""

import unicodedata
from collections.abc import Iterator
from typing import Any

# Settings whose text may have several lines.
OF_LINES = {"environment_variables", "extra_user_data"}
LINES = "\t\n\r"
# Options of Jinja, not text for AWS.
FREE = {"j2_environment"}
# Control characters, halves of characters (from a variable that is not UTF-8), and separators of lines and paragraphs.
UNFIT = {"Cc", "Cs", "Zl", "Zp"}
NOT_CHARACTERS = {0xFFFE, 0xFFFF}


def problems(config: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the place of each setting with such a character, and what is wrong with it."""
    for name, value in config.items():
        if name == "services" and isinstance(value, dict):
            for service, own in value.items():
                inner = own if isinstance(own, dict) else {str(service): own}
                yield from (((name, str(service), *place), problem) for place, problem in problems(inner))
        elif name not in FREE and (found := _unfit(value, LINES if name in OF_LINES else "")):
            yield (str(name),), found


def _unfit(value: object, allowed: str) -> str | None:
    for text in _texts(value):
        for character in text:
            if character not in allowed and _is_unfit(character):
                name = "a line break" if character in "\r\n" else f"the character U+{ord(character):04X}"
                return f"must not hold {name}"
    return None


def _is_unfit(character: str) -> bool:
    return unicodedata.category(character) in UNFIT or ord(character) & 0xFFFF in NOT_CHARACTERS


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
