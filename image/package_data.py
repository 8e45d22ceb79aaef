"""Copies what a scanner knows an image's packages by: the system's release, and the records of its package manager.

Only the records of packages that something in the image comes from are copied. A scanner takes the whole list for
installed, and would otherwise report the shell and the package manager that were left behind.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

# What scanners tell the distribution and its version by; each has one that it looks at first.
RELEASE_FILES = ("etc/os-release", "usr/lib/os-release", "etc/*-release", "etc/*_version")
# Debian and Ubuntu, dpkg(1). Not a file per package in status.d, as in distroless images: every scanner reads this one,
# and Amazon Inspector documents no other. See
# https://docs.aws.amazon.com/inspector/latest/user/sbom-generator-operating-system-collection.html
DPKG_STATUS = "var/lib/dpkg/status"
DPKG_INFO = "var/lib/dpkg/info"
# Alpine, where it was and where it is; see https://wiki.alpinelinux.org/wiki/Apk_spec
APK_DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")


def copy_package_data(base: Path, root: Path) -> int:
    """Copy from the system at `base` what holds for the image at `root`; return how many packages that are.

    0 says that nothing is known: the base has neither dpkg nor apk, or none of their packages is in the image.
    """
    copy_release(base, root)
    origins = dict(files_with_origin(base, root))
    return copy_dpkg_records(base, root, origins) or copy_apk_records(base, root, origins)


def copy_release(base: Path, root: Path) -> None:
    """Copy the files that name the distribution; a link becomes the file that it leads to."""
    for pattern in RELEASE_FILES:
        for file in base.glob(pattern):
            if file.is_file():
                write(root / file.relative_to(base), read(file))


def files_with_origin(base: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Return each file of the image, "/usr/bin/python3.11", with the file of the base that it was made from."""
    for path in root.rglob("*"):
        in_base = base / path.relative_to(root)
        # A module was compiled, and its source left out.
        for origin in (in_base, in_base.with_suffix(".py")):
            if path.is_file() and origin.is_file():
                yield f"/{path.relative_to(root)}", os.path.realpath(origin)
                break


def copy_dpkg_records(base: Path, root: Path, origins: Mapping[str, str]) -> int:
    """Write dpkg's records of the packages that own the origins: state, files, checksums and licence."""
    if not (base / DPKG_STATUS).is_file():
        return 0
    owners = dpkg_owners(base)
    files: dict[str, list[str]] = defaultdict(list)
    for file, origin in sorted(origins.items()):
        if origin in owners:
            files[owners[origin]].append(file)
    stanzas = {record_name(stanza, files): stanza for stanza in paragraphs(base / DPKG_STATUS)}
    kept = {record: stanzas[record] for record in sorted(files) if record in stanzas}
    for record in kept:
        write(root / DPKG_INFO / f"{record}.list", "".join(f"{file}\n" for file in files[record]))
        write_checksums(base, root, record, {file: origins[file] for file in files[record]})
        copyright_file = Path("usr/share/doc", record.partition(":")[0], "copyright")
        if (base / copyright_file).is_file():
            write(root / copyright_file, read(base / copyright_file))
    write(root / DPKG_STATUS, "".join(f"{stanza}\n\n" for stanza in kept.values()))
    return len(kept)


def dpkg_owners(base: Path) -> dict[str, str]:
    """Return the record that lists each file: "libc6:amd64" where several architectures can be installed, or "tzdata".

    A record can say /lib/… for what is in /usr/lib today, so its folders are resolved; a link itself is not, as what it
    leads to can be another package's.
    """
    folders: dict[str, str] = {}
    owners = {}
    for record in (base / DPKG_INFO).glob("*.list"):
        for line in read(record).splitlines():
            owners[in_real_folder(base, line, folders)] = record.stem
    return owners


def in_real_folder(base: Path, file: str, folders: dict[str, str]) -> str:
    """Return `file` of the system at `base` with the links in its folder resolved, which `folders` remembers."""
    folder, _, name = file.strip("/").rpartition("/")
    if folder not in folders:
        folders[folder] = os.path.realpath(base / folder)
    return str(Path(folders[folder], name))


def record_name(stanza: str, records: Mapping[str, object]) -> str:
    """Return what the files of the package that `stanza` describes are recorded under."""
    name = field(stanza, "Package")
    with_architecture = f"{name}:{field(stanza, 'Architecture')}"
    return with_architecture if with_architecture in records else name


def write_checksums(base: Path, root: Path, record: str, origins: Mapping[str, str]) -> None:
    """Write the checksums that dpkg knows of a package's files, of those that are in the image as they were."""
    checksums_file = base / DPKG_INFO / f"{record}.md5sums"
    if not checksums_file.is_file():
        return
    folders: dict[str, str] = {}
    checksums = {}
    for line in read(checksums_file).splitlines():
        checksum, _, file = line.partition("  ")
        checksums[in_real_folder(base, file, folders)] = checksum
    lines = [
        f"{checksums[origin]}  {file.lstrip('/')}\n"
        for file, origin in origins.items()
        if origin in checksums and not (file.endswith(".pyc") and origin.endswith(".py"))
    ]
    write(root / DPKG_INFO / f"{record}.md5sums", "".join(lines))


def copy_apk_records(base: Path, root: Path, origins: Mapping[str, str]) -> int:
    """Write apk's records of the packages that own the origins."""
    for database in APK_DATABASES:
        if (base / database).is_file():
            wanted = set(origins.values())
            kept = [record for record in paragraphs(base / database) if wanted & set(apk_files(base, record))]
            write(root / database, "".join(f"{record}\n\n" for record in kept))
            return len(kept)
    return 0


def apk_files(base: Path, record: str) -> Iterator[str]:
    """Return the files of the package that `record` describes: names, R, follow the folder that they are in, F."""
    folders: dict[str, str] = {}
    folder = ""
    for line in record.splitlines():
        if line.startswith("F:"):
            folder = line[2:]
        elif line.startswith("R:"):
            yield in_real_folder(base, f"{folder}/{line[2:]}", folders)


def paragraphs(file: Path) -> list[str]:
    """Return what stands between the empty lines of `file`."""
    return [text for text in re.split(r"\n{2,}", read(file).strip("\n")) if text]


def field(stanza: str, name: str) -> str:
    """Return a field of a Debian control paragraph, or nothing."""
    found = re.search(rf"^{name}: *(.*)$", stanza, re.MULTILINE)
    return found[1] if found else ""


def read(file: Path) -> str:
    """Read a file that is UTF-8, or nearly."""
    return file.read_text(encoding="utf-8", errors="surrogateescape")


def write(file: Path, content: str) -> None:
    """Write a file, and the folders that it needs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
