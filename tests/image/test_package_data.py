"""What the image tells scanners of the packages that its files come from, on bases of several kinds."""

from pathlib import Path

import pytest

from image.package_data import copy_package_data

LIBC = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9"
TZDATA = "Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2026a\nDescription: a\n b"
DASH = "Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.5"
PYTHON = "Package: libpython3.11-stdlib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.11.2"


def put(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A system with /usr merged, whose packages still say /lib."""
    base = tmp_path / "base"
    put(base / "usr/lib/os-release", "ID=debian\n")
    (base / "etc").mkdir()
    (base / "etc/os-release").symlink_to("../usr/lib/os-release")
    put(base / "etc/debian_version", "12.12\n")
    return base


@pytest.fixture
def debian(base: Path) -> Path:
    (base / "lib").symlink_to("usr/lib")
    put(base / "usr/lib/libc.so.6", "libc")
    put(base / "usr/lib/libz.so.1.3", "z")
    put(base / "usr/lib/python3.11/os.py", "")
    put(base / "usr/share/zoneinfo/UTC", "utc")
    put(base / "usr/share/doc/libc6/copyright", "LGPL")
    put(base / "var/lib/dpkg/status", "\n\n".join((DASH, LIBC, TZDATA, PYTHON)) + "\n\n")
    records = base / "var/lib/dpkg/info"
    put(records / "libc6:amd64.list", "/.\n/lib\n/lib/libc.so.6\n/lib/libunused.so\n")
    put(records / "libc6:amd64.md5sums", "aaaa  lib/libc.so.6\nbbbb  lib/libunused.so\n")
    put(records / "tzdata.list", "/.\n/usr\n/usr/share/zoneinfo/UTC\n")
    put(records / "libpython3.11-stdlib:amd64.list", "/usr/lib/python3.11\n/usr/lib/python3.11/os.py\n")
    put(records / "libpython3.11-stdlib:amd64.md5sums", "cccc  usr/lib/python3.11/os.py\n")
    put(records / "dash.list", "/bin/sh\n")
    return base


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_the_release_is_there_under_each_of_its_names(base: Path, root: Path) -> None:
    copy_package_data(base, root)
    for name in ("etc/os-release", "usr/lib/os-release"):
        assert (root / name).read_text() == "ID=debian\n"
        assert not (root / name).is_symlink()
    assert (root / "etc/debian_version").read_text() == "12.12\n"


@pytest.mark.parametrize("folder", ["lib", "usr/lib"])
def test_a_package_is_listed_under_either_name_of_its_folder(debian: Path, root: Path, folder: str) -> None:
    put(root / folder / "libc.so.6", "libc")
    assert copy_package_data(debian, root) == 1
    assert (root / "var/lib/dpkg/status").read_text() == f"{LIBC}\n\n"
    records = root / "var/lib/dpkg/info"
    assert (records / "libc6:amd64.list").read_text() == f"/{folder}/libc.so.6\n"
    assert (records / "libc6:amd64.md5sums").read_text() == f"aaaa  {folder}/libc.so.6\n"
    assert (root / "usr/share/doc/libc6/copyright").read_text() == "LGPL"


def test_only_packages_of_which_something_is_there_are_listed(debian: Path, root: Path) -> None:
    put(root / "usr/share/zoneinfo/UTC", "utc")
    put(root / "usr/lib/libz.so.1.3", "of no package")
    put(root / "packages/aiohttp/__init__.pyc")
    assert copy_package_data(debian, root) == 1
    assert (root / "var/lib/dpkg/status").read_text() == f"{TZDATA}\n\n"


def test_a_link_in_the_base_that_became_a_file_belongs_to_the_package_of_the_file(debian: Path, root: Path) -> None:
    (debian / "usr/lib/libm.so.6").symlink_to("libc.so.6")
    put(root / "lib/libm.so.6", "libc")
    assert copy_package_data(debian, root) == 1
    assert (root / "var/lib/dpkg/info/libc6:amd64.list").read_text() == "/lib/libm.so.6\n"


def test_a_compiled_module_belongs_to_the_package_of_its_source(debian: Path, root: Path) -> None:
    put(root / "usr/lib/python3.11/os.pyc")
    assert copy_package_data(debian, root) == 1
    assert (root / "var/lib/dpkg/info/libpython3.11-stdlib:amd64.list").read_text() == "/usr/lib/python3.11/os.pyc\n"
    assert (root / "var/lib/dpkg/info/libpython3.11-stdlib:amd64.md5sums").read_text() == ""


def test_words_that_are_not_utf_8_are_kept(debian: Path, root: Path) -> None:
    status = (LIBC + "\nMaintainer: J\udce9r\u00f4me\n\n").encode("utf-8", "surrogateescape")
    (debian / "var/lib/dpkg/status").write_bytes(status)
    put(root / "lib/libc.so.6", "libc")
    copy_package_data(debian, root)
    assert (root / "var/lib/dpkg/status").read_bytes() == status


@pytest.mark.parametrize("database", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_alpines_packages_are_listed(base: Path, root: Path, database: str) -> None:
    musl = "P:musl\nV:1.2.5-r9\nF:lib\nR:ld-musl-x86_64.so.1\nZ:Q1x="
    busybox = "P:busybox\nV:1.37.0-r12\nF:bin\nR:busybox\nF:etc\nR:securetty"
    put(base / "lib/ld-musl-x86_64.so.1", "musl")
    put(base / database, f"{musl}\n\n{busybox}\n\n")
    put(root / "lib/ld-musl-x86_64.so.1", "musl")
    assert copy_package_data(base, root) == 1
    assert (root / database).read_text() == f"{musl}\n\n"


def test_of_another_package_manager_only_the_release_is_known(base: Path, root: Path) -> None:
    put(base / "var/lib/rpm/rpmdb.sqlite", "binary")
    put(base / "usr/lib64/libc.so.6", "libc")
    put(root / "usr/lib64/libc.so.6", "libc")
    assert copy_package_data(base, root) == 0
    assert (root / "etc/os-release").read_text() == "ID=debian\n"
    assert not (root / "var").exists()


def test_a_base_without_anything_is_no_failure(tmp_path: Path, root: Path) -> None:
    (tmp_path / "bare").mkdir()
    assert copy_package_data(tmp_path / "bare", root) == 0
