"""Where things are: folders, the embedded AWS's address, the environments, and the variables that lead to it."""

import os
from pathlib import Path
from typing import BinaryIO

import jinja2
import yaml

from local.console import Failure

ROOT = Path(__file__).resolve().parent.parent
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
    """Make a folder that only its owner can look into, or make it such a one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    """Return the environments: the folders of config/ that hold a config.yaml."""
    return sorted(path.parent.name for path in (ROOT / "config").glob("*/config.yaml"))


def require_environment(name: str) -> None:
    """Raise Failure, naming the environments that exist, when `name` is none of them."""
    if name not in environments():
        known = ", ".join(environments()) or "none"
        raise Failure(f"There is no environment {name!r} in config/. Environments: {known}.")


def layers(environment: str) -> list[str]:
    """Return the stack files of an environment, without their suffix."""
    folder = ROOT / "config" / environment
    return sorted(path.stem for path in folder.glob("*.yaml") if path.name != "config.yaml")


def setting(environment: str, key: str) -> object:
    """Return one value of config/<environment>/config.yaml, or of config/config.yaml, or None.

    The files are Jinja2 templates; only the environment's variables are known here, which is enough for a setting that
    does not depend on another one.
    """
    for file in (ROOT / "config" / environment / "config.yaml", ROOT / "config" / "config.yaml"):
        if not file.is_file():
            continue
        template = jinja2.Environment(autoescape=False, undefined=jinja2.ChainableUndefined)  # noqa: S701  # not HTML
        text = template.from_string(file.read_text()).render(
            environment_variable=os.environ, stack_group_path=environment
        )
        value = (yaml.load(text, Loader=_PlainLoader) or {}).get(key)  # noqa: S506  # a SafeLoader
        if value is not None:
            return value
    return None


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML whose tags, such as Sceptre's !stack_output, do not matter."""


_PlainLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
