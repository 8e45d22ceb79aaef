"""What `eval "$(spotfleet env)"` makes a shell do. Needs nothing but Python: it must work when all else fails."""

import os
import re
import shlex
from collections.abc import Mapping

# Variables that lead AWS's clients somewhere, or break them.
AWS_FAMILIES = ("AWS_", "BOTO")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Port 1 of this machine, where nothing listens.
NOWHERE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # A proxy would be asked otherwise.
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


def leading_to(variables: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return commands that set `variables`, and unset every other one of `environ` that AWS's clients read."""
    # A name that is none of the shell's cannot be unset, and no client reads it.
    unset = [name for name in environ if name.startswith(AWS_FAMILIES) and NAME.fullmatch(name)]
    lines = [f"unset {name}" for name in sorted(unset) if name not in variables]
    return lines + [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def leading_nowhere(environ: Mapping[str, str]) -> list[str]:
    """Return commands that leave no way to a real account, and fail: whatever follows must not go there by mistake."""
    return [*leading_to(NOWHERE, environ), "false"]
