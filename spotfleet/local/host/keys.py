"""The key of a running embedded AWS: who can read it may ask, and nobody else may.

It is made anew at each start, in a file that only its owner can read. Programs sign their requests with it, as they
sign requests to AWS with a secret access key. What else needs a secret, the live page and Docker's login to the
registry, gets one that is derived from it and is of no use elsewhere.
"""

import hashlib
import hmac
import os
import secrets

from spotfleet.local.host import paths

# AWS's own secret access keys have 40 characters.
KEY_BYTES = 30

# The key where this process is the embedded AWS.
_held: str | None = None


def make() -> str:
    """Make the key of an embedded AWS that starts, in the place of the last one's, and return it."""
    file = paths.key_file()
    file.unlink(missing_ok=True)
    key = secrets.token_urlsafe(KEY_BYTES)
    # The mode counts from the first moment on, and nobody can have put a link there.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as handle:
        handle.write(key)
    return key


def hold(key: str) -> None:
    """Take this process for the embedded AWS of a key: its parts ask all day, and need not read the file each time."""
    global _held  # noqa: PLW0603  # one embedded AWS a process
    _held = key


def read() -> str | None:
    """Return the key of the embedded AWS that runs, or None when none runs or it is another user's."""
    if _held:
        return _held
    try:
        return paths.key_file().read_text() or None
    except OSError:
        return None


def forget() -> None:
    """Remove the key of an embedded AWS that has stopped."""
    global _held  # noqa: PLW0603  # as above
    _held = None
    paths.key_file().unlink(missing_ok=True)


def of_page(key: str) -> str:
    """Return the secret with which the live page asks for its figures."""
    return _derived(key, "page")


def of_registry(key: str) -> str:
    """Return the password of Docker's login to the registry."""
    return _derived(key, "registry")


def proof(key: str, nonce: str, path: str, content: bytes) -> str:
    """Return what shows that who has the key has answered `content` to the question with `nonce` at `path`."""
    return _derived(key, f"answer {nonce} {path} {hashlib.sha256(content).hexdigest()}")


def _derived(key: str, purpose: str) -> str:
    return hmac.new(key.encode(), purpose.encode(), hashlib.sha256).hexdigest()
