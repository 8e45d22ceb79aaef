"""Lets the stacks' files in config/<environment>/ include those of config/wiring/: config/config.yaml adds it to Jinja.

Sceptre lets a file include only what is in its own folder, and the wiring is the same in all environments.
"""

import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from jinja2.ext import Extension

# Sceptre has no other name for the folder.
CONFIG = "config"
WIRING = "wiring/"
INCLUDED = re.compile(rf"{{%[-+]?\s*(?:include|extends)\s+[\"']({WIRING}[^\"']+)[\"']")


class SharedWiring(Extension):
    """Adds the folder config/ to where an environment of Jinja looks for files."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if isinstance(environment.loader, FileSystemLoader):
            own = environment.loader.searchpath
            shared = [folder for path in own if (folder := config_folder(Path(path)))]
            environment.loader = _Loader([*own, *shared])


class _Loader(FileSystemLoader):
    """Reads files; those of config/wiring/ with a line break at their end."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, file, is_current = super().get_source(environment, template)
        # Jinja drops the last line break of a file and the one behind an include, so a setting below the include of a
        # stack's file would stand on the last line of what is included.
        return (f"{source}\n" if template.startswith(WIRING) else source), file, is_current


def config_folder(path: Path) -> Path | None:
    """Return the folder config/ that a file or folder is in, at any depth; None where there is none."""
    return next((parent for parent in path.absolute().parents if parent.name == CONFIG), None)


def included(file: Path) -> list[str]:
    """Return the files of config/wiring/ that a stack's file includes, and those that they extend, from config/ on."""
    config = config_folder(file)
    if not config or not file.is_file():
        return []
    names = INCLUDED.findall(file.read_text(encoding="utf-8", errors="replace"))
    return [found for name in names for found in (name, *included(config / name))]
