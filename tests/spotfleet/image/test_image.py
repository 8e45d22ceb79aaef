"""The image's name: a hash of everything that goes into the image, and of nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sceptre.exceptions import SceptreException
from sceptre.resolvers.placeholders import use_resolver_placeholders_on_error
from sceptre.stack import Stack

from hooks.image_uri import ImageUri
from spotfleet.image import build_context, launched_image
from spotfleet.image.base_image import BaseImage
from spotfleet.image.image import Image, image_from
from tests.support.stacks import Aws, client_error, make_stack

BASE = "python@sha256:" + "b" * 64
ARGUMENT = {
    **{"repository_uri": "registry/web", "build_context": "."},
    **{"base_image": BASE, "cpu_architecture": "arm64"},
}
DIGEST = "sha256:" + "d" * 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "service/app.py").write_text("print()")
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM $BASE_IMAGE\n")
    return tmp_path


def look(project: Path, **changes: str) -> Image:
    """Look at the image as it is now."""
    return image_from(ARGUMENT | changes, str(project))


def test_the_source_the_base_image_and_the_platform_are_part_of_the_tag(project: Path) -> None:
    image = look(project)
    other_base = replace(image, base=BaseImage(BASE, "sha256:" + "c" * 64))
    tags = {image.tag, other_base.tag, look(project, cpu_architecture="x86_64").tag}
    assert look(project).tag in tags
    (project / "service/app.py").write_text("print(1)")
    assert len(tags | {look(project).tag}) == 4


def test_a_services_tags_are_no_other_ones(project: Path) -> None:
    tags = {name: image_from(ARGUMENT, str(project), service=name).tag for name in ("api", "api-v2", "service")}
    assert tags == {name: f"{name}_{look(project).tag}" for name in tags}
    assert not tags["api-v2"].startswith("api_")


def test_a_base_image_that_the_dockerfile_does_not_use_does_not_count(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM node:22-slim\n")
    assert look(project).tag == look(project, base_image="not-there:1").tag


def test_the_tag_is_one_that_docker_accepts(project: Path) -> None:
    image = look(project)
    assert image.uri == f"registry/web:{image.tag}"
    assert len(image.tag) == 20
    assert set(image.tag) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("registry/web", "take the keys repository_uri, build_context, base_image, cpu_architecture"),
        (ARGUMENT | {"tag": "latest"}, "take the keys"),
        (ARGUMENT | {"cpu_architecture": "amd64"}, "'amd64' is unknown: use x86_64 or arm64"),
    ],
)
def test_a_wrong_argument_is_named(argument: object, message: str) -> None:
    with pytest.raises(SceptreException, match=message):
        image_from(argument, ".")


def test_another_build_context_is_another_image(project: Path) -> None:
    before = look(project).tag
    api = project / "services/api"
    api.mkdir(parents=True)
    (api / "Dockerfile").write_text("FROM scratch")
    other = look(project, build_context="services/api")
    assert other.context == api
    assert other.tag != before
    (project / "service/app.py").write_text("print(1)")
    assert other.tag == look(project, build_context="services/api").tag


def test_how_it_is_built_is_part_of_the_tag(project: Path) -> None:
    (project / "docker").mkdir()
    (project / "docker/api.Dockerfile").write_text("FROM scratch AS slim\n")
    before = look(project).tag
    changes: list[dict[str, Any]] = [
        *({"dockerfile": "docker/api.Dockerfile"}, {"build_target": "slim"}, {"build_arguments": {"A": "1"}}),
        {"build_arguments": {"A": "2"}},
    ]
    assert len({before, *(image_from(ARGUMENT | change, str(project)).tag for change in changes)}) == 5
    # Nothing of it, as another wiring may leave it out.
    none = {"image": "", "dockerfile": "Dockerfile", "build_target": "", "build_arguments": {}}
    assert image_from(ARGUMENT | none, str(project)).tag == before


def test_another_dockerfile_has_an_ignore_file_of_its_own(project: Path) -> None:
    (project / "api.Dockerfile").write_text("FROM scratch\n")
    (project / "api.Dockerfile.dockerignore").write_text("service\n")
    before = look(project, dockerfile="api.Dockerfile").tag
    (project / "service/app.py").write_text("print(1)")
    assert look(project, dockerfile="api.Dockerfile").tag == before
    (project / "api.Dockerfile").write_text("FROM scratch AS other\n")
    assert look(project, dockerfile="api.Dockerfile").tag != before


def test_a_dockerfile_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(SceptreException, match=r"^No docker/none in .*: run sceptre from the project's folder"):
        look(project, dockerfile="docker/none")


# --- The resolver


class Repository:
    """An ECR repository that has some images."""

    def __init__(self, **digests: str) -> None:
        self.digests = digests
        self.aws = Aws({"ecr.describe_images": self.describe_images})

    def describe_images(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Answer as ECR does."""
        tag = kwargs["imageIds"][0]["imageTag"]
        if tag not in self.digests:
            raise client_error("ImageNotFoundException")
        return {"imageDetails": [{"imageTags": [tag], "imageDigest": self.digests[tag]}]}


