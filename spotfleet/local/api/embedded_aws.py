"""Finds the embedded AWS that runs here, and asks it who it is and what it shows."""

import hmac
import http.client
import json
import secrets
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from spotfleet.local.api import signature
from spotfleet.local.api.signature import Scope
from spotfleet.local.backchannel import changes
from spotfleet.local.host import keys, paths

# Where the server says who it is, and, with an environment's name behind it, what that consists of.
IDENTITY_PATH = "/_spotfleet"
STATUS_PATH = "/_spotfleet/status/"

# The live page, and with .json behind it what it shows.
PAGE_PATH = "/_spotfleet/page"

# With which a program says something that only a server with the key can make its answer from.
NONCE_HEADER = "x-spotfleet-nonce"
PROOF_HEADER = "x-spotfleet-proof"

# What questions to the server itself are signed for: no service of AWS.
OWN_SCOPE = Scope("local", "local", "spotfleet")
MOST_ANSWER_BYTES = 64 * 1024 * 1024
ANSWER_SECONDS = 5
# The server asks many questions for it, beside whatever else it does.
STATUS_SECONDS = 60


# The regions that `regions` found, and what had changed until then.
_regions: tuple[changes.Version | None, list[str]] = (None, [])


# What it says about itself, where this process is the embedded AWS: its parts need not ask over HTTP.
_here: Callable[[], dict[str, Any]] | None = None


def runs_here(identity: Callable[[], dict[str, Any]]) -> None:
    """Take this process for the embedded AWS, which says of itself what `identity` returns."""
    global _here  # noqa: PLW0603  # one embedded AWS a process
    _here = identity


def find() -> dict[str, Any] | None:
    """Return what the embedded AWS of this repository says about itself, or None when it does not run."""
    if _here:
        return _here()
    identity = _ask(IDENTITY_PATH)
    return identity if identity is not None and identity.get("folder") == str(paths.ROOT) else None


def status(name: str) -> dict[str, Any] | None:
    """Return what an environment consists of, as the server answers it, or None when the embedded AWS does not run."""
    answer = _ask(STATUS_PATH + quote(name), STATUS_SECONDS)
    return answer if answer is not None and answer.get("folder") == str(paths.ROOT) else None


def page_url() -> str:
    """Return the address of the live page, with its key behind the #: a browser sends that to nobody."""
    return f"{paths.endpoint()}{PAGE_PATH}#{keys.of_page(keys.read() or '')}"


def _ask(path: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any] | None:
    """Return the JSON object that the embedded AWS answers, or None when it, or something else there, does not.

    Who listens there without the key, another user of the machine for instance, is something else.
    """
    key = keys.read()
    if key is None:
        return None
    nonce = secrets.token_hex(16)
    headers = {"host": paths.endpoint().removeprefix("http://"), NONCE_HEADER: nonce}
    headers |= signature.sign(signature.Request("GET", path, headers, b""), OWN_SCOPE, key)
    request = urllib.request.Request(paths.endpoint() + path, headers=headers)  # noqa: S310  # ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(request, timeout=seconds) as response:
            told, content = response.headers.get(PROOF_HEADER, ""), response.read(MOST_ANSWER_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    # Nothing of an answer is looked into before it is known whose it is.
    if not hmac.compare_digest(told.encode(), keys.proof(key, nonce, path, content).encode()):
        return None
    answer: dict[str, Any] = json.loads(content)
    return answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a signed question is for the embedded AWS alone."""

    def redirect_request(self, *_arguments: object) -> None:
        """Return no other request, which makes the redirection an error."""


def regions() -> list[str]:
    """Return the regions in which the embedded AWS has stacks.

    Raises ConnectionError when it does not answer: that must never look like an AWS in which nothing is left.
    """
    global _regions  # noqa: PLW0603  # of the one embedded AWS
    version = changes.version()
    if version is None or _regions[0] != version:
        identity = find()
        if identity is None:
            raise ConnectionError("the embedded AWS does not answer")
        _regions = version, sorted({stack["region"] for stack in identity["stacks"]})
    return list(_regions[1])
