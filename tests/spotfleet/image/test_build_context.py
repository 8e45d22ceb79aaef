"""The fingerprint of a build context changes with what a build is sent, and with nothing else."""

import os
import resource
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sceptre.exceptions import SceptreException

from spotfleet.image import build_context
from spotfleet.image.build_context import entries, fingerprint

NOBODY = 65534
NOT_UTF_8 = os.fsdecode(b"service/\xff\xfe.py")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "service/data").mkdir(parents=True)
    (tmp_path / "service/app.py").write_text("print()")
    (tmp_path / "service/link").symlink_to("app.py")
    (tmp_path / "service/dangling").symlink_to("nowhere")
    (tmp_path / "service/to_folder").symlink_to("data")
    (tmp_path / "ignored").mkdir()
    (tmp_path / "ignored/file").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY service /service\n")
    (tmp_path / ".dockerignore").write_text("# only the service\n*\n!service\n**/__pycache__\n")
    return tmp_path


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    "change",
    [
        lambda context: (context / "service/new.py").write_text(""),
        lambda context: (context / "service/app.py").write_text("print(1)"),
        lambda context: (context / "service/app.py").rename(context / "service/main.py"),
        lambda context: (context / "service/app.py").unlink(),
        lambda context: (context / "service/app.py").chmod(0o600),
        lambda context: (context / "service/app.py").chmod(0o4644),
        lambda context: (context / "service/data").chmod(0o700),
        lambda context: (context / "service/empty").mkdir(),
        lambda context: (context / "service/data").rmdir(),
        lambda context: relink(context / "service/link", "other.py"),
        lambda context: relink(context / "service/dangling", "elsewhere"),
        lambda context: relink(context / "service/to_folder", "."),
        lambda context: relink(context / "service/link", "./app.py"),
        lambda context: relink(context / "service/app.py", "data"),
        lambda context: (context / NOT_UTF_8).write_text(""),
        lambda context: os.mkfifo(context / "service/pipe"),
        lambda context: (context / "Dockerfile").write_text("FROM scratch\nUSER 1"),
        lambda context: (context / ".dockerignore").write_text("service/data"),
        lambda context: (context / "Dockerfile.dockerignore").write_text("service/app.py"),
        lambda context: (context / "Dockerfile.dockerignore").write_text(""),
    ],
)
def test_what_is_sent_counts(context: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(context)
    change(context)
    assert fingerprint(context).content != before.content
    assert fingerprint(context).writes != before.writes


@pytest.mark.parametrize(
    "change",
    [
        lambda context: (context / "README.md").write_text("new"),
        lambda context: (context / "ignored/file").write_text("new"),
        lambda context: (context / "ignored").chmod(0o700),
        lambda context: (context / "service/__pycache__").mkdir(),
        lambda context: os.utime(context / "service/app.py", (1, 1)),
        lambda context: os.utime(context / "service", (1, 1)),
        lambda context: context.chmod(0o700),
        lambda context: (context / "Dockerfile").chmod(0o600),
    ],
)
def test_what_is_not_sent_does_not_count(context: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(context).content
    change(context)
    assert fingerprint(context).content == before


def test_the_place_of_the_context_does_not_count(context: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    subprocess.run(["cp", "-a", context, copy], check=True)
    (copy / "link").symlink_to(copy)
    assert fingerprint(copy).content == fingerprint(copy / "link").content == fingerprint(context).content


def test_a_write_that_was_taken_back_is_seen(context: Path) -> None:
    before = fingerprint(context)
    file = context / "service/app.py"
    times = file.stat().st_mtime_ns
    file.write_text("evil()")
    file.write_text("print()")
    os.utime(file, ns=(times, times))
    after = fingerprint(context)
    assert after.content == before.content
    assert after.writes != before.writes


def test_hard_links_count_as_the_files_that_they_are(context: Path) -> None:
    file = context / "service/twin.py"
    file.write_text("print()")
    before = fingerprint(context).content
    file.unlink()
    file.hardlink_to(context / "service/app.py")
    assert fingerprint(context).content == before


def test_extended_attributes_that_an_image_keeps_count(context: Path) -> None:
    before = fingerprint(context).content
    try:
        os.setxattr(context / "service/app.py", "user.kept", b"1")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    assert fingerprint(context).content != before


def test_sockets_and_pipes_are_not_read(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(context / "service")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        kinds = {entry.path: entry.kind for entry in entries(context)}
        fingerprint(context)
    assert (kinds["service/pipe"], kinds["service/socket"]) == ("pipe", "socket")


def test_a_folder_that_only_an_exception_needs_is_sent(context: Path) -> None:
    (context / ".dockerignore").write_text("*\n!ignored/file\n")
    assert [entry.path for entry in entries(context)] == ["ignored", "ignored/file"]


def test_the_files_that_say_how_to_build_may_be_links_within_the_context(context: Path) -> None:
    definition = {name: (context / name).read_bytes() for name in ("Dockerfile", ".dockerignore")}
    before = fingerprint(context).content
    for name, text in definition.items():
        (context / f"ignored/{name}").write_bytes(text)
        relink(context / name, f"/ignored/{name}")
    assert fingerprint(context).content == before
    relink(context / ".dockerignore", "../../../../etc/hostname")
    assert "README" not in [entry.path for entry in entries(context)]
    assert "ignored/file" in [entry.path for entry in entries(context)]
    relink(context / "Dockerfile", "Dockerfile")
    with pytest.raises(SceptreException, match="No Dockerfile"):
        fingerprint(context)


def test_the_dockerfile_may_be_written_small(context: Path) -> None:
    (context / "Dockerfile").rename(context / "dockerfile")
    assert build_context.dockerfile(context).startswith(b"FROM scratch")


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(SceptreException, match=r"No Dockerfile in .*: run sceptre from the project's folder"):
            fingerprint(folder)


def test_a_malformed_ignore_file_is_named(context: Path) -> None:
    (context / "Dockerfile.dockerignore").write_text("[")
    with pytest.raises(SceptreException, match=r"Dockerfile\.dockerignore: the class .* is malformed; docker does not"):
        fingerprint(context)
    (context / "Dockerfile.dockerignore").write_text("[z-a]")
    with pytest.raises(SceptreException, match=r"Dockerfile\.dockerignore: the pattern '\[z-a\]' is malformed"):
        fingerprint(context)


@contextmanager
def without_the_rights_of_root(context: Path) -> Iterator[None]:
    """Run the block as somebody who cannot read everything, but may enter the folders down to the context."""
    temporary = Path(tempfile.gettempdir())
    for folder in (context, *context.parents):
        if temporary in folder.parents:
            folder.chmod(0o755)
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["service/app.py", "service/data", ".dockerignore", "Dockerfile"])
def test_what_cannot_be_read_is_named(context: Path, name: str) -> None:
    (context / name).chmod(0)
    with (
        without_the_rights_of_root(context),
        pytest.raises(SceptreException, match=rf"/{name} cannot be read, .* Permission denied\. Make it readable"),
    ):
        fingerprint(context)


def test_what_is_ignored_need_not_be_readable(context: Path) -> None:
    before = fingerprint(context).content
    (context / "ignored/file").chmod(0)
    (context / "ignored").chmod(0)
    with without_the_rights_of_root(context):
        assert fingerprint(context).content == before


def test_a_huge_file_takes_little_memory(context: Path) -> None:
    with (context / "service/huge").open("wb") as file:
        file.truncate(8 * 1024**2)
    fingerprint(context)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (context / "service/huge").open("wb") as file:
        file.truncate(128 * 1024**2)
    fingerprint(context)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_folders_may_be_as_deep_as_a_path_can_be_long(context: Path) -> None:
    (context / ".dockerignore").unlink()
    folder = os.open(context / "service", os.O_RDONLY)
    for _ in range(1050):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    try:
        assert "service" + "/d" * 1050 in [entry.path for entry in entries(context)]
    finally:
        # pytest's own way to remove it goes down with a function call per folder.
        subprocess.run(["rm", "-r", context / "service/d"], check=True)
