"""Reads a file of variables as `docker run --env-file` does, and refuses what it would not take.

https://docs.docker.com/reference/cli/docker/container/run/#env: a line is a name, =, and the value to the end of the
line as it is, with its quotes, spaces and # characters; a line that begins with # is a comment. Compose and shells read
the same file otherwise.
"""

import re
from pathlib import Path

from spotfleet.facts import aws_names

# What a name has in it, or ends in, whose value should be in no file of the project: PGPASSWORD, SECRET_KEY_BASE.
SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|API_?KEY|TOKENS?($|[0-9])|(^|_)TOKEN_|(^|_)(PASS|PWD|DSN)(_|$|[0-9])|(^|_)KEY$",
    re.IGNORECASE,
)
# Ends that look so and are none.
PUBLIC = re.compile(r"(.*_)?(PUBLIC|PUBLISHABLE|SITE)_KEY", re.IGNORECASE)
# An address with a password in it, such as postgres://user:password@host.
PASSWORD_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@", re.IGNORECASE)
LARGEST_BYTES = 64 * 1024


def read(project: Path, name: str) -> dict[str, str]:
    """Return the variables of a file of the project.

    Raises ValueError, in one line without any value, where there is no such file, a line is not as Docker wants it, or
    a name or value looks secret.
    """
    try:
        text = (project / name).read_bytes()[: LARGEST_BYTES + 1].decode()
    except OSError as error:
        raise ValueError(
            f"names a file that cannot be read ({error.strerror}): give its path in the project"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError("names a file that is not in UTF-8") from error
    if len(text.encode()) > LARGEST_BYTES:
        raise ValueError(f"names a file of more than {LARGEST_BYTES} bytes, and a task definition holds no more")
    variables = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.removesuffix("\r").lstrip()
        if stripped and not stripped.startswith("#"):
            name_of_it, value = _variable(stripped, number)
            variables[name_of_it] = value
    return variables


def looks_secret(name: str) -> bool:
    """Return whether a variable of that name usually holds what nobody else may know."""
    return bool(SECRET.search(name)) and not PUBLIC.fullmatch(name)


def holds_password(value: str) -> bool:
    """Return whether a value is an address with a password in it."""
    return bool(PASSWORD_IN_ADDRESS.match(value.strip("'\"")))


def _variable(line: str, number: int) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not aws_names.VARIABLE.fullmatch(name):
        hint = ", without export" if name.startswith("export ") else ""
        raise ValueError(f"has no name such as LOG_LEVEL and = in line {number}{hint}")
    if not equals:
        raise ValueError(
            f"has {name} without = in line {number}: Docker takes such a value from the shell that starts it, and ECS "
            "has none"
        )
    if looks_secret(name) and value:
        raise ValueError(
            f"holds {name} in line {number}, which looks secret, and would be readable in the task definition: put it "
            "into the setting secrets, as a parameter of SSM or a secret of Secrets Manager, or into "
            "environment_variables if everybody may know it"
        )
    if holds_password(value):
        raise ValueError(f"holds an address with a password in line {number} ({name}): put it into the setting secrets")
    return name, value
