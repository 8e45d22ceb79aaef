"""The gate before the embedded AWS: who may ask, and what.

A request passes when no web page of elsewhere can have made a browser send it, when it is signed with the key of this
start, which only the user who started the embedded AWS can read, and when it asks for an operation that is used here.
docs/security.md says against whom each of these stands.
"""

import base64
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Any

from spotfleet.local.api import signature
from spotfleet.local.api.signature import Request, Scope, Unsigned
from spotfleet.local.emulator import operations
from spotfleet.local.emulator.operations import NotAnswered, Operation
from spotfleet.local.host import keys

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

# Where Docker pushes and pulls, https://distribution.github.io/distribution/spec/api/: MiniStack has more below /v2/.
REGISTRY_PATH = "/v2/"
REGISTRY_TARGET = re.compile(
    r"/v2/?(?:_catalog|(?!email/)[a-z0-9]+(?:[._/-]+[a-z0-9]+)*/(?:blobs|manifests|tags)/[\w.:=/-]*)?"
    r"(?:\?(?:(?:digest|from|last|mount|n|ns|_state)=[\w.:%/-]*&?)*)?"
)
# By these MiniStack takes a request for one to another service, wherever it goes.
STRANGE_TO_REGISTRIES = {"x-amz-target", "x-amz-decoded-content-length", "x-amz-trailer"}
REGISTRY_USER = "AWS"
# Templates have 1 MB at the most; layers of images, which are larger, are not read here.
MOST_BODY_BYTES = 8 * 1024 * 1024
# Of these a second one could be read where the first one was checked.
ONCE = {b"host", b"origin", b"authorization", b"x-amz-target", b"x-amz-date", b"x-amz-content-sha256", b"content-type"}
UNAUTHORIZED = 401
HARMLESS_FETCH_SITES = (None, "none", "same-origin")


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818  # it is an answer
    """A request that is not answered: status, AWS's code for it, and why in one sentence."""

    status: int
    code: str
    reason: str


def names_of(port: int) -> tuple[str, str]:
    """Return the names under which programs of this machine reach the embedded AWS."""
    return f"127.0.0.1:{port}", f"localhost:{port}"


def require_local(headers: Headers, path: str, names: Sequence[str]) -> None:
    """Raise Refusal for what a web page of elsewhere can make a browser send, whatever it is.

    A page that has led its own name here (DNS rebinding) shows by Host; one that sends a form or loads a picture by
    Origin or Sec-Fetch-Site, https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site. Browsers
    that know neither of these are stopped by the signature.
    """
    found = [name.lower() for name, _value in headers]
    if any(found.count(name) > 1 for name in ONCE):
        raise Refusal(400, "MalformedHttpRequest", "A header that decides something is there twice.")
    values = as_text(headers)
    host = values.get("host", "").lower()
    if host not in names or not path.startswith("/"):
        raise Refusal(403, "AccessDenied", f"This is {names[0]}, and no other host.")
    if values.get("origin", f"http://{host}") != f"http://{host}":
        raise Refusal(403, "AccessDenied", "Web pages of other origins are not answered.")
    if values.get("sec-fetch-site") not in HARMLESS_FETCH_SITES:
        raise Refusal(403, "AccessDenied", "Web pages of other sites are not answered.")


def as_text(headers: Headers) -> dict[str, str]:
    """Return headers by name in lower case; where one stands twice they are one list, RFC 9110 5.3."""
    values: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        values[key] = f"{values[key]},{value.decode('latin-1')}" if key in values else value.decode("latin-1")
    return values


def require_form(request: Request) -> None:
    """Raise Refusal when the headers of a request already tell that it is not signed: its body need not be read."""
    try:
        signature.scope_of(request)
    except Unsigned as error:
        raise _unsigned(error) from error
    if int(request.headers.get("content-length") or 0) > MOST_BODY_BYTES:
        raise _too_large()


def _unsigned(error: Unsigned) -> Refusal:
    reason = f'{error} Programs get the key with: eval "$(spotfleet env)", anew after each start.'
    return Refusal(403, "SignatureDoesNotMatch", reason)


