"""The image's name: a hash of everything that goes into the image, and of nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sceptre.exceptions import SceptreException

from hooks.image import Image, context_files, image_from
from hooks.image_uri import ImageUri
from tests.stacks import Aws, make_stack

ARGUMENT = {
    **{"repository_uri": "registry/web", "build_context": "."},
    **{"base_image": "python:3.13-slim", "cpu_architecture": "arm64"},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "service/app.py").write_text("print()")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    (tmp_path / ".dockerignore").write_text("# only the service\n*\n!service\n**/__pycache__\n")
    return tmp_path


@pytest.fixture
def image(project: Path) -> Image:
    return image_from(ARGUMENT, str(project))


def add_module(project: Path) -> None:
    (project / "service/new.py").write_text("")


def edit_module(project: Path) -> None:
    (project / "service/app.py").write_text("print(1)")


def rename_module(project: Path) -> None:
    (project / "service/app.py").rename(project / "service/main.py")


def make_executable(project: Path) -> None:
    (project / "service/app.py").chmod(0o755)


def edit_dockerfile(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM scratch\nUSER 1")


@pytest.mark.parametrize("change", [add_module, edit_module, rename_module, make_executable, edit_dockerfile])
def test_a_change_of_the_build_context_changes_the_tag(
    project: Path, image: Image, change: Callable[[Path], None]
) -> None:
    before = image.tag
    change(project)
    assert image.tag != before


def test_the_base_image_and_the_platform_are_part_of_the_tag(image: Image) -> None:
    tags = {image.tag, replace(image, base_image="python:3.14").tag, replace(image, platform="linux/amd64").tag}
    assert len(tags) == 3


def test_what_the_build_does_not_get_does_not_change_the_tag(project: Path, image: Image) -> None:
    before = image.tag
    (project / "README.md").write_text("new")
    (project / "service/__pycache__").mkdir()
    (project / "service/__pycache__/app.pyc").write_bytes(b"\0")
    (project / "service/app.py").touch()
    assert image.tag == before


def test_the_tag_is_one_that_docker_accepts(image: Image) -> None:
    assert image.uri == f"registry/web:{image.tag}"
    assert len(image.tag) == 20
    assert set(image.tag) <= set("0123456789abcdef")


def test_the_context_of_this_project_is_the_service() -> None:
    files = context_files(Path(__file__).parents[1])
    assert "service/requirements.txt" in files
    beside_the_service = {name for name in files if not name.startswith("service/")}
    assert {name.partition("/")[0] for name in beside_the_service} <= {"Dockerfile", ".dockerignore", "image"}
    assert not [name for name in files if "__pycache__" in name]


def test_the_resolver_gives_the_images_uri(project: Path, image: Image) -> None:
    stack = make_stack("dev/service", Aws({}), project)
    assert ImageUri(dict(ARGUMENT), stack).resolve() == image.uri


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


def test_another_build_context_is_another_image(project: Path, image: Image) -> None:
    before = image.tag
    api = project / "services/api"
    api.mkdir(parents=True)
    (api / "Dockerfile").write_text("FROM scratch")
    other = image_from(ARGUMENT | {"build_context": "services/api"}, str(project))
    assert (other.context, image.tag) == (api, before)
    assert other.tag != before
    edit_module(project)
    assert other.tag == image_from(ARGUMENT | {"build_context": "services/api"}, str(project)).tag


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(SceptreException, match=r"No Dockerfile in .*: run sceptre from the project's folder"):
        context_files(tmp_path)
