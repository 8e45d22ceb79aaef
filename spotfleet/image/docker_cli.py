"""Builds and pushes images with a docker command that has BuildKit."""

import json
import os
import re
import ssl
import tempfile
from pathlib import Path

from sceptre.exceptions import SceptreException

from spotfleet.image import build_context, docker_command, docker_config
from spotfleet.image.docker_command import Report
from spotfleet.image.image import Image

# Where Linux distributions, and macOS, keep the certificates that the machine trusts.
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
# The last release whose client has BuildKit built in; later ones need the buildx plugin.
LAST_RELEASE_WITH_BUILDKIT = 22


def find_docker() -> str:
    """Return the path of the first docker command that can build with BuildKit and reach an engine.

    A machine can have several: a client without the buildx plugin may stand before one that has BuildKit built in.
    Raises SceptreException when there is none, or when no engine answers it.
    """
    clients = list(docker_command.clients())
    if not clients:
        raise SceptreException(docker_command.NOT_FOUND)
    client = next((each for each in clients if _has_buildx(each) or _has_buildkit(each)), None)
    if client is None:
        raise SceptreException(
            f"{clients[0]} cannot build with BuildKit: install the docker-buildx-plugin package, then launch again."
        )
    docker_command.require_engine(client)
    return client


def build(docker: str, image: Image, report: Report) -> None:
    """Build `image`, passing each build step to `report`.

    The build gets the certificates that this machine trusts as the secret `ca_bundle`: behind a proxy that re-signs
    TLS, pip could not install anything otherwise.
    Raises SceptreException, after the end of the output has gone to `report`, when the build fails.
    """
    command = [docker, "build", "--progress", "plain", "--platform", image.platform]
    command += ["--build-arg", f"BASE_IMAGE={image.base.reference}", "--tag", image.uri]
    if image.dockerfile != build_context.DOCKERFILE:
        command += ["--file", str(image.context / image.dockerfile)]
    if image.target:
        command += ["--target", image.target]
    for name, value in image.arguments:
        command += ["--build-arg", f"{name}={value}"]
    if _builds_with_buildx(docker):
        # A builder in a container of its own would keep the image to itself.
        command.append("--load")
    if bundle := ca_bundle():
        command += ["--secret", f"id=ca_bundle,src={bundle}"]
    # Without attestations the tag names the image itself, not an index around it.
    environment = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    docker_command.run(
        [*command, str(image.context)], environment, report, f"Building {image.uri} failed; the stack was not touched"
    )


def push(docker: str, uri: str, registry_token: str, report: Report) -> str | None:
    """Push the image `uri` with a registry token as ECR gives it; return the digest that docker says it pushed.

    The token is kept in a folder that goes with the call, so the user's own Docker login is neither used nor changed.
    Raises SceptreException, after the end of the output has gone to `report`, when the push fails.
    """
    with tempfile.TemporaryDirectory(prefix="spotfleet-docker-") as folder:
        _write_docker_config(Path(folder), uri.partition("/")[0], registry_token)
        lines = docker_command.run(
            [docker, "push", uri], {"DOCKER_CONFIG": folder}, report, f"Pushing {uri} failed; the stack was not touched"
        )
    digests = [found[1] for line in lines if (found := re.search(r"digest: (sha256:[0-9a-f]{64})", line))]
    return digests[-1] if digests else None


def ca_bundle() -> str | None:
    """Return the path of the certificates that this machine trusts, or None where none is found.

    The environment variable SSL_CERT_FILE, which OpenSSL reads as well, comes first.
    """
    candidates = (ssl.get_default_verify_paths().cafile, *CA_BUNDLES)
    return next((path for path in candidates if path and Path(path).is_file()), None)


def _has_buildx(client: str) -> bool:
    return docker_command.output(client, "buildx", "version").returncode == 0


def _has_buildkit(client: str) -> bool:
    release = _release(client)
    return release is not None and release <= LAST_RELEASE_WITH_BUILDKIT


def _release(client: str) -> int | None:
    version = re.search(r"version (\d+)\.", docker_command.output(client, "--version").stdout)
    return int(version[1]) if version else None


def _builds_with_buildx(client: str) -> bool:
    """Return whether `docker build` is the plugin's: in later releases always, once where `buildx install` was run."""
    return _has_buildx(client) and (docker_config.build_is_buildx() or not _has_buildkit(client))


def _write_docker_config(folder: Path, registry: str, token: str) -> None:
    """Write a Docker configuration that logs in to `registry` and reaches the same engine as the user's."""
    kinds = {"currentContext": str, "proxies": dict, "HttpHeaders": dict}
    user_config = docker_config.read()
    config = {key: user_config[key] for key, kind in kinds.items() if isinstance(user_config.get(key), kind)}
    config["auths"] = {registry: {"auth": token}}
    (folder / "config.json").write_text(json.dumps(config))
    contexts = (docker_config.folder() or folder) / "contexts"
    if os.access(contexts, os.R_OK):
        (folder / "contexts").symlink_to(contexts.resolve())
