"""Makes Jinja's filter `tojson` write any value so that YAML reads the same one back: config/config.yaml adds it."""

import json
import math
import re

from jinja2 import Environment
from jinja2.ext import Extension

NOT_ASCII = re.compile(r"[^ -~]")
LAST_OF_FOUR_DIGITS = 0xFFFF
# A longer key has to be announced, https://yaml.org/spec/1.1/#id934537; its escapes count.
LONGEST_SIMPLE_KEY = 1000


class Quoting(Extension):
    """Lets `tojson` write YAML, of which JSON is nearly a part, for every file in config/ and templates/."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.policies["json.dumps_function"] = dumps


def dumps(value: object, **_options: object) -> str:
    """Return a value on one line of ASCII that YAML reads as the same value, https://yaml.org/spec/1.1/#id872840.

    JSON alone writes an emoji as two escapes, which YAML reads as two characters, and leaves some line breaks of YAML
    as they are. What YAML knows beside JSON's types, such as a date, becomes text: !valid_settings refuses it by name.
    Maps are in the order of their keys, so that a value is always written alike.
    """
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(key)}: {dumps(value[key])}" for key in sorted(value, key=str)) + "}"
        case list() | tuple() | range():
            return "[" + ", ".join(map(dumps, value)) + "]"
        case bool() | int() | None:
            return json.dumps(value)
        case float() if math.isfinite(value):
            return json.dumps(value)
    return NOT_ASCII.sub(_escaped, json.dumps(str(value), ensure_ascii=False))


def _key(key: object) -> str:
    text = dumps(str(key))
    return text if len(text) <= LONGEST_SIMPLE_KEY else f"? {text}"


def _escaped(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\u{code:04x}" if code <= LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
