"""Which base image a build gets, and what of it counts, decided with docker commands that this test writes."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from spotfleet.image import base_image, docker_command
from spotfleet.image.base_image import BaseImage, repository_of, resolve
from spotfleet.image.docker_command import Report
from spotfleet.image.registries import registry_answers, registry_of
from spotfleet.local.host import paths
from tools import pin_base_image

NAME = "public.ecr.aws/docker/library/python:3.13"
REPOSITORY = "public.ecr.aws/docker/library/python"
ID = "sha256:" + "1" * 64
PIN = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
PLATFORM = "linux/amd64"


class Docker:
    """A docker command whose engine has the images that a test gives it, and pulls those of `registry`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "docker").write_text(f"""#!/bin/sh
echo "$@" >> {folder}/calls
for last in "$@"; do :; done
file=$(echo "$last" | tr '/:@' '___')
case "$1 $2" in
  "version --format") exit ${{ENGINE_EXIT:-0}};;
  "image inspect") exec cat {folder}/engine-$file 2> /dev/null;;
esac
[ -f {folder}/registry-$file ] || {{ echo "Error response from daemon: no such host"; exit 1; }}
cp {folder}/registry-$file {folder}/engine-$file
echo "Digest: {OTHER}"
""")
        (folder / "docker").chmod(0o755)

    def has(self, name: str, *digests: str, where: str = "engine", **changes: str) -> None:
        """Give the engine, or its registry, an image."""
        image = {"Id": ID, "RepoDigests": digests, "Os": "linux", "Architecture": "amd64"} | changes
        file = name.translate(str.maketrans("/:@", "___"))
        (self.folder / f"{where}-{file}").write_text(json.dumps(image))

    def calls(self) -> list[str]:
        """Return the calls other than questions."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if not line.startswith(("image inspect", "version"))]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """The only docker command in PATH, with an engine that has no image and a registry that cannot be reached."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.delenv("BUILDX_BUILDER", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(base_image, "registry_answers", lambda _host: False)
    return Docker(tmp_path / "bin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose file pins NAME to PIN."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/base-images.json").write_text(json.dumps({NAME: {"digest": PIN, "pinned": "2026-11-26"}}))
    return tmp_path


def test_a_name_with_a_digest_is_used_as_it_is(docker: Docker, project: Path) -> None:
    name = f"{NAME}@{OTHER}"
    assert resolve(name, PLATFORM, project) == BaseImage(name, OTHER)
    assert not (docker.folder / "calls").exists()


def test_a_pinned_name_is_used_by_its_pin(docker: Docker, project: Path) -> None:
    assert resolve(NAME, PLATFORM, project, print) == BaseImage(f"{REPOSITORY}@{PIN}", PIN)
    assert docker.calls() == []


def test_a_pin_needs_no_docker(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    assert resolve(NAME, PLATFORM, project).identity == PIN


def test_the_pinned_image_in_the_engine_needs_no_registry(docker: Docker, project: Path) -> None:
    docker.has(NAME, f"{REPOSITORY}@{PIN}", f"{REPOSITORY}@{OTHER}")
    resolved = resolve(NAME, PLATFORM, project)
    assert resolved == BaseImage(NAME, PIN, ID)
    assert resolved.is_unchanged(str(docker.folder / "docker"))
    docker.has(NAME, Id="sha256:" + "2" * 64)
    assert not resolved.is_unchanged(str(docker.folder / "docker"))


def test_a_copy_that_is_not_the_pinned_one_is_used_where_no_registry_is_only(
    docker: Docker, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.has(NAME, f"{REPOSITORY}@{OTHER}")
    resolved = resolve(NAME, PLATFORM, project)
    assert (resolved.reference, resolved.identity, resolved.engine_id) == (NAME, OTHER, ID)
    assert resolved.remark.startswith("public.ecr.aws cannot be reached: building on the ")
    docker.has(NAME)
    assert resolve(NAME, PLATFORM, project).identity == ID
    monkeypatch.setattr(base_image, "registry_answers", lambda host: host == "public.ecr.aws")
    assert resolve(NAME, PLATFORM, project) == BaseImage(f"{REPOSITORY}@{PIN}", PIN)


def test_a_name_without_a_pin_is_what_the_engine_has_and_said_so(docker: Docker, tmp_path: Path) -> None:
    docker.has(NAME, f"{REPOSITORY}@{OTHER}", f"elsewhere.test/python@{PIN}")
    resolved = resolve(NAME, PLATFORM, tmp_path)
    assert (resolved.reference, resolved.identity, resolved.engine_id) == (NAME, OTHER, ID)
    assert resolved.remark.endswith("To pin it: make pin-base-image")


def test_an_image_of_no_registry_counts_by_its_id(docker: Docker, tmp_path: Path) -> None:
    docker.has("spotfleet-base:bookworm")
    resolved = resolve("spotfleet-base:bookworm", PLATFORM, tmp_path)
    assert (resolved.reference, resolved.identity, resolved.engine_id) == ("spotfleet-base:bookworm", ID, ID)
    assert "from no registry" in resolved.remark


def test_a_name_without_a_pin_is_pulled_in_a_launch_only(docker: Docker, tmp_path: Path) -> None:
    docker.has(NAME, f"{REPOSITORY}@{OTHER}", where="registry")
    with pytest.raises(SceptreException, match=r"is not pinned, and Docker here has none .*: make pin-base-image"):
        resolve(NAME, PLATFORM, tmp_path)
    said: list[str] = []
    assert resolve(NAME, PLATFORM, tmp_path, said.append).identity == OTHER
    assert said == [f"Pulling {NAME}, which is not pinned"]
    assert docker.calls() == [f"pull --platform {PLATFORM} {NAME}"]


def test_a_copy_for_another_platform_is_none(docker: Docker, tmp_path: Path) -> None:
    docker.has(NAME, f"{REPOSITORY}@{OTHER}", Architecture="arm64")
    with pytest.raises(SceptreException, match=f"Docker here has none of that name for {PLATFORM}"):
        resolve(NAME, PLATFORM, tmp_path)


def test_a_pull_that_fails_is_said(docker: Docker, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(SceptreException, match=f"^Pulling {NAME} failed"):
        resolve(NAME, PLATFORM, tmp_path, said.append)
    assert said[-1].endswith("no such host")
    assert docker.calls()


def test_a_builder_of_its_own_gets_the_digest(docker: Docker, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDX_BUILDER", "mine")
    docker.has(NAME, f"{REPOSITORY}@{PIN}")
    assert resolve(NAME, PLATFORM, project).reference == f"{REPOSITORY}@{PIN}"


def test_so_does_a_builder_that_docker_build_is_an_alias_of(docker: Docker, project: Path) -> None:
    docker.has(NAME, f"{REPOSITORY}@{PIN}")
    (project / "config.json").write_text('{"aliases": {"builder": "buildx"}}')
    assert resolve(NAME, PLATFORM, project).reference == f"{REPOSITORY}@{PIN}"


@pytest.mark.parametrize("pull", [None, print])
def test_without_docker_that_is_what_is_said(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: Report | None
) -> None:
    monkeypatch.setenv("ENGINE_EXIT", "1")
    with pytest.raises(SceptreException, match=r"^No Docker engine answers: start Docker"):
        resolve(NAME, PLATFORM, tmp_path, pull)
    assert docker.calls() == []
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SceptreException, match=r"^No docker command found: install Docker"):
        resolve(NAME, PLATFORM, tmp_path, pull)


def test_an_engine_that_hangs_is_not_waited_for(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_command, "ANSWER_SECONDS", 0.2)
    (docker.folder / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(SceptreException, match=r"docker version has not answered for 0\.2 s\.$"):
        resolve(NAME, PLATFORM, tmp_path)


MALFORMED = ["", "[]", "{", '{"a": "b"}', '{"a": {}}', '{"a": {"digest": "sha256:short"}}', '{"a": {"digest": 1}}']


@pytest.mark.parametrize("content", MALFORMED)
def test_pinning_mends_a_malformed_file(
    docker: Docker, project: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (project / "config/base-images.json").write_text(content)
    docker.has("python:3", f"python@{OTHER}", where="registry")
    pin_base_image.pin(project, "python:3", PLATFORM)
    assert base_image.read_pins(project) == {"python:3": OTHER}
    assert "write it anew with make pin-base-image; this does so." in capsys.readouterr().out


@pytest.mark.parametrize("content", MALFORMED)
def test_a_malformed_file_of_pins_is_named(project: Path, content: str) -> None:
    (project / "config/base-images.json").write_text(content)
    with pytest.raises(SceptreException, match=r"config/base-images\.json.* write it anew with make pin-base-image"):
        resolve(NAME, PLATFORM, project)


def test_the_pins_of_this_project_can_be_read() -> None:
    assert set(base_image.read_pins(paths.ROOT)) <= set(pin_base_image.base_images())


@pytest.mark.parametrize(
    ("image", "registry", "repository"),
    [
        (NAME, "public.ecr.aws", REPOSITORY),
        ("localhost:5001/base:1", "localhost:5001", "localhost:5001/base"),
        ("localhost/base", "localhost", "localhost/base"),
        ("library/python:3.13", "registry-1.docker.io", "library/python"),
        ("python:3.13", "registry-1.docker.io", "python"),
        (f"python:3.13@{PIN}", "registry-1.docker.io", "python"),
        ("docker.io/library/python", "registry-1.docker.io", "docker.io/library/python"),
    ],
)
def test_registry_and_repository_of_an_image(image: str, registry: str, repository: str) -> None:
    assert (registry_of(image), repository_of(image)) == (registry, repository)


@pytest.mark.parametrize("name", ["python:3.13", "library/python:3.13", "docker.io/library/python", "docker.io/python"])
def test_docker_hub_has_many_names(docker: Docker, tmp_path: Path, name: str) -> None:
    docker.has(name, f"python@{PIN}")
    assert resolve(name, PLATFORM, tmp_path).identity == PIN


def test_registry_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert registry_answers(f"127.0.0.1:{port}") is False
    assert registry_answers("registry.invalid") is False


def test_what_a_dockerfile_builds_on_by_name() -> None:
    dockerfile = b"""# FROM comment:1
ARG BASE_IMAGE=python:3
FROM ${BASE_IMAGE} AS one
FROM --platform=$BUILDPLATFORM node:22-slim as two
from node:22-slim
FROM TWO AS three
FROM alpine@sha256:12
FROM scratch
COPY --from=one / /
FROM
"""
    assert base_image.named_without_digest(dockerfile) == ["node:22-slim"]


# --- Pinning


def pins(project: Path) -> Any:  # noqa: ANN401  # JSON
    return json.loads((project / "config/base-images.json").read_text())


def test_pinning_writes_what_the_registry_has_and_keeps_the_other_pins(
    docker: Docker, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.has("python:3", f"python@{OTHER}", where="registry")
    pin_base_image.pin(project, "python:3", PLATFORM)
    assert pins(project)["python:3"]["digest"] == OTHER
    assert pins(project)[NAME] == {"digest": PIN, "pinned": "2026-11-26"}
    assert resolve("python:3", PLATFORM, project).identity == OTHER
    written = (project / "config/base-images.json").stat().st_mtime_ns
    pin_base_image.pin(project, "python:3", PLATFORM)
    assert (project / "config/base-images.json").stat().st_mtime_ns == written
    assert capsys.readouterr().out.splitlines() == [
        f"python:3 is {OTHER} now, instead of any that has the name.",
        f"python:3 is {OTHER} still.",
    ]
    assert docker.calls() == [f"pull --platform {PLATFORM} python:3"] * 2


def test_pinning_without_a_registry_changes_nothing(
    docker: Docker, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pins(project)
    monkeypatch.setattr(paths, "ROOT", project)
    (project / "config/dev").mkdir()
    (project / "config/dev/config.yaml").write_text(
        f"base_image: {NAME}\ncpu_architecture: arm64\nservices: {{api: {{base_image: node:22@{PIN}}}, web: {{}}}}\n"
    )
    assert pin_base_image.base_images() == {NAME: "linux/arm64", f"node:22@{PIN}": "linux/arm64"}
    assert pin_base_image.main() == 1
    assert pins(project) == before
    said = capsys.readouterr().out
    assert f"Pulling {NAME} failed" in said
    assert "names its digest itself" in said
    assert docker.calls() == [f"pull --platform linux/arm64 {NAME}"]
