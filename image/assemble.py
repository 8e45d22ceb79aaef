"""Collects the root file system of the service's image: Python, what it needs to run, and nothing else.

Runs inside the build (see Dockerfile) with the base image's Python: `python3 assemble.py PACKAGES ROOT`. The base image
has a package manager, a shell and pip, two thirds of its size and most of what a scanner finds in it; a service needs
none of them.
"""

import compileall
import os
import py_compile
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from package_data import copy_package_data
from prepare_service import make_readable

# Parts of the standard library that are for developing, for windows on a screen, or for testing Python itself.
UNUSED = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "distutils"),
    *("pydoc_data", "venv", "__pycache__", "site-packages", "dist-packages", "config-*"),
    *("_tkinter.*", "_curses*", "readline.*", "_dbm.*", "_gdbm.*", "nis.*", "_test*", "_xx*", "_ctypes_test*", "xx*"),
    *("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "LICENSE.txt", "EXTERNALLY-MANAGED"),
)
# Files of the system that Python or the C library reads, where the base image has them.
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
)
# Every certificate in a file named after its hash, which OpenSSL looks up when it meets one. Given all of them in one
# file instead, it would read that whenever aiohttp is imported: 0.3 s at 0.25 core.
CERTIFICATES = Path("/etc/ssl/certs")
# The same source gives the same layer, so nothing in it tells when it was built.
NO_TIME = (0, 0)
USERS = "root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n"


def main(packages: Path, root: Path) -> None:
    """Fill `root`, in which /packages becomes the folder `packages`."""
    copy_interpreter(root)
    standard_library = Path(sysconfig.get_path("stdlib"))
    copy_tree(standard_library, root, standard_library)
    # The Debian packages of Python have their compiled modules elsewhere than the rest on some architectures.
    copy_tree(Path(sysconfig.get_path("platstdlib")), root, Path(sysconfig.get_path("platstdlib")))
    copy_tree(packages, root, Path("/packages"))
    for module in (root / "packages").rglob("*.so"):
        strip(module)
    compile_without_source(root)
    copy_shared_libraries(root)
    for file in map(Path, SYSTEM_FILES):
        if file.is_file():
            copy_file(file, root)
    for certificate in CERTIFICATES.glob("*.[0-9]"):
        copy_file(certificate, root)
    if not copy_package_data(Path("/"), root):
        print("Nothing is known of the base image's packages: scanners will see those of Python only")
    (root / "etc/passwd").write_text(USERS)
    make_readable(root)
    for path in root.rglob("*"):
        os.utime(path, NO_TIME, follow_symlinks=False)


def copy_interpreter(root: Path) -> None:
    """Copy the interpreter, and name it python3 beside it."""
    interpreter = Path(sys.executable).resolve()
    copy_file(interpreter, root)
    (inside(root, interpreter).parent / "python3").symlink_to(interpreter.name)


def copy_tree(source: Path, root: Path, target: Path) -> None:
    """Copy the folder `source` to where `target` is in `root`, without what is not used."""
    shutil.copytree(source, inside(root, target), ignore=UNUSED, dirs_exist_ok=True)


def compile_without_source(root: Path) -> None:
    """Put bytecode in the place of every module: half the size, and importing does not look for the source first.

    Tracebacks still name file and line; the service itself keeps its source.
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # The other one writes the time of the source into it.
    if not compileall.compile_dir(root, quiet=1, legacy=True, stripdir=str(root), invalidation_mode=mode):
        raise SystemExit("Some modules do not compile")
    for source in root.rglob("*.py"):
        source.unlink()


def strip(module: Path) -> None:
    """Cut the debugger's symbols off the compiled `module`, as strip(1) would, which slim base images do not have.

    What is loaded at run time comes first in the file and is described by the program headers; after that come the
    symbols and the section headers, which only a debugger or a linker reads. uvloop's module is two thirds symbols.
    The offsets are those of 64-bit ELF, see elf(5).
    """
    content = bytearray(module.read_bytes())
    (first_header,) = struct.unpack_from("<Q", content, 0x20)
    header_size, header_count = struct.unpack_from("<HH", content, 0x36)
    end = first_header + header_size * header_count
    for header in range(first_header, end, header_size):
        (offset,) = struct.unpack_from("<Q", content, header + 0x08)
        (size,) = struct.unpack_from("<Q", content, header + 0x20)
        end = max(end, offset + size)
    struct.pack_into("<Q", content, 0x28, 0)  # no section headers
    struct.pack_into("<HH", content, 0x3C, 0, 0)
    module.write_bytes(content[:end])


def copy_shared_libraries(root: Path) -> None:
    """Copy every shared library that the interpreter and the compiled modules are linked to, and the loader."""
    modules = [path for path in root.rglob("*") if path.is_file() and is_program(path)]
    for library in linked_to(modules):
        if not inside(root, library).exists():
            copy_file(library, root)


def is_program(path: Path) -> bool:
    """Return whether `path` is an ELF file."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def linked_to(programs: Iterable[Path]) -> set[Path]:
    """Return the libraries that ldd finds for `programs`."""
    # One by one, because musl's ldd takes no more.
    asked = [subprocess.run(["ldd", name], capture_output=True, text=True, check=False) for name in programs]  # noqa: S607
    output = "".join(answer.stdout for answer in asked)
    missing = re.findall(r"(\S+) => not found", output)
    if missing:
        raise SystemExit(f"The base image lacks libraries: {', '.join(sorted(set(missing)))}")
    return {Path(name) for name in re.findall(r"(/\S+) \(0x", output)}


def copy_file(file: Path, root: Path) -> None:
    """Copy what `file` is, or is a link to, to the same place in `root`."""
    target = inside(root, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file.resolve(), target)


def inside(root: Path, path: Path) -> Path:
    """Return where the absolute `path` is in `root`."""
    return root / path.relative_to("/")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
