"""The hook that builds and pushes, run against docker commands that this test writes."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sceptre.exceptions import SceptreException

from hooks.docker_image import DockerImage
from hooks.image_uri import ImageUri
from spotfleet.image import docker_cli, docker_command, docker_config
from spotfleet.image.image import image_from
from tests.support.stacks import Aws, client_error, make_stack

PROJECT = Path(__file__).parents[2]
BASE = "base:1@sha256:" + "b" * 64
ARGUMENT = {
    **{"repository_uri": "registry.test/web", "build_context": "."},
    **{"base_image": BASE, "cpu_architecture": "arm64"},
}
DIGEST = "sha256:" + "d" * 64
NOBODY = 65534
TOKEN = base64.b64encode(b"AWS:secret").decode()


class Repository:
    """The parts of ECR that the hook calls; `pushes` is the file in which a docker command writes what it does."""

    def __init__(self, *tags: str, pushes: Path | None = None) -> None:
        self.tags = set(tags)
        self.pushes = pushes
        self.aws = Aws({"ecr.describe_images": self.describe_images, "ecr.get_authorization_token": self.token})

    def describe_images(self, kwargs: dict[str, object]) -> dict[str, object]:
        assert kwargs["repositoryName"] == "web"
        image_ids = kwargs["imageIds"]
        assert isinstance(image_ids, list)
        tag = image_ids[0]["imageTag"]
        pushed = self.pushes.read_text() if self.pushes and self.pushes.exists() else ""
        if tag not in self.tags and f"push registry.test/web:{tag}" not in pushed:
            raise client_error("ImageNotFoundException")
        return {"imageDetails": [{"imageDigest": DIGEST}]}

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


def run_hook(repository: Repository, project: Path = PROJECT) -> str:
    """Run the hook, and return what the resolver of the same stack then gives."""
    stack = make_stack("dev/service", repository.aws, project)
    DockerImage(dict(ARGUMENT), stack).run()
    uri: str = ImageUri(dict(ARGUMENT), stack).resolve()
    return uri


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two files that a test may change."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM $BASE_IMAGE\n")
    (folder / "app.py").write_text("one")
    return folder


def test_builds_for_the_fleet_and_pushes_with_the_stacks_own_token(path: Path, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    user_config = {"currentContext": "desktop", "credsStore": "desktop", "auths": {"other": {"auth": "x"}}}
    (tmp_path / "user/config.json").write_text(json.dumps(user_config))
    write_docker(path, f'[ "$1" = push ] && cp "$DOCKER_CONFIG/config.json" {tmp_path}/config-of-push; exit 0')
    assert run_hook(Repository(pushes=path / "calls")) == f"registry.test/web@{DIGEST}"
    uri = image_from(ARGUMENT, str(PROJECT), service="service").uri
    build, push = (path / "calls").read_text().splitlines()
    assert build.startswith(f"build --progress plain --platform linux/arm64 --build-arg BASE_IMAGE={BASE} --tag {uri}")
    assert "--load" in build
    assert f"--secret id=ca_bundle,src={PROJECT / 'Dockerfile'}" in build
    assert build.endswith(str(PROJECT))
    assert push == f"push {uri}"
    used = json.loads((tmp_path / "config-of-push").read_text())
    assert used == {"currentContext": "desktop", "auths": {"registry.test": {"auth": TOKEN}}}
    assert json.loads((tmp_path / "user/config.json").read_text()) == user_config


def test_a_tag_that_the_repository_has_is_neither_built_nor_pushed(path: Path) -> None:
    write_docker(path, "exit 1")
    assert (
        run_hook(Repository(image_from(ARGUMENT, str(PROJECT), service="service").tag)) == f"registry.test/web@{DIGEST}"
    )
    assert not (path / "calls").exists()


def test_another_dockerfile_its_stage_and_its_arguments_reach_the_build(path: Path, project: Path) -> None:
    (project / "api.Dockerfile").write_text("FROM scratch AS slim\n")
    write_docker(path, "exit 0")
    how = {"dockerfile": "api.Dockerfile", "build_target": "slim", "build_arguments": {"VARIANT": "a", "B": "2"}}
    stack = make_stack("dev/service", Repository(pushes=path / "calls").aws, project)
    DockerImage(ARGUMENT | how, stack).run()
    build = (path / "calls").read_text().splitlines()[0]
    assert f"--file {project}/api.Dockerfile --target slim --build-arg B=2 --build-arg VARIANT=a" in build


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
        return {"imageDetails": [{"imageDigest": DIGEST}]}

    repository.aws.answers["ecr.describe_images"] = describe
    assert run_hook(repository) == f"registry.test/web@{DIGEST}"


def test_an_image_that_is_not_the_pushed_one_is_not_deployed(path: Path) -> None:
    other = "sha256:" + "e" * 64
    write_docker(path, f'[ "$1" = push ] && echo "latest: digest: {other} size: 1"; exit 0')
    with pytest.raises(SceptreException, match=f"the repository has {DIGEST}, not {other}: launch again"):
        run_hook(Repository(pushes=path / "calls"))


@pytest.mark.parametrize("change", ["echo two > app.py", "mkdir empty", "chmod 600 app.py", "ln -s app.py link"])
def test_a_change_during_the_build_ends_the_launch_before_anything_is_pushed(
    path: Path, project: Path, change: str
) -> None:
    write_docker(path, f'[ "$1" = build ] && cd {project} && {change}; exit 0')
    with pytest.raises(SceptreException, match=f"^Files in {project} changed while the image was built"):
        run_hook(Repository(pushes=path / "calls"), project)
    assert "push" not in (path / "calls").read_text()


def test_what_was_taken_back_during_the_build_is_built_again(path: Path, project: Path) -> None:
    once = f'[ "$1" = build ] && mkdir {path}/once 2> /dev/null && echo two > app.py && printf one > app.py'
    write_docker(path, f"cd {project}; {once}; exit 0")
    run_hook(Repository(pushes=path / "calls"), project)
    assert [line.split()[0] for line in (path / "calls").read_text().splitlines()] == ["build", "build", "push"]


def test_a_source_that_is_written_all_the_time_ends_the_launch(path: Path, project: Path) -> None:
    write_docker(path, f'[ "$1" = build ] && cd {project} && printf one > app.py; exit 0')
    with pytest.raises(SceptreException, match=r"are written all the time; nothing was pushed"):
        run_hook(Repository(pushes=path / "calls"), project)
    assert "push" not in (path / "calls").read_text()


def test_two_launches_in_one_process_each_look_at_the_source(path: Path, project: Path) -> None:
    write_docker(path, "exit 0")
    repository = Repository(pushes=path / "calls")
    run_hook(repository, project)
    (project / "app.py").write_text("two")
    run_hook(repository, project)
    run_hook(repository, project)
    calls = (path / "calls").read_text().splitlines()
    assert [line.split()[0] for line in calls] == ["build", "push", "build", "push"]
    assert calls[1] != calls[3]


def test_docker_may_write_in_any_encoding(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_docker(path, r"printf '#1 [caf\351 1/2] RUN\n\377\376\n'; exit 0")
    with caplog.at_level("INFO"):
        run_hook(Repository(pushes=path / "calls"))
    assert any("[caf\ufffd 1/2] RUN" in record.getMessage() for record in caplog.records)


def make_folder(config: Path) -> None:
    config.mkdir()


def forbid(config: Path) -> None:
    config.write_text("{}")
    config.chmod(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda config: config.write_bytes(b""),
        lambda config: config.write_bytes(b"{"),
        lambda config: config.write_bytes(b"\xff\xfe"),
        lambda config: config.write_bytes(b"\xef\xbb\xbf{}"),
        lambda config: config.write_text("[]"),
        lambda config: config.write_text("null"),
        lambda config: config.write_text('{"currentContext": 5, "proxies": [], "HttpHeaders": "x", "aliases": 1}'),
        lambda config: config.write_text("[" * 100_000),
        lambda config: config.symlink_to(config),
        lambda config: config.symlink_to("nowhere"),
        make_folder,
        forbid,
    ],
)
def test_a_docker_configuration_that_docker_goes_on_without(
    path: Path, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    (tmp_path / "user").mkdir()
    make(tmp_path / "user/config.json")
    write_docker(path, f'[ "$1" = push ] && cp "$DOCKER_CONFIG/config.json" {tmp_path}/config-of-push; exit 0')
    user = os.geteuid()
    os.seteuid(NOBODY if make is forbid and user == 0 else user)
    try:
        run = docker_config.read()
    finally:
        os.seteuid(user)
    assert not run or "auths" not in run
    run_hook(Repository(pushes=path / "calls"))
    assert json.loads((tmp_path / "config-of-push").read_text()) == {"auths": {"registry.test": {"auth": TOKEN}}}


@pytest.mark.parametrize(
    ("version", "buildx", "config", "loads"),
    [
        ("28.2.2", 0, "{}", True),
        ("20.10.24", 1, "{}", False),
        ("20.10.24", 0, "{}", False),
        ("20.10.24", 0, '{"aliases": {"builder": "buildx"}}', True),
    ],
)
def test_a_builder_of_its_own_is_told_to_load_the_image(
    path: Path, tmp_path: Path, version: str, buildx: int, config: str, loads: bool
) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user/config.json").write_text(config)
    write_docker(path, "exit 0", version=version, buildx=buildx)
    run_hook(Repository(pushes=path / "calls"))
    assert ("--load" in (path / "calls").read_text()) is loads


def test_a_docker_that_cannot_be_run_gives_way(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path / "docker").write_bytes(b"\x7fELF of another machine")
    (path / "docker").chmod(0o755)
    usable = write_docker(tmp_path / "usable", "exit 0")
    monkeypatch.setenv("PATH", os.pathsep.join([str(path), str(usable.parent), "/usr/bin", "/bin"]))
    assert docker_cli.find_docker() == str(usable)


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
