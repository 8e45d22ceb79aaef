"""What files to convert hold as text: commands, durations, sizes, variables, and what looks secret in them."""

import re
import shlex
from collections.abc import Iterator

from spotfleet.convert.part import ConversionError
from spotfleet.settings import environment_file

SHELL = re.compile(r"&&|\|\||[|;<>`]|\$\(|\$\{?\w")
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
MIB = {"": 1 / 2**20, "k": 1 / 2**10, "m": 1, "g": 2**10, "t": 2**20}


def command(value: object, where: str) -> list[str]:
    """Return a command as a list of words, as all three formats split it: no shell reads it.

    Raises ConversionError for what only a shell can run.
    """
    if isinstance(value, list):
        return [str(word) for word in value]
    try:
        words = shlex.split(str(value))
    except ValueError as error:
        raise ConversionError(f"{where} is no command: {error}.") from None
    if words[:1] and words[0].rpartition("/")[2] not in ("sh", "bash", "ash") and SHELL.search(str(value)):
        raise ConversionError(
            f"{where} has what only a shell understands: write it as [sh, -c, …], with `exec` before the last program, "
            "so that it hears SIGTERM."
        )
    return words


def health_command(told: object) -> list[str]:
    """Return a health check as the words of a program: ECS puts CMD before them, and text needs the image's shell."""
    words = [str(word) for word in told] if isinstance(told, list) else ["CMD-SHELL", str(told)]
    if words[:1] == ["CMD-SHELL"]:
        return ["/bin/sh", "-c", *words[1:]]
    return words[1:] if words[:1] == ["CMD"] else words


def seconds(value: object, where: str) -> float:
    """Return a duration such as 90, 90s or 1m30s in seconds. Raises ConversionError for another text."""
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    found = DURATION.fullmatch(text)
    if not found or not text:
        raise ConversionError(f"{where} must be a duration such as 1m30s, not {text!r}.")
    hours, minutes, whole, thousandths = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + whole + thousandths / 1000


def mib(value: object, where: str) -> float:
    """Return a size such as 512m, 1gb or a number of bytes in MiB. Raises ConversionError for another text."""
    found = SIZE.fullmatch(str(value).strip())
    if not found:
        raise ConversionError(f"{where} must be a size such as 512m, not {str(value)!r}.")
    return float(found[1]) * MIB[found[2].lower()]


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable looks as if nobody else may know its value."""
    return bool(value) and (environment_file.looks_secret(name) or environment_file.holds_password(value))


def variables_of_file(text: str, quoted: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the variables of an environment file: as Docker and ECS read it, where quotes are part of the value.

    With `quoted` as Compose reads it: quotes go, and so does what follows a # behind a space.
    """
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if name.strip() and not name.startswith("#") and equals:
            yield name.strip(), _unquoted(value.strip()) if quoted else value


def _unquoted(value: str) -> str:
    for quote in "\"'":
        if value.startswith(quote) and quote in value[1:]:
            return value[1 : value.index(quote, 1)]
    return value.partition(" #")[0].rstrip()


def parameter_name(service: str, variable: str, environment: str) -> str:
    """Return the name of the SSM parameter that is to hold a variable's value."""
    return f"/{environment}/{service}/{variable.lower().replace('_', '-')}"
