"""Reads the user's Docker configuration, https://docs.docker.com/reference/cli/docker/#configuration-files."""

import json
import os
from pathlib import Path
from typing import Any

DEFAULT_CONTEXT = "default"


def context() -> str:
    """Return the context that `docker context use` has chosen: which engine the docker command works with."""
    chosen = read().get("currentContext")
    return chosen if isinstance(chosen, str) and chosen else DEFAULT_CONTEXT


def build_is_buildx() -> bool:
    """Return whether `docker buildx install` was run: `docker build` uses the builder of `docker buildx use` then."""
    aliases = read().get("aliases")
    return isinstance(aliases, dict) and aliases.get("builder") == "buildx"


def folder() -> Path | None:
    """Return the folder of the user's Docker configuration, or None where the user has no home."""
    try:
        return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    except RuntimeError:
        return None


def read() -> dict[str, Any]:
    """Return the user's Docker configuration; like docker itself, go on without one that cannot be read."""
    try:
        place = folder()
        config = json.loads((place / "config.json").read_text(errors="replace")) if place else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}
