"""Runs the docker command: finds one that has BuildKit, builds, pushes."""

import json
import os
import re
import ssl
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from sceptre.exceptions import SceptreException

from hooks.image import Image

# Where Linux distributions, and macOS, keep the certificates that the machine trusts.
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
# The last release whose client has BuildKit built in; later ones need the buildx plugin.
LAST_RELEASE_WITH_BUILDKIT = 22
OUTPUT_SHOWN_ON_FAILURE = 15


def find_docker() -> str:
    """Return the path of the first docker command that can build with BuildKit and reach an engine.

    A machine can have several: a client without the buildx plugin may stand before one that has BuildKit built in.
    Raises SceptreException when there is none, or when no engine answers it.
    """
    clients = list(_docker_clients())
    if not clients:
        raise SceptreException("No docker command found: install Docker, then launch again.")
    client = next(filter(_has_buildkit, clients), None)
    if client is None:
        raise SceptreException(
            f"{clients[0]} cannot build with BuildKit: install the docker-buildx-plugin package, then launch again."
        )
    answer = _output(client, "version", "--format", "{{.Server.Version}}")
    if answer.returncode != 0:
        raise SceptreException(
            f"No Docker engine answers: start Docker, then launch again. {_last_line(answer.stderr)}"
        )
    return client


def build(docker: str, image: Image, report: Callable[[str], None]) -> None:
    """Build `image`, passing each build step to `report`.

    The build gets the certificates that this machine trusts as the secret `ca_bundle`: behind a proxy that re-signs
    TLS, pip could not install anything otherwise.
    Raises SceptreException, after the end of the output has gone to `report`, when the build fails.
    """
    command = [docker, "build", "--progress", "plain", "--platform", image.platform]
    command += ["--build-arg", f"BASE_IMAGE={image.base_image}", "--tag", image.uri]
    if bundle := ca_bundle():
        command += ["--secret", f"id=ca_bundle,src={bundle}"]
    # Without attestations the tag names the image itself, not an index around it.
    environment = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    _run([*command, str(image.context)], environment, report, f"Building {image.uri} failed")


def push(docker: str, uri: str, registry_token: str, report: Callable[[str], None]) -> None:
    """Push the image `uri` with a registry token as ECR gives it.

    The token is kept in a folder that goes with the call, so the user's own Docker login is neither used nor changed.
    Raises SceptreException, after the end of the output has gone to `report`, when the push fails.
    """
    with tempfile.TemporaryDirectory(prefix="spotfleet-docker-") as folder:
        _write_docker_config(Path(folder), uri.partition("/")[0], registry_token)
        _run([docker, "push", uri], {"DOCKER_CONFIG": folder}, report, f"Pushing {uri} failed")


def ca_bundle() -> str | None:
    """Return the path of the certificates that this machine trusts, or None where none is found.

    The environment variable SSL_CERT_FILE, which OpenSSL reads as well, comes first.
    """
    candidates = (ssl.get_default_verify_paths().cafile, *CA_BUNDLES)
    return next((path for path in candidates if path and Path(path).is_file()), None)


def _docker_clients() -> Iterator[str]:
    seen = set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        client = Path(folder or ".", "docker")
        if os.access(client, os.X_OK) and client.is_file() and client.resolve() not in seen:
            seen.add(client.resolve())
            yield str(client)


def _has_buildkit(client: str) -> bool:
    if _output(client, "buildx", "version").returncode == 0:
        return True
    version = re.search(r"version (\d+)\.", _output(client, "--version").stdout)
    return version is not None and int(version[1]) <= LAST_RELEASE_WITH_BUILDKIT


def _output(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _write_docker_config(folder: Path, registry: str, token: str) -> None:
    """Write a Docker configuration that logs in to `registry` and reaches the same engine as the user's."""
    user_folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    user_file = user_folder / "config.json"
    user_config = json.loads(user_file.read_text()) if user_file.is_file() else {}
    config = {key: user_config[key] for key in ("currentContext", "proxies", "HttpHeaders") if key in user_config}
    config["auths"] = {registry: {"auth": token}}
    (folder / "config.json").write_text(json.dumps(config))
    if (user_folder / "contexts").is_dir():
        (folder / "contexts").symlink_to(user_folder.resolve() / "contexts")


def _run(command: list[str], environment: dict[str, str], report: Callable[[str], None], failure: str) -> None:
    """Run `command`, report its steps as they begin and, when it fails, the end of its output; then raise."""
    tail: deque[str] = deque(maxlen=OUTPUT_SHOWN_ON_FAILURE)
    with subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            if line.strip():
                tail.append(line.rstrip())
            if step := re.match(r"#\d+ (\[.*)", line):
                report(step[1])
    if process.returncode != 0:
        # Sceptre prints an exception's line breaks as \n: only the log can show the output as it was.
        for line in tail:
            report(line)
        raise SceptreException(f"{failure}; the stack was not touched. The end of docker's output is above.")
