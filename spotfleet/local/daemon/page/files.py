"""What a browser loads to show the live page: the page itself, its scripts and styles, and the charting library.

All of it is the same for everybody and tells nothing: what the page shows, it asks for with the key in its address.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spotfleet.local.api import embedded_aws

PAGE = Path(__file__).with_name("page.html")
FOLDER = Path(__file__).with_name("browser")
VENDOR = "vendor/"
KINDS = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
# Asked for anew each time, and not sent again when it is still the same.
CHECKED = b"no-cache"
# The version is in the path, so that what is there never changes.
FOR_GOOD = b"private, max-age=31536000, immutable"

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    kind: bytes
    content: bytes
    caching: bytes

    @property
    def tag(self) -> bytes:
        """What changes with the content, for a browser that has an older one."""
        return b'"%s"' % hashlib.sha256(self.content).hexdigest().encode()


@functools.cache
def files() -> dict[str, File]:
    """Return all files by their path in an address; no other path leads to a file."""
    found = {embedded_aws.PAGE_PATH: File(KINDS[".html"], PAGE.read_bytes(), CHECKED)}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in KINDS:
            name = path.relative_to(FOLDER).as_posix()
            caching = FOR_GOOD if name.startswith(VENDOR) else CHECKED
            found[f"{embedded_aws.PAGE_PATH}/{name}"] = File(KINDS[path.suffix], path.read_bytes(), caching)
    return found


def policy(host: str) -> bytes:
    """Return what a browser keeps to on the page: files from beside it, and nothing from elsewhere.

    By their path, because the same origin answers for all of AWS. Markup made of text, as in innerHTML, is refused
    too. `host` is one of the embedded AWS's own names, which the gate has seen to.
    https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP
    """
    own = f"http://{host}{embedded_aws.PAGE_PATH}/"
    rules = {
        "default-src": "'none'",
        "connect-src": "'self'",
        **{f"{kind}-src": own for kind in ("script", "style", "img")},
        **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items()).encode()


def answer(path: str, headers: Mapping[str, str]) -> tuple[int, Headers, bytes] | None:
    """Return status, headers and body of what is at a path of an address, or None when no file of the page is there.

    `headers` are the request's, by name in lower case.
    """
    file = files().get(path)
    if file is None:
        return None
    more = [
        (b"content-type", file.kind),
        (b"cache-control", file.caching),
        (b"etag", file.tag),
        (b"content-security-policy", policy(headers.get("host", ""))),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if headers.get("if-none-match", "").encode() == file.tag:
        return 304, more, b""
    return 200, [*more, (b"content-length", str(len(file.content)).encode())], file.content
