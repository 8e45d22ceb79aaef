"""Which image a name means: asked of a registry, or of the engine, by docker commands that this test writes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sceptre.exceptions import SceptreException
from sceptre.resolvers.placeholders import use_resolver_placeholders_on_error

from hooks.docker_image import DockerImage
from hooks.image_uri import ImageUri
from spotfleet.image import docker_command, existing_image
from spotfleet.stacks import account
from tests.support.stacks import Aws, make_stack

PLATFORM = "linux/amd64"
INTEL, ARM, INDEX = (f"sha256:{letter * 64}" for letter in "abc")
ENGINE = {"Id": "sha256:" + "e" * 64, "Os": "linux", "Architecture": "amd64", "RepoDigests": []}
NAME = "registry.test/team/shop:1.4"


def manifest(digest: str, architecture: str) -> dict[str, Any]:
    """Return what `docker manifest inspect --verbose` says of one image."""
    descriptor = {"digest": digest, "size": 1, "platform": {"architecture": architecture, "os": "linux"}}
    return {"Ref": NAME, "Descriptor": descriptor, "SchemaV2Manifest": {}}


class Docker:
    """A docker command in PATH that answers as the test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer("manifest", "no such manifest: registry.test/team/shop:1.4", 1)
        self.answer("image", "No such image", 1)
        command = folder / "docker"
        command.write_text(f"""#!/bin/sh
case "$1" in
  version) echo 28.2.2; exit 0;;
  manifest|image) cat {folder}/$1.out; cat {folder}/$1.err >&2; exit $(cat {folder}/$1.code);;
esac
exit 1
""")
        command.chmod(0o755)

    def answer(self, verb: str, text: str, code: int = 0) -> None:
        """Let the command print a text, as an error where it fails."""
        (self.folder / f"{verb}.out").write_text(text if code == 0 else "")
        (self.folder / f"{verb}.err").write_text(text if code else "")
        (self.folder / f"{verb}.code").write_text(str(code))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """The docker command, and no other one."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(docker_command, "clients", lambda: iter([str(tmp_path / "docker")]))
    return Docker(tmp_path)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that answers."""
    monkeypatch.setattr(existing_image, "registry_answers", lambda _host: True)


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry that answers."""
    monkeypatch.setattr(existing_image, "registry_answers", lambda _host: False)


@pytest.mark.usefixtures("registry")
def test_a_tag_is_the_digest_of_the_machines_architecture(docker: Docker) -> None:
    attestation = manifest(INDEX, "unknown")
    docker.answer("manifest", json.dumps([manifest(ARM, "arm64"), manifest(INTEL, "amd64"), attestation]))
    assert existing_image.resolve(NAME, PLATFORM, embedded=False) == (f"registry.test/team/shop@{INTEL}", "")
    assert existing_image.resolve(NAME, "linux/arm64", embedded=True)[0] == f"registry.test/team/shop@{ARM}"
    # One that was given stays, and what is below it is looked at.
    assert existing_image.resolve(f"{NAME}@{INDEX}", PLATFORM, embedded=False)[0] == f"registry.test/team/shop@{INDEX}"


@pytest.mark.usefixtures("registry")
def test_an_image_of_one_architecture_only(docker: Docker) -> None:
    docker.answer("manifest", json.dumps(manifest(INTEL, "amd64")))
    assert existing_image.resolve("nginx:1.27", PLATFORM, embedded=False)[0] == f"nginx@{INTEL}"
    with pytest.raises(SceptreException, match=r"nginx:1.27 is for linux/amd64, and the machines need linux/arm64"):
        existing_image.resolve("nginx:1.27", "linux/arm64", embedded=False)


@pytest.mark.usefixtures("registry", "docker")
def test_an_image_that_cannot_be_pulled_is_named_with_the_registrys_words() -> None:
    words = r"^image registry.test/team/shop:1.4 cannot be pulled \(no such manifest: .*`docker login registry.test`"
    with pytest.raises(SceptreException, match=words):
        existing_image.resolve(NAME, PLATFORM, embedded=True)


@pytest.mark.usefixtures("no_registry")
def test_without_a_registry_aws_needs_a_digest(docker: Docker) -> None:
    docker.answer("image", json.dumps(ENGINE))
    with pytest.raises(SceptreException, match=r"registry.test cannot be reached, so what the tag means is not known"):
        existing_image.resolve(NAME, PLATFORM, embedded=False)
    uri, remark = existing_image.resolve(f"{NAME}@{INDEX}", PLATFORM, embedded=False)
    assert uri == f"registry.test/team/shop@{INDEX}"
    assert "is not known" in remark


@pytest.mark.usefixtures("no_registry")
def test_without_a_registry_the_laptop_runs_what_docker_has_and_says_so(docker: Docker) -> None:
    docker.answer("image", json.dumps(ENGINE | {"RepoDigests": [f"registry.test/team/shop@{INDEX}"]}))
    uri, remark = existing_image.resolve(NAME, PLATFORM, embedded=True)
    assert uri == f"registry.test/team/shop@{INDEX}"
    assert remark == f"registry.test cannot be reached: running the {NAME} that Docker has, {INDEX}"
    docker.answer("image", json.dumps(ENGINE))
    uri, remark = existing_image.resolve(NAME, PLATFORM, embedded=True)
    assert uri == ENGINE["Id"]
    assert "on AWS a launch would refuse it" in remark


@pytest.mark.usefixtures("no_registry")
def test_what_the_laptop_cannot_run_is_refused(docker: Docker) -> None:
    with pytest.raises(SceptreException, match=r"registry.test cannot be reached, and Docker here has none"):
        existing_image.resolve(NAME, PLATFORM, embedded=True)
    docker.answer("image", json.dumps(ENGINE | {"Architecture": "arm64"}))
    with pytest.raises(SceptreException, match=r"is for linux/arm64, and the machines need linux/amd64"):
        existing_image.resolve(NAME, PLATFORM, embedded=True)


ARGUMENT = {
    **{"repository_uri": "registry/web", "build_context": "none", "base_image": "none", "cpu_architecture": "x86_64"},
    "image": NAME,
}


@pytest.mark.usefixtures("registry")
def test_a_launch_builds_nothing_and_runs_what_the_hook_has_found(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "is_embedded", lambda _stack: False)
    docker.answer("manifest", json.dumps(manifest(INTEL, "amd64")))
    stack = make_stack("dev/service", Aws({}), tmp_path)
    DockerImage(ARGUMENT, stack).run()
    # Somebody moves the tag meanwhile.
    docker.answer("manifest", json.dumps(manifest(ARM, "amd64")))
    assert ImageUri(ARGUMENT, stack).resolve() == f"registry.test/team/shop@{INTEL}"
    assert ImageUri(ARGUMENT, stack).resolve() == f"registry.test/team/shop@{ARM}"


@pytest.mark.usefixtures("no_registry")
def test_a_diff_names_an_image_that_nobody_knows_by_its_tag(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "is_embedded", lambda _stack: False)
    docker.answer("image", json.dumps(ENGINE))
    stack = make_stack("dev/service", Aws({}), tmp_path)
    with use_resolver_placeholders_on_error():
        assert ImageUri(ARGUMENT, stack).resolve() == NAME
    with pytest.raises(SceptreException, match="cannot be reached"):
        ImageUri(ARGUMENT, stack).resolve()
