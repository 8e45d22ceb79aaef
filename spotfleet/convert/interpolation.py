"""Variables in Compose files: ${NAME}, ${NAME:-default} and the like.

https://docs.docker.com/reference/compose-file/interpolation/
"""

import re

NAMED = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])((?:[^{}]|\{[^{}]*\})*))?\})")


def filled(value: object, seen: dict[str, str | None]) -> object:
    """Return a value with its variables' defaults in their place; `seen` gets each variable with what it became.

    Whatever this machine's own variables say stays out: it may be secret, and another machine's are others.
    """
    if isinstance(value, dict):
        return {key: filled(one, seen) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, seen) for one in value]
    return NAMED.sub(lambda found: _value(found, seen), value) if isinstance(value, str) else value


def _value(found: re.Match[str], seen: dict[str, str | None]) -> str:
    plain, name, operator, rest = found.groups()
    if not (plain or name):
        return "$"
    default = str(filled(rest or "", seen)) if operator in (":-", "-") else None
    seen[plain or name] = default
    return default or ""
