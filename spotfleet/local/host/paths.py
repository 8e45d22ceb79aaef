"""Where things are: folders, the embedded AWS's address, the environments, and the variables that lead to it."""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import jinja2
import yaml

from spotfleet.configuration.quoting import Quoting
from spotfleet.local.host.console import Failure

ROOT = Path(__file__).resolve().parents[3]
# Everything that these commands write is below this folder, which Git ignores.
STATE = ROOT / ".local"

PORT_VARIABLE = "LOCAL_AWS_PORT"
DEFAULT_PORT = 4566
HIGHEST_PORT = 65535


def port() -> int:
    """Return the TCP port of the embedded AWS on 127.0.0.1: LOCAL_AWS_PORT, or 4566.

    Raises Failure when LOCAL_AWS_PORT is not a port number.
    """
    value = os.environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not value.isdecimal() or not 0 < int(value) <= HIGHEST_PORT:
        raise Failure(f"{PORT_VARIABLE} is {value!r}: give a port number from 1 to {HIGHEST_PORT}.")
    return int(value)


def endpoint() -> str:
    """Return the URL of the embedded AWS."""
    return f"http://127.0.0.1:{port()}"


def state_folder() -> Path:
    """Return the folder of what the embedded AWS on this port writes, and make it."""
    make_private(STATE)
    folder = STATE / str(port())
    make_private(folder)
    return folder


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can look into, or make it such a one.

    Raises Failure when it is another user's, as after a command with sudo.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise Failure(f"{folder} is not a folder of this user's, perhaps of a command with sudo: remove it.")
    folder.chmod(0o700)


def log_file() -> Path:
    """Return the log of the embedded AWS."""
    return state_folder() / "aws.log"


def open_log(file: Path) -> BinaryIO:
    """Open a log to add to it; only its owner can read it."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    return file.open("ab")


def key_file() -> Path:
    """Return the file with the key of the embedded AWS, which is there while it runs."""
    return state_folder() / "key"


def environments() -> list[str]:
    """Return the environments: the folders of config/, at any depth, that hold a config.yaml and stacks."""
    config = ROOT / "config"
    folders = [file.parent for file in config.rglob("config.yaml") if file.parent != config]
    named = [folder.relative_to(config).as_posix() for folder in folders]
    return sorted(name for name in named if layers(name) or not any(other.startswith(f"{name}/") for other in named))


def require_environment(name: str) -> None:
    """Raise Failure, naming the environments that exist, when `name` is none of them."""
    if name not in environments():
        known = ", ".join(environments()) or "none"
        raise Failure(f"There is no environment {name!r} in config/. Environments: {known}.")


def layers(environment: str) -> list[str]:
    """Return the stack files of an environment, without their suffix."""
    folder = ROOT / "config" / environment
    return sorted(path.stem for path in folder.glob("*.yaml") if path.name != "config.yaml")


def stacks(environment: str) -> list[str]:
    """Return the names of an environment's stacks, as Sceptre makes them: project code, folder and stack file.

    The files are read again only when one of them has changed: the live page asks all day. Raises Failure when they
    cannot be read.
    """
    code = _project_code(environment, _state_of(ROOT / "config"), tuple(sorted(os.environ.items())))
    start = f"{code}-{environment.replace('/', '-')}"
    return [f"{start}-{layer}" for layer in layers(environment)]


# The last two tell apart what an environment's files and variables were.
@lru_cache(maxsize=256)
def _project_code(environment: str, _files: object, _variables: object) -> object:
    return setting(environment, "project_code")


def _state_of(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what is another one when a file below a folder has come, gone or changed."""
    found: list[tuple[str, int, int, int]] = []
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return ()
    for entry in entries:
        # What goes while one looks is seen the next time; an editor's lock may be a link that leads nowhere.
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                found += _state_of(Path(entry.path))
            else:
                known = entry.stat()
                found.append((entry.path, known.st_ino, known.st_mtime_ns, known.st_size))
    return tuple(sorted(found))


def setting(environment: str, key: str) -> object:
    """Return one setting of an environment, or None. Raises Failure when one of its files cannot be read."""
    return settings(environment).get(key)


def settings(environment: str) -> dict[str, Any]:
    """Return what the files of an environment say.

    The files are Jinja2 templates, read from the shared one down as Sceptre does; each knows the environment's
    variables and what the ones above it say. Raises Failure when one of them cannot be read.
    """
    values: dict[str, Any] = {"stack_group_path": environment}
    for folder in reversed([Path(environment), *Path(environment).parents]):
        file = ROOT / "config" / folder / "config.yaml"
        if file.is_file():
            values |= _read(file, values)
    return {key: value for key, value in values.items() if key != "stack_group_path"}


def _read(file: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Return what a file in config/ says. Raises Failure that shows none of its text, which may be secret."""
    name = file.relative_to(ROOT).as_posix()
    jinja = jinja2.Environment(
        autoescape=False,  # noqa: S701  # not HTML
        loader=jinja2.FileSystemLoader(file.parent),
        undefined=jinja2.ChainableUndefined,
        extensions=[Quoting],
    )
    try:
        text = jinja.from_string(file.read_text(encoding="utf-8")).render({**known, "environment_variable": os.environ})
        values = yaml.load(text, Loader=_PlainLoader) or {}  # noqa: S506  # a SafeLoader
    except jinja2.TemplateSyntaxError as error:
        raise Failure(f"{name} is not a Jinja2 template: see its line {error.lineno}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Failure(f"{name} is not YAML{f': see its line {mark.line + 1}' if mark else ''}.") from None
    except Exception as error:  # a template can raise anything
        raise Failure(f"{name} cannot be read: {type(error).__name__}.") from None
    if not isinstance(values, dict):
        raise Failure(f"{name} must hold settings, such as region: eu-west-1.")
    return values


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML whose tags, such as Sceptre's !stack_output, do not matter."""


_PlainLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
