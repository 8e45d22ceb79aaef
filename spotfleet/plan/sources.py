"""Where the configurations that a plan compares come from: the project's files, another file, or a commit of Git."""

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from spotfleet.configuration.quoting import dumps
from spotfleet.plan import configurations
from spotfleet.plan.configurations import Configuration, NoConfigurationError
from spotfleet.settings.environment import Settings
from spotfleet.settings.service import ServiceSettings

CONFIG, TEMPLATES, FILE = "config", "templates", "config.yaml"
SERVICES = "services"


def now(project: Path, environment: str, settings: Mapping[str, Any]) -> Configuration:
    """Return the environment as its files have it, with these settings in the place of its own."""
    if not settings:
        return configurations.read(project, environment, "the files here")
    with _copy(project) as folder:
        file = folder / CONFIG / environment / FILE
        # Of two lines with the same key the last one counts.
        lines = [f"{key}: {dumps(value)}" for key, value in _with_services(project, environment, settings).items()]
        file.write_text("\n".join([file.read_text(), "{% raw %}", *lines, "{% endraw %}", ""]))
        said = ", ".join(settings)
        return configurations.read(folder, environment, f"the files here with another {said}", images=project)


def given(assignments: Sequence[str]) -> dict[str, Any]:
    """Return the settings in texts such as max_machines=6; a value is YAML, as in config.yaml.

    A further service's is such as services.api.max_tasks. Raises NoConfigurationError.
    """
    found: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise NoConfigurationError(f"--set {text}: give key=value, such as max_machines=6")
        if not _is_setting(key.strip()):
            raise NoConfigurationError(f"--set {key.strip()} is not a setting; docs/settings.md has them all")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise NoConfigurationError(f"--set {key.strip()}: its value is no YAML") from error
    return found


def _is_setting(key: str) -> bool:
    group, _, rest = key.partition(".")
    service, _, name = rest.rpartition(".")
    return key in Settings.model_fields or bool(
        group == SERVICES and service and "." not in service and name in ServiceSettings.model_fields
    )


def _with_services(project: Path, environment: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with those of further services among all that the files have under `services`."""
    found = {key: value for key, value in settings.items() if "." not in key}
    own = [key.split(".") for key in settings if "." in key]
    if not own:
        return found
    if SERVICES in found:
        raise NoConfigurationError("--set services: give all of it, or single settings such as services.api.max_tasks")
    now_ = configurations.read(project, environment, "the files here").settings
    services = {name: dict(given_) for name, given_ in now_.services.items()} if now_ else {}
    for _, service, name in own:
        if service not in services:
            raise NoConfigurationError(f"--set {SERVICES}.{service}.{name}: there is no service {service}")
        services[service][name] = settings[f"{SERVICES}.{service}.{name}"]
    return found | {SERVICES: services}


def of_path(project: Path, environment: str, path: Path) -> Configuration:
    """Return the environment as a file config.yaml, an environment's folder or a project's folder has it.

    What the path does not have is that of this project. Raises NoConfigurationError.
    """
    with _copy(project) as folder:
        own = folder / CONFIG / environment
        images = project
        if path.is_file():
            shutil.copyfile(path, own / FILE)
        elif (path / FILE).is_file():
            shutil.rmtree(own)
            shutil.copytree(path, own)
        elif (path / CONFIG / environment / FILE).is_file():
            return _read_from(path, environment, str(path), path)
        else:
            raise NoConfigurationError(f"{path} is no configuration: it has no {FILE}")
        return _read_from(folder, environment, str(path), images)


def of_commit(project: Path, environment: str, commit: str) -> Configuration:
    """Return the environment as a commit of the project's repository has it. Raises NoConfigurationError."""
    archive = _git(project, "archive", "--format=tar", commit)
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        folder = Path(name)
        files.extractall(folder, filter="data")
        if not (folder / CONFIG / environment / FILE).is_file():
            raise NoConfigurationError(f"commit {commit} has no config/{environment}/{FILE}")
        return _read_from(folder, environment, f"commit {commit}", folder)


def against(project: Path, environment: str, name: str) -> Configuration:
    """Return the environment as a file, a folder or a commit has it. Raises NoConfigurationError."""
    path = Path(name)
    if path.exists():
        return of_path(project, environment, path)
    try:
        _git(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except NoConfigurationError as error:
        raise NoConfigurationError(f"{name} is no file, no folder and no commit") from error
    return of_commit(project, environment, name)


def _read_from(folder: Path, environment: str, source: str, images: Path) -> Configuration:
    try:
        return replace(configurations.read(folder, environment, source, images), source=source)
    except NoConfigurationError as error:
        raise NoConfigurationError(f"{source} is no configuration of {environment}: {error}") from error


def _git(project: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, check=False)  # noqa: S607
    except OSError as error:
        raise NoConfigurationError("Git is not installed, so no commit can be read") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.decode(errors="replace").split()) or "there is none"
        raise NoConfigurationError(f"git {arguments[0]}: {reason}")
    return done.stdout


@contextmanager
def _copy(project: Path) -> Iterator[Path]:
    """Give a folder with the project's configuration to change, and its templates."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(project / CONFIG, folder / CONFIG)
        (folder / TEMPLATES).symlink_to(project.resolve() / TEMPLATES)
        yield folder
