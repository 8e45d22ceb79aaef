"""What a test needs to be answered by the embedded AWS of a folder: its key, and requests signed with it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from spotfleet.local.api import embedded_aws, signature


def key(folder: Path, port: int) -> str:
    """Return the key of the embedded AWS on `port` of the project in `folder`."""
    return (folder / ".local" / str(port) / "key").read_text()


def ask(folder: Path, port: int, path: str) -> dict[str, Any]:
    """Return what the embedded AWS itself, not one of AWS's services, answers to a signed question.

    Raises OSError when it does not run, or refuses.
    """
    headers = {"host": f"127.0.0.1:{port}"}
    headers |= signature.sign(signature.Request("GET", path, headers, b""), embedded_aws.OWN_SCOPE, key(folder, port))
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)  # ours
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # ours
        answer: dict[str, Any] = json.load(response)
    return answer
