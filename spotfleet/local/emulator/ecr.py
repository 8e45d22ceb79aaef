"""ECR: the registry is on this machine's loopback address."""

import base64
import json
import os
from collections.abc import Callable
from http import HTTPStatus

from ministack.core.responses import (
    error_response_json,
    get_account_id,
)
from ministack.services import (
    ecr,
    ecs,
)

from spotfleet.local.emulator import access
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record, Response
from spotfleet.local.host import keys

USER = "AWS"


@extends(ecr, "_describe_images")
def telling_missing_images(original: Callable[[Record], Response], data: Record) -> Response:
    """Answer as ECR does when an image that was asked for by name is not there; MiniStack leaves it out."""
    status, headers, body = original(data)
    missing = [image for image in data.get("imageIds", []) if not ecr._find_image(data["repositoryName"], image)]
    if status >= HTTPStatus.BAD_REQUEST or not missing:
        return status, headers, body
    wanted = ", ".join(f"{key}:'{value}'" for key, value in sorted(missing[0].items()))
    text = f"The image with imageId {{{wanted}}} does not exist within the repository with name "
    text += f"'{data['repositoryName']}' in the registry with id '{get_account_id()}'"
    error: Response = error_response_json("ImageNotFoundException", text, HTTPStatus.BAD_REQUEST)
    return error


@replaces(ecr, "_repo_uri")
def repository_uri(name: str) -> str:
    """Name repositories 127.0.0.1:<port>/<name>: Docker reaches that without a name server and without TLS.

    Not localhost: on a machine where that is ::1 as well, another user can listen there for logins and images.
    """
    return f"{_address()}/{name}"


@extends(ecr, "_get_authorization_token")
def with_proxy_endpoint(original: Callable[[Record], Response], data: Record) -> Response:
    """Give the login of the registry that is here."""
    status, headers, body = original(data)
    answer = json.loads(body)
    login = base64.b64encode(f"{USER}:{keys.of_registry(access.key)}".encode()).decode()
    for entry in answer["authorizationData"]:
        entry |= {"proxyEndpoint": f"http://{_address()}", "authorizationToken": login}
    return status, headers, json.dumps(answer).encode()


@extends(ecs, "_resolve_repository_credentials")
def with_login(original: Callable[[Record], Record | None], container: Record) -> Record | None:
    """Let tasks pull from the registry that is here."""
    if not container.get("image", "").startswith(f"{_address()}/"):
        return original(container)
    return {"username": USER, "password": keys.of_registry(access.key)}


def manifest_and_configuration(image: str) -> tuple[bytes, bytes] | None:
    """Return what was pushed here of an image, named with its tag or its digest: its manifest and its configuration."""
    name, _at, digest = image.removeprefix(f"{_address()}/").partition("@")
    name, _colon, tag = name.partition(":")
    if not image.startswith(f"{_address()}/"):
        return None
    found = ecr._find_image(name, {"imageDigest": digest} if digest else {"imageTag": tag})
    manifest = found["imageManifest"].encode() if found else b""
    blob = json.loads(manifest or "{}").get("config", {}).get("digest")
    configuration: bytes | None = ecr._layer_blobs.get(name, {}).get(blob)
    return (manifest, configuration) if configuration else None


def _address() -> str:
    return f"127.0.0.1:{os.environ['GATEWAY_PORT']}"
