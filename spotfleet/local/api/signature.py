"""The signature of a request to AWS (Signature Version 4): made and checked with the key of the embedded AWS.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<access_key>[\w-]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request, *"
    r"SignedHeaders=(?P<headers>[a-z0-9;_-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
# As AWS has it.
LONGEST_DIFFERENCE = timedelta(minutes=15)
# Without these in it a signature could be used for another request; the last two where they are there.
ALWAYS_SIGNED = {"host", "x-amz-date"}
SIGNED_IF_THERE = re.compile(r"x-amz-.*|content-type")


class Unsigned(Exception):  # noqa: N818  # it is what is told to the client
    """A request that the holder of the key did not make; its text says why."""


@dataclass(frozen=True)
class Request:
    """What of a request is signed. Names of headers are in lower case, each once; `target` is path and query, raw."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Scope:
    """What a signature is for."""

    access_key: str
    region: str
    service: str


def scope_of(request: Request) -> Scope:
    """Return what a request says that it was signed for, without checking that. Raises Unsigned."""
    found = _authorization(request)
    return Scope(found["access_key"], found["region"], found["service"])


def check(request: Request, key: str, now: datetime | None = None) -> Scope:
    """Return what a request was signed for with `key`, whatever the access key id. Raises Unsigned."""
    found = _authorization(request)
    signed = set(found["headers"].split(";"))
    needed = ALWAYS_SIGNED | set(filter(SIGNED_IF_THERE.fullmatch, request.headers))
    if not needed <= signed <= request.headers.keys():
        raise Unsigned("SignedHeaders must name host, content-type, every x-amz- header, and none that is not there.")
    _check_time(request.headers["x-amz-date"], found["date"], now or datetime.now(UTC))
    _check_body(request)
    scope = Scope(found["access_key"], found["region"], found["service"])
    expected = _signature(request, signed, scope, key)
    if not hmac.compare_digest(expected, found["signature"]):
        raise Unsigned("The signature was not made with the key of the embedded AWS that runs.")
    return scope


def sign(request: Request, scope: Scope, key: str, now: datetime | None = None) -> dict[str, str]:
    """Return the headers to add to a request so that `check` accepts it."""
    time = (now or datetime.now(UTC)).strftime(TIME_FORMAT)
    headers = {**request.headers, "x-amz-date": time}
    dated = Request(request.method, request.target, headers, request.body)
    signature = _signature(dated, set(headers), scope, key)
    credential = f"{scope.access_key}/{time[:8]}/{scope.region}/{scope.service}/aws4_request"
    names = ";".join(sorted(headers))
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {"x-amz-date": time, "authorization": authorization}


def _authorization(request: Request) -> re.Match[str]:
    found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Unsigned("The request is not signed with AWS4-HMAC-SHA256 in its header Authorization.")
    return found


def _check_time(time: str, date: str, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(time, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise Unsigned("X-Amz-Date is no time such as 20261126T120000Z.") from None
    if not time.startswith(date) or abs(now - signed_at) > LONGEST_DIFFERENCE:
        raise Unsigned("The signature is not of the last 15 minutes.")


def _check_body(request: Request) -> None:
    told = request.headers.get("x-amz-content-sha256")
    if told is not None and told != hashlib.sha256(request.body).hexdigest():
        raise Unsigned("X-Amz-Content-SHA256 is not the hash of the body.")


def _signature(request: Request, signed: set[str], scope: Scope, key: str) -> str:
    headers = {name: request.headers[name] for name in signed}
    if "x-amz-content-sha256" in request.headers:
        headers["x-amz-content-sha256"] = request.headers["x-amz-content-sha256"]
    url = f"http://{request.headers['host']}{request.target}"
    aws_request = AWSRequest(method=request.method, url=url, headers=headers, data=request.body)
    aws_request.context["timestamp"] = request.headers["x-amz-date"]
    # S3 alone takes paths as they are.
    signer = S3SigV4Auth if scope.service == "s3" else SigV4Auth
    auth = signer(Credentials(scope.access_key, key), scope.service, scope.region)
    canonical = auth.canonical_request(aws_request)
    signature: str = auth.signature(auth.string_to_sign(aws_request, canonical), aws_request)
    return signature