def _too_large() -> Refusal:
    return Refusal(413, "RequestEntityTooLarge", f"A request has {MOST_BODY_BYTES} bytes at the most.")


def require_answered(request: Request, key: str) -> tuple[Scope, Operation]:
    """Return by whom and for what an AWS request is. Raises Refusal when it is unsigned, or asks for anything else."""
    try:
        scope = signature.check(request, key)
    except Unsigned as error:
        raise _unsigned(error) from error
    try:
        return scope, operations.require_answered(request, scope.service)
    except NotAnswered as error:
        raise Refusal(400, "AccessDeniedException", f"The embedded AWS does not answer this: {error}.") from error


def require_signed_for(request: Request, scope: Scope, key: str) -> None:
    """Raise Refusal unless a request to the embedded AWS itself, not to AWS, is signed."""
    try:
        signed_for = signature.check(request, key)
    except Unsigned as error:
        raise Refusal(403, "SignatureDoesNotMatch", f"{error} The live page's address is what `up` printed.") from error
    if signed_for != scope or request.method != "GET":
        raise Refusal(403, "AccessDenied", "This is answered to the project's own commands only.")


def is_registry(path: str) -> bool:
    """Return whether a request is meant for the registry."""
    return path.startswith(REGISTRY_PATH)


def require_registry(target: str, headers: Headers, key: str) -> None:
    """Raise Refusal unless a request is one to the registry, with the user name and password that ECR has given out."""
    expected = "Basic " + base64.b64encode(f"{REGISTRY_USER}:{keys.of_registry(key)}".encode()).decode()
    if not hmac.compare_digest(as_text(headers).get("authorization", "").encode(), expected.encode()):
        raise Refusal(UNAUTHORIZED, "UNAUTHORIZED", "Log in with what ecr:GetAuthorizationToken gives.")
    if not REGISTRY_TARGET.fullmatch(target) or STRANGE_TO_REGISTRIES & as_text(headers).keys():
        raise Refusal(404, "UNSUPPORTED", "The registry has nothing there.")


def has_page_key(headers: Headers, key: str) -> bool:
    """Return whether a request comes from the live page that the user has opened with its key."""
    given = as_text(headers).get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {keys.of_page(key)}".encode())


def answer(refusal: Refusal, headers: Headers) -> tuple[bytes, bytes]:
    """Return content type and body of a refusal, in the form that the client of the service understands."""
    values = as_text(headers)
    service = ""
    with suppress(Unsigned):
        service = signature.scope_of(Request("", "", values, b"")).service
    if "smithy-protocol" in values:
        return b"application/cbor", _cbor({"__type": refusal.code, "message": refusal.reason})
    if "x-amz-target" in values:
        body = json.dumps({"__type": refusal.code, "message": refusal.reason})
        return b"application/x-amz-json-1.1", body.encode()
    if refusal.status == UNAUTHORIZED:
        return b"application/json", json.dumps({"errors": [{"code": refusal.code, "message": refusal.reason}]}).encode()
    if not service:
        return b"text/plain; charset=utf-8", f"{refusal.reason}\n".encode()
    error = f"<Code>{refusal.code}</Code><Message>{escape(refusal.reason)}</Message>"
    if service == "ec2":
        body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>0</RequestID></Response>"
    elif service == "s3":
        body = f"<Error>{error}<RequestId>0</RequestId></Error>"
    else:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>0</RequestId></ErrorResponse>"
    return b"text/xml", body.encode()


def _cbor(texts: dict[str, str]) -> bytes:
    """Return a map of a few short texts as CBOR, RFC 8949."""
    items = [text.encode() for item in texts.items() for text in item]
    return bytes([0xA0 + len(texts)]) + b"".join(b"\x79" + len(item).to_bytes(2, "big") + item for item in items)


async def read_body(receive: Receive) -> bytes:
    """Return the body of a request. Raises Refusal when it is larger than any that is used here."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "IncompleteBody", "The request ended before its body.")
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return bytes(body)


def again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, and after it what comes next."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
