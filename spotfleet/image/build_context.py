"""The build context: what `docker build` sends of a folder, and a fingerprint of it.

What is sent was read from BuildKit's client (https://github.com/tonistiigi/fsutil) and is compared with real builds by
a test: each file, folder and link that the ignore file lets through, with its permission bits and extended attributes,
a link as a link. Owners and times are not counted: COPY sets the former itself, and the latter say nothing.
"""

import hashlib
import heapq
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sceptre.exceptions import SceptreException

from spotfleet.image.dockerignore import IgnoreRules, LegacyIgnoreRules, PatternError, decoded, encoded, read_patterns

DOCKERFILE = "Dockerfile"
# Docker looks for this name too where it is told none.
OTHER_DOCKERFILE = "dockerfile"
KINDS = {
    **{stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"},
    **{stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "block device"},
}
# Extended attributes count as they do in BuildKit's own checksums, but for macOS's, which are not sent:
# https://github.com/moby/buildkit/blob/v0.17.0/cache/contenthash/tarsum.go
CAPABILITIES = "security.capability"
ATTRIBUTES_THAT_DO_NOT_COUNT = ("security.", "system.", "com.apple.")
MOST_LINKS = 40


@dataclass(frozen=True)
class Fingerprint:
    """What a build context held when it was looked at.

    `content` is the same as long as a build is sent the same. `writes` also changes when something is written and then
    put back as it was.
    """

    content: str
    writes: str


@dataclass(frozen=True)
class Entry:
    """Something that is sent: its path below the context, and what lstat(2) says of it."""

    path: str
    status: os.stat_result = field(repr=False)

    @property
    def kind(self) -> str:
        """What it is, one of KINDS' values."""
        return KINDS.get(stat.S_IFMT(self.status.st_mode), "unknown")

    @property
    def mode(self) -> int:
        """The permission bits that are sent; a link has none."""
        return 0 if self.kind == "link" else stat.S_IMODE(self.status.st_mode)


def fingerprint(context: Path, name_of_dockerfile: str = DOCKERFILE) -> Fingerprint:
    """Look at everything that a build is sent, and at the files that say how to build, which count in any case.

    Files are read in pieces, so that large ones take no memory. Raises SceptreException, in one sentence, where there
    is no Dockerfile, the ignore file is malformed, or something cannot be read.
    """
    content, writes = hashlib.sha256(), hashlib.sha256()
    how = [(DOCKERFILE, _dockerfile(context, name_of_dockerfile)), *_ignore_files(context, name_of_dockerfile)]
    for name, file in how:
        text = hashlib.sha256(_read(context, file)).hexdigest()
        content.update(f"{name} {text}\n".encode())
        writes.update(f"{file.status.st_ino} {file.status.st_ctime_ns}\n".encode())
    for entry in entries(context, name_of_dockerfile):
        digest = _digest(context, entry)
        if digest is not None:
            path = encoded(entry.path) + b"\0"
            content.update(f"{entry.kind} {entry.mode:o} {digest} ".encode() + path)
            writes.update(f"{entry.status.st_ino} {entry.status.st_ctime_ns} ".encode() + path)
    return Fingerprint(content.hexdigest(), writes.hexdigest())


def dockerfile(context: Path, name: str = DOCKERFILE) -> bytes:
    """Return the Dockerfile's text. Raises SceptreException where there is none, or it cannot be read."""
    return _read(context, _dockerfile(context, name))


def _dockerfile(context: Path, name: str) -> Entry:
    for each in (name, OTHER_DOCKERFILE) if name == DOCKERFILE else (name,):
        file = _file_below(context, each)
        if file is not None:
            return file
    raise SceptreException(
        f"No {name} in {context}: run sceptre from the project's folder, with the settings build_context and "
        "dockerfile in it."
    )


def _ignore_files(context: Path, name_of_dockerfile: str) -> Iterator[tuple[str, Entry]]:
    # The first that is there counts, even an empty one:
    # https://docs.docker.com/build/concepts/context/#filename-and-location
    for name in (f"{name_of_dockerfile}.dockerignore", ".dockerignore"):
        file = _file_below(context, name)
        if file is not None:
            yield name, file


def entries(context: Path, name_of_dockerfile: str = DOCKERFILE) -> Iterator[Entry]:
    """Yield everything that a build can be sent, a folder before what is in it.

    Clients differ in a few cases: what only some of them send counts, because to count too much makes a build that was
    not needed, and to count too little an image that is not what its tag says.
    Raises SceptreException as `fingerprint` does.
    """
    file, patterns = _ignore_file(context, name_of_dockerfile)
    try:
        rules = IgnoreRules(patterns)
        sent = let_through(context, rules)
        if not rules.are_read_alike():
            sent = _either(sent, _until_malformed(let_through(context, LegacyIgnoreRules(patterns))))
        yield from sent
    except PatternError as error:
        raise _malformed(context / file, error) from error


def _either(some: Iterator[Entry], others: Iterator[Entry]) -> Iterator[Entry]:
    """Yield what is in one or both of two listings, in their order."""
    last = None
    for entry in heapq.merge(some, others, key=lambda entry: encoded(entry.path).split(b"/")):
        if last is None or entry.path != last.path:
            yield entry
        last = entry


def _until_malformed(listing: Iterator[Entry]) -> Iterator[Entry]:
    # Only the old clients refuse the pattern, and say so themselves.
    with suppress(PatternError):
        yield from listing


def _ignore_file(context: Path, name_of_dockerfile: str) -> tuple[str, list[str]]:
    """Return the name of the ignore file that counts, and its patterns."""
    for name, file in _ignore_files(context, name_of_dockerfile):
        try:
            return name, read_patterns(_read(context, file))
        except PatternError as error:
            raise _malformed(context / name, error) from error
    return "", []


def _malformed(file: Path, error: PatternError) -> SceptreException:
    return SceptreException(f"{file}: {error}; docker does not build with it. Correct that line.")


@dataclass
class _Folder:
    """A folder while it is walked through: its path with a slash, the names in it, the patterns that match it."""

    path: str
    names: Iterator[str]
    matched: list[bool]
    # The folder as an entry, while it is ignored itself and nothing below it has been let through yet.
    waiting: Entry | None = None


def let_through(context: Path, rules: IgnoreRules) -> Iterator[Entry]:
    """Yield what a client that reads the ignore file by `rules` sends."""
    walked = [_Folder("", _names(context, "", ignored=False), [])]
    while walked:
        folder = walked[-1]
        name = next(folder.names, None)
        if name is None:
            walked.pop()
            continue
        path = folder.path + name
        ignored, matched = rules.match(path, folder.matched)
        entry = _entry(context, path)
        if entry is None:
            continue
        if not ignored or (entry.kind == "folder" and rules.sends(path)):
            # An ignored folder comes along with what an exception brings back of it.
            for above in walked:
                if above.waiting:
                    yield above.waiting
                    above.waiting = None
            yield entry
        if entry.kind == "folder" and not (ignored and rules.can_pass_over(path)):
            names = _names(context, path, ignored)
            waiting = entry if ignored and not rules.sends(path) else None
            walked.append(_Folder(f"{path}/", names, matched, waiting))


def _names(context: Path, folder: str, ignored: bool) -> Iterator[str]:
    """Return the names in a folder, in order; none of an ignored one that cannot be read, as Docker has it."""
    try:
        with _said_in_one_sentence(context, folder), os.scandir(_on_disk(context, folder)) as found:
            names = sorted(os.fsencode(item.name) for item in found)
    except FileNotFoundError:
        return iter(())
    except SceptreException:
        if ignored:
            return iter(())
        raise
    return map(decoded, names)


def _entry(context: Path, path: str) -> Entry | None:
    """Return what is at `path`, or None where it is gone in the meantime."""
    with _said_in_one_sentence(context, path):
        try:
            return Entry(path, os.lstat(_on_disk(context, path)))
        except FileNotFoundError:
            return None


def _digest(context: Path, entry: Entry) -> str | None:
    """Return a hash of what an entry holds: content, target or device, and attributes. None where it is gone."""
    path = _on_disk(context, entry.path)
    with _said_in_one_sentence(context, entry.path):
        try:
            if entry.kind == "file":
                with open(path, "rb", opener=_open_what_it_was) as file:  # Path.open() takes no opener
                    digest = hashlib.file_digest(file, "sha256")
            elif entry.kind == "link":
                digest = hashlib.sha256(_target(path))
            else:
                digest = hashlib.sha256(f"{entry.status.st_rdev}".encode())
        except FileNotFoundError:
            return None
    for attribute, value in _attributes(path):
        digest.update(f"\0{attribute}\0{value.hex()}".encode())
    return digest.hexdigest()


def _attributes(path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the extended attributes that an image keeps; none where the system or the file system has none."""
    if not hasattr(os, "listxattr"):
        return
    try:
        for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
            if attribute == CAPABILITIES or not attribute.startswith(ATTRIBUTES_THAT_DO_NOT_COUNT):
                yield attribute, os.getxattr(path, attribute, follow_symlinks=False)
    except OSError:
        return


def _read(context: Path, file: Entry) -> bytes:
    with _said_in_one_sentence(context, file.path):
        return Path(_on_disk(context, file.path)).read_bytes()


def _file_below(context: Path, name: str) -> Entry | None:
    """Return the file of that name in the context, or None where there is none.

    Links are followed as Docker does it: the context is the root of absolute ones, and no way leads out of it.
    """
    parts, found, links = deque([name]), list[str](), 0
    while parts:
        part = parts.popleft()
        if part == "..":
            found = found[:-1]
        if part in ("", ".", ".."):
            continue
        entry = _entry(context, "/".join([*found, part]))
        if entry is None:
            return None
        if entry.kind != "link":
            found.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            return None
        target = decoded(_target(_on_disk(context, entry.path)))
        found = [] if target.startswith("/") else found
        parts.extendleft(reversed(target.split("/")))
    file = _entry(context, "/".join(found))
    return file if file is not None and file.kind == "file" else None


def _on_disk(context: Path, path: str) -> str:
    # No Path: there can be many thousands.
    return f"{context}/{os.fsdecode(encoded(path))}"


def _target(link: str) -> bytes:
    """Return where a link leads, to the letter; Path.readlink() would tidy it up."""
    return os.fsencode(os.readlink(link))  # noqa: PTH115  # the target as it is, in bytes


def _open_what_it_was(path: str, flags: int) -> int:
    """Open a file without waiting for a writer or following a link, should it have become a pipe or a link since."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def _said_in_one_sentence(context: Path, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        shown = encoded(f"{context}/{path}").decode(errors="backslashreplace")
        raise SceptreException(
            f"{shown} cannot be read, and so not be built into the image: {error.strerror}. Make it readable, or name "
            "it in .dockerignore."
        ) from error
