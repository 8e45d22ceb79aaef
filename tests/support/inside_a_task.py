"""What a test does inside a task's container: given to its Python on standard input, it prints JSON.

    connect ADDRESS PORT      how a connection ends within two seconds
    ask SERVICE TARGET BODY   status and body of a request to AWS, signed with the task's credentials
    ask-as KEY SERVICE ...    the same, signed with another secret key
    environment               the container's variables
    metadata                  what the container is told about its task
    get URL, put URL          the status of the answer, or how the request ends within two seconds
    resolve NAME              the first address of a name, asked for at the VPC's name server

It knows the standard library alone, as a container has nothing of ours.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

CREDENTIALS = "http://169.254.170.2"
REGION = "eu-west-1"


def connect(address: str, port: str) -> str:
    """Return how a connection ends."""
    try:
        socket.create_connection((address, int(port)), timeout=2).close()
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return type(error).__name__
    return "connected"


def get(url: str) -> Any:  # noqa: ANN401  # any JSON
    """Return what is answered at a URL."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # the link-local address
        return json.load(response)


def status(method: str, url: str) -> int | str:
    """Return the status of an answer, or how the request ends."""
    try:
        request = urllib.request.Request(url, method=method)  # noqa: S310  # a link-local address
        with urllib.request.urlopen(request, timeout=2) as response:  # noqa: S310  # as above
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return str(error)


def resolve(name: str) -> str | None:
    """Return the address of a name by a question of our own (RFC 1035), past what /etc/resolv.conf says."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(5)
        server.sendto(question, ("169.254.169.253", 53))
        answer = server.recv(512)
    return socket.inet_ntoa(answer[-4:]) if answer[7] else None


def ask(service: str, target: str, body: str, secret: str = "") -> dict[str, Any]:
    """Return what AWS answers to a request in the JSON protocol."""
    credentials = get(CREDENTIALS + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        **{"content-type": "application/x-amz-json-1.0", "host": endpoint.removeprefix("http://"), "x-amz-date": now},
        **{"x-amz-security-token": credentials["Token"], "x-amz-target": target},
    }
    names, digest = ";".join(headers), hashlib.sha256(body.encode()).hexdigest()
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join(["POST", "/", "", *lines, "", names, digest])
    scope = f"{now[:8]}/{REGION}/{service}/aws4_request"
    signed = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret or credentials['SecretAccessKey']}".encode()
    for part in [*scope.split("/"), signed]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"Credential={credentials['AccessKeyId']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={key.hex()}"
    request = urllib.request.Request(f"{endpoint}/", body.encode(), headers)  # noqa: S310  # the link-local address
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
            return {"status": response.status, "body": json.load(response)}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": json.load(error)}


def main(verb: str, *arguments: str) -> Any:  # noqa: ANN401  # any JSON
    """Return what a verb has found out."""
    verbs: dict[str, Callable[..., Any]] = {
        "connect": connect,
        "ask": ask,
        "ask-as": lambda secret, service, target, body: ask(service, target, body, secret),
        "environment": lambda: dict(os.environ),
        "get": lambda url: status("GET", url),
        "put": lambda url: status("PUT", url),
        "resolve": resolve,
        "metadata": lambda: get(f"{os.environ['ECS_CONTAINER_METADATA_URI_V4']}/task"),
    }
    return verbs[verb](*arguments)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
