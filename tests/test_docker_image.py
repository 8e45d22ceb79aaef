"""The hook that builds and pushes, run against docker commands that this test writes."""

import base64
import json
import os
from pathlib import Path

import pytest
from sceptre.exceptions import SceptreException

from hooks import docker_cli, docker_command
from hooks.docker_image import DockerImage
from hooks.image import image_from
from hooks.image_uri import ImageUri
from tests.stacks import Aws, client_error, make_stack

PROJECT = Path(__file__).parents[1]
ARGUMENT = {
    **{"repository_uri": "registry.test/web", "build_context": "."},
    **{"base_image": "base:1", "cpu_architecture": "arm64"},
}
TOKEN = base64.b64encode(b"AWS:secret").decode()


class Repository:
    """The parts of ECR that the hook calls."""

    def __init__(self, *tags: str) -> None:
        self.tags = set(tags)
        self.aws = Aws({"ecr.describe_images": self.describe_images, "ecr.get_authorization_token": self.token})

    def describe_images(self, kwargs: dict[str, object]) -> dict[str, object]:
        assert kwargs["repositoryName"] == "web"
        image_ids = kwargs["imageIds"]
        assert isinstance(image_ids, list)
        if image_ids[0]["imageTag"] not in self.tags:
            raise client_error("ImageNotFoundException")
        return {"imageDetails": [{}]}

    def token(self, _: dict[str, object]) -> dict[str, object]:
        return {"authorizationData": [{"authorizationToken": TOKEN}]}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds the test's docker commands and what the shell needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(docker_cli, "CA_BUNDLES", ())
    monkeypatch.setenv("SSL_CERT_FILE", str(PROJECT / "Dockerfile"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "user"))
    return folder


def write_docker(folder: Path, body: str, version: str = "28.2.2", buildx: int = 0) -> Path:
    """Write a docker command that appends its arguments to `calls` beside it, then does `body`."""
    folder.mkdir(exist_ok=True)
    command = folder / "docker"
    command.write_text(f"""#!/bin/sh
case "$1 $2" in
  "--version ") echo "Docker version {version}, build abc"; exit 0;;
  "buildx version") exit {buildx};;
  "version --format") echo 28.2.2; exit ${{ENGINE_EXIT:-0}};;
esac
echo "$@" >> {folder}/calls
{body}
""")
    command.chmod(0o755)
    return command


def run_hook(repository: Repository) -> None:
    DockerImage(dict(ARGUMENT), make_stack("dev/service", repository.aws, PROJECT)).run()


def test_builds_for_the_fleet_and_pushes_with_the_stacks_own_token(path: Path, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    user_config = {"currentContext": "desktop", "credsStore": "desktop", "auths": {"other": {"auth": "x"}}}
    (tmp_path / "user/config.json").write_text(json.dumps(user_config))
    write_docker(path, f'[ "$1" = push ] && cp "$DOCKER_CONFIG/config.json" {tmp_path}/config-of-push; exit 0')
    run_hook(Repository())
    uri = image_from(ARGUMENT, str(PROJECT)).uri
    build, push = (path / "calls").read_text().splitlines()
    assert build.startswith("build --progress plain --platform linux/arm64 --build-arg BASE_IMAGE=base:1 --tag " + uri)
    assert f"--secret id=ca_bundle,src={PROJECT / 'Dockerfile'}" in build
    assert build.endswith(str(PROJECT))
    assert push == f"push {uri}"
    used = json.loads((tmp_path / "config-of-push").read_text())
    assert used == {"currentContext": "desktop", "auths": {"registry.test": {"auth": TOKEN}}}
    assert json.loads((tmp_path / "user/config.json").read_text()) == user_config


def test_a_tag_that_the_repository_has_is_neither_built_nor_pushed(path: Path) -> None:
    write_docker(path, "exit 1")
    run_hook(Repository(image_from(ARGUMENT, str(PROJECT)).tag))
    assert not (path / "calls").exists()


def test_a_failed_build_stops_the_launch_and_shows_the_end_of_the_output(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_docker(path, "seq 1 40; echo 'no space left on device' >&2; exit 1")
    with (
        caplog.at_level("INFO"),
        pytest.raises(SceptreException, match=r"^Building registry\.test/web:\w+ failed; the stack was not touched"),
    ):
        run_hook(Repository())
    shown = [record.getMessage().rpartition(" - ")[2] for record in caplog.records]
    assert shown[-1] == "no space left on device"
    assert shown[-2] == "40"
    assert len(shown) == docker_command.OUTPUT_SHOWN_ON_FAILURE + 1
    assert "push" not in (path / "calls").read_text()


def test_a_failed_push_stops_the_launch(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_docker(path, '[ "$1" = build ] || { echo denied; exit 1; }')
    with caplog.at_level("INFO"), pytest.raises(SceptreException, match=r"^Pushing registry\.test/web:\w+ failed"):
        run_hook(Repository())
    assert caplog.records[-1].getMessage().endswith("denied")


def test_a_push_that_lost_the_race_against_another_launch_is_no_failure(path: Path) -> None:
    write_docker(path, '[ "$1" = build ] || { echo "tag already exists and is immutable"; exit 1; }')
    repository = Repository()
    pushed_elsewhere = iter([client_error("ImageNotFoundException")])

    def describe(_: dict[str, object]) -> dict[str, object]:
        for error in pushed_elsewhere:
            raise error
        return {}

    repository.aws.answers["ecr.describe_images"] = describe
    run_hook(repository)
    assert len(repository.aws.called("ecr.describe_images")) == 2


def test_no_docker_command_is_said_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(SceptreException, match=r"^No docker command found: install Docker, then launch again\.$"):
        run_hook(Repository())


def test_no_engine_is_said_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_docker(path, "exit 0")
    monkeypatch.setenv("ENGINE_EXIT", "1")
    with pytest.raises(SceptreException, match=r"^No Docker engine answers: start Docker, then launch again\."):
        run_hook(Repository())


def test_a_client_without_buildkit_gives_way_to_one_that_has_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_docker(path, "exit 1", version="28.2.2", buildx=1)
    older = write_docker(tmp_path / "older", "exit 0", version="20.10.24+dfsg1", buildx=1)
    monkeypatch.setenv("PATH", os.pathsep.join([str(path), str(older.parent), "/usr/bin", "/bin"]))
    assert docker_cli.find_docker() == str(older)


def test_no_client_with_buildkit_is_said_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_docker(path, "exit 1", version="28.2.2", buildx=1)
    monkeypatch.setenv("PATH", str(path))
    (path / "sh").symlink_to("/bin/sh")
    with pytest.raises(SceptreException, match="cannot build with BuildKit: install the docker-buildx-plugin"):
        docker_cli.find_docker()