def of_the_service(project: Path) -> Image:
    """Look at the image as it is now for the stack dev/service."""
    return image_from(ARGUMENT, str(project), service="service")


def resolved(stack: Stack) -> Any:  # noqa: ANN401  # Sceptre publishes no types
    return ImageUri(dict(ARGUMENT), stack).resolve()


@pytest.fixture
def in_a_diff() -> Iterator[None]:
    """As Sceptre runs `diff` and `dump`: what is not there yet has a placeholder."""
    with use_resolver_placeholders_on_error():
        yield


def test_an_image_is_named_by_the_digest_that_the_repository_has(project: Path) -> None:
    repository = Repository(**{of_the_service(project).tag: DIGEST})
    assert resolved(make_stack("dev/service", repository.aws, project)) == f"registry/web@{DIGEST}"
    assert repository.aws.called("ecr.describe_images")[0]["repositoryName"] == "web"


@pytest.mark.usefixtures("in_a_diff")
@pytest.mark.parametrize(
    "error", ["ImageNotFoundException", "RepositoryNotFoundException", "InvalidParameterException"]
)
def test_a_diff_names_an_image_that_is_not_there_yet_by_its_tag(project: Path, error: str) -> None:
    def describe(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error(error)

    stack = make_stack("dev/service", Aws({"ecr.describe_images": describe}), project)
    assert resolved(stack) == of_the_service(project).uri


def test_no_other_command_deploys_an_image_that_is_not_there(project: Path) -> None:
    with pytest.raises(SceptreException, match=r"Image \w+ is not in the repository: run `sceptre launch`"):
        resolved(make_stack("dev/service", Repository().aws, project))


def test_a_launch_looks_once_and_runs_what_the_hook_has_made_sure_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_context, "fingerprint", Mock(side_effect=AssertionError("looked a second time")))
    repository = Repository()
    stack = make_stack("dev/service", repository.aws, project)
    launched_image.hand_over(stack, dict(ARGUMENT), f"registry/web@{DIGEST}")
    (project / "service/app.py").write_text("edited since")
    assert resolved(stack) == f"registry/web@{DIGEST}"
    assert repository.aws.calls == []


@pytest.mark.usefixtures("in_a_diff")
def test_what_a_launch_has_found_is_for_that_launch_only(project: Path) -> None:
    repository = Repository()
    stack = make_stack("dev/service", repository.aws, project)
    launched_image.hand_over(stack, dict(ARGUMENT), "registry/web@old")
    other = ImageUri(ARGUMENT | {"build_context": "./"}, stack).resolve()
    assert other == of_the_service(project).uri
    assert resolved(make_stack("dev/service", repository.aws, project)) == of_the_service(project).uri
    assert resolved(stack) == "registry/web@old"
    assert resolved(stack) == of_the_service(project).uri
