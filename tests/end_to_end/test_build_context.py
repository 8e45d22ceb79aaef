"""What a real builder receives of a folder is what was looked at: trees and ignore files made up by Hypothesis."""

import io
import os
import re
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sceptre.exceptions import SceptreException

from spotfleet.image.build_context import entries, let_through
from spotfleet.image.docker_cli import LAST_RELEASE_WITH_BUILDKIT, find_docker
from spotfleet.image.dockerignore import IgnoreRules, LegacyIgnoreRules, PatternError, decoded, encoded, read_patterns

Tree = dict[str, "Tree | tuple[str, int]"]
Sent = dict[str, tuple[str, int]]

NAMES = [
    "a",
    "b",
    "A",
    "ab",
    "foo",
    "foo.py",
    "Foo",
    "x.pyc",
    "#a",
    "[b]",
    "a b",
    "é",
    "-",
    "!a",
    "a^b",
    ".h",
    "a\\b",
    "a+b",
]
PARTS = [
    *(
        "a",
        "b",
        "A",
        "foo",
        "Foo",
        "foo.py",
        "a b",
        "é",
        ".h",
        "\\#a",
        "#a",
        "\\[b\\]",
        "a+b",
        "a^b",
        "a\\\\b",
        "\\!a",
        "!a",
    ),
    *(
        "*",
        "**",
        "?",
        "*.py",
        "*.pyc",
        "a*",
        "**a",
        "a**",
        "f**o",
        "?o?",
        "*b",
        "[ab]",
        "[^a]",
        "[!a]",
        "[a-f]*",
        "[A-Z]*",
    ),
    *("[\\]a]", "[*]", "[é]", "\\d", ".", "..", "-"),
]
MODES = [0o644, 0o600, 0o755, 0o4755]
FOLDER_MODES = [0o755, 0o700, 0o775, 0o2755, 0o1777]
leaves = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(MODES)),
    st.tuples(st.sampled_from(["a", "..", "nowhere", "/etc", "./a//b"]), st.just(0)),
)
trees = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), leaves, max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), st.one_of(leaves, inner), min_size=1, max_size=4),
    max_leaves=12,
)
patterns = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "", "!", "!", "/", "!/", " ", "! "]),
        st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join),
        st.sampled_from(["", "", "", "/", " "]),
    ),
)
ignore_files = st.builds(
    lambda start, lines, end: start + end.join(lines),
    st.sampled_from(["", "", "*\n", "# all\n*\n", "\ufeff"]),
    st.lists(patterns, min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
)


def make(folder: Path, tree: Tree) -> None:
    for number, (name, item) in enumerate(tree.items()):
        path = folder / name
        if isinstance(item, dict):
            path.mkdir()
            make(path, item)
            path.chmod(FOLDER_MODES[number % len(FOLDER_MODES)])
        elif item[0] == "file":
            path.write_text(name)
            path.chmod(item[1])
        else:
            path.symlink_to(item[0])


def received(docker: str, context: Path) -> Sent | None:
    """Return what a builder got of the context, or None where the ignore file ends the build."""
    command = [docker, "build", "--quiet", "--output", "type=tar,dest=-", str(context)]
    built = subprocess.run(command, env=os.environ | {"DOCKER_BUILDKIT": "1"}, capture_output=True, check=False)
    if built.returncode != 0:
        assert b"pattern" in built.stderr, built.stderr.decode(errors="replace")
        return None
    with tarfile.open(fileobj=io.BytesIO(built.stdout), encoding="utf-8", errors="surrogateescape") as archive:
        return {member.name: kind_and_mode(member) for member in archive if member.name.strip("./")}


def kind_and_mode(member: tarfile.TarInfo) -> tuple[str, int]:
    if member.issym():
        return "link", 0
    return "folder" if member.isdir() else "file", stat.S_IMODE(member.mode)


@pytest.fixture(scope="module")
def docker() -> str:
    """The docker command."""
    return find_docker()


@pytest.fixture(scope="module")
def rules_of_the_client(docker: str) -> type[IgnoreRules]:
    """How the client of this machine reads ignore files."""
    version = subprocess.run([docker, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)\.", version)
    assert found
    return LegacyIgnoreRules if int(found[1]) <= LAST_RELEASE_WITH_BUILDKIT else IgnoreRules


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    tree=trees, ignore=ignore_files, file=st.sampled_from([".dockerignore", ".dockerignore", "Dockerfile.dockerignore"])
)
def test_a_builder_receives_what_was_looked_at(
    docker: str, rules_of_the_client: type[IgnoreRules], tree: Tree, ignore: str, file: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        make(context, tree)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        (context / file).write_bytes(ignore.encode())
        sent = received(docker, context)
        try:
            rules = rules_of_the_client(read_patterns(ignore.encode()))
            expected = {entry.path: (entry.kind, entry.mode) for entry in let_through(context, rules)}
            counted = {entry.path for entry in entries(context)}
        except (PatternError, SceptreException):
            assert sent is None
            return
        if sent is not None:
            assert expected == sent
            assert expected.keys() <= counted


def test_a_builder_receives_names_in_any_encoding_and_what_is_no_file(docker: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_text("")
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "first").write_text("x")
    (tmp_path / "second").hardlink_to(tmp_path / "first")
    os.mkfifo(tmp_path / "pipe")
    sent = received(docker, tmp_path)
    assert sent is not None
    # The pipe is sent, but COPY leaves it out.
    assert sent == {each.path: (each.kind, each.mode) for each in entries(tmp_path) if each.kind != "pipe"}
    assert decoded(b"\xff\xfe") in sent
    assert encoded(decoded(b"\xff\xfe")) == b"\xff\xfe"
