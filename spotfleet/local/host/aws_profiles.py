"""The profiles that the configuration names, as a file for AWS clients: on the embedded AWS each of them exists.

Sceptre takes `profile` from any file of config/, and an AWS client refuses a profile that its configuration file does
not have: https://docs.sceptre-project.org/latest/docs/stack_config.html#profile
"""

import configparser
import io
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2
import yaml

SETTING = re.compile(r"^(\w+)\s*:(.*)$")
FILE_NAME = "aws-config"

_jinja = jinja2.Environment(autoescape=False, undefined=jinja2.ChainableUndefined)  # noqa: S701  # YAML, not HTML


def names(config: Path) -> list[str]:
    """Return the profiles that the files of a configuration folder name.

    A value may be a Jinja2 template of environment variables and of simple settings in the files above its own.
    """
    found_files = [*config.glob("**/*.yaml"), *config.glob("wiring/*.yaml.j2")]
    files = sorted(found_files, key=lambda file: (len(file.parts), file.name != "config.yaml", file))
    known: dict[Path, dict[str, object]] = {}
    found: set[str] = set()
    for file in files:
        above = [folder for folder in reversed(file.parents) if folder.is_relative_to(config)]
        inherited = {key: value for folder in above for key, value in known.get(folder, {}).items()}
        own = dict(_settings(file, inherited))
        if file.name == "config.yaml":
            known[file.parent] = own
        if own.get("profile"):
            found.add(str(own["profile"]))
    return sorted(found)


def _settings(file: Path, inherited: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the settings of a file whose value stands on their own line; what cannot be read is left out."""
    variables = {**inherited, "environment_variable": os.environ}
    for line in file.read_text(errors="replace").splitlines():
        if match := SETTING.match(line):
            try:
                yield match[1], yaml.safe_load(_jinja.from_string(match[2]).render(variables))
            except Exception:  # noqa: S112  # a filter may raise anything for what is unknown here
                continue


def write(folder: Path, config: Path, access: Mapping[str, str]) -> str:
    """Write the profiles that a configuration names, each with the same key, and return the file's path.

    The key comes as the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Without a profile it is os.devnull.
    """
    settings = {name.lower(): value for name, value in access.items()}
    profiles = names(config)
    if not profiles:
        return os.devnull
    parser = configparser.RawConfigParser()
    for name in profiles:
        parser[name if name == "default" else f"profile {shlex.quote(name)}"] = settings
    text = io.StringIO()
    parser.write(text)
    file = folder / FILE_NAME
    # Several commands may write at the same time, and it holds a key.
    partial = file.with_suffix(f".{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text.getvalue())
    partial.replace(file)
    return str(file)
