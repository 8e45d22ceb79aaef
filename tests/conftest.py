"""Keeps every test away from real AWS: fake credentials, and connections to this machine only."""

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spotfleet.local.host import docker_engine, paths
from tests.support.compiled_once import compiled_once

# Workers get whole files, in this order and then as they are collected.
LONGEST = (
    *("test_many.py", "test_readme_changes.py", "test_settings.py", "test_from_nothing.py"),
    *("test_living_environment.py", "test_fleet.py", "test_launch.py", "test_newcomer.py", "test_balancer.py"),
)
# Said by the worker that started the engine to the process that pytest was started as, which stops it at the very end.
ENGINE_STARTED = "docker_engine_started"
_started: dict[str, bool] = {}
# Tests of the service that the project comes with. Who has put another program into its place has none of its modules.
OF_OUR_SERVICE = ["service", "end_to_end", "config/test_readme_changes.py"]
collect_ignore = [] if (Path(__file__).parents[1] / "service/server").is_dir() else OF_OUR_SERVICE
END_TO_END = Path(__file__).with_name("end_to_end")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    # What a test expects of times it says in AWS's own.
    "LOCAL_SPEED": "1",
    # Machines need not boot in a unit test; what is about delays says so.
    "LOCAL_DELAYS": "instant",
}
# The user's own settings that would change what the tests see.
SETTINGS = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "BASE_IMAGE",
    "CONFIRM_DELETE",
    "LOCAL_AWS_PORT",
    "LOCAL_HTTP_PORT",
    "LOCAL_HTTPS_PORT",
)


@pytest.hookimpl(tryfirst=True)  # `-m` reads the marks.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is end to end by its folder, and begin with the files that take longest: none must be left alone."""
    for item in items:
        if END_TO_END in item.path.parents:
            item.add_marker("e2e")
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def fake_credentials() -> Iterator[None]:
    """Replace the user's credentials and settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def templates_compiled_once() -> Iterator[None]:
    """Spend the time of a run on tests, not on the same templates."""
    with compiled_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Let the test process connect to this machine only."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:  # noqa: ANN401  # its shape depends on the family
        if self.family != socket.AF_UNIX and not _is_local(address[0]):
            raise ConnectionRefusedError(f"a test must not connect to {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield


@pytest.fixture(scope="session")
def docker_engine_running(pytestconfig: pytest.Config) -> None:
    """One engine for the tests of all workers that need it; `up` and `down` then find it running and leave it."""
    paths.make_private(paths.STATE)
    with (paths.STATE / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = not docker_engine.answers()
        docker_engine.ensure()
    if started:
        getattr(pytestconfig, "workeroutput", _started)[ENGINE_STARTED] = True


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401  # xdist publishes no types
    """Remember what a worker has started, for it ends before the others."""
    _started.update(getattr(node, "workeroutput", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the engine when these tests started it and no other worker needs it any more."""
    if not hasattr(session.config, "workeroutput") and _started.get(ENGINE_STARTED):
        docker_engine.stop_if_ours()


def _is_local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
