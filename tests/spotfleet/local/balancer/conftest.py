"""A load balancer's controller with a real HAProxy."""

import time
from collections.abc import Callable, Iterator

import pytest

from spotfleet.local.backchannel import target_health
from spotfleet.local.balancer import controller, haproxy
from spotfleet.local.host import paths
from tests.support.balancer_bench import BACKEND, Bench, Told
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The one HAProxy of all tests, which its first load balancer starts."""
    haproxy.ensure_installed()
    made = Told(tmp_path_factory.mktemp("haproxy"))
    yield made
    made.stop()


@pytest.fixture
def bench(running: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench on which nothing waits for the rules, with an HAProxy without targets."""
    monkeypatch.setattr(paths, "STATE", running.folder)
    monkeypatch.setattr(controller, "RULES_SECONDS", -1)
    monkeypatch.setattr(target_health, "_reports", {})
    # A health check every 83 ms.
    monkeypatch.setenv("LOCAL_SPEED", "60")
    for variable in ("LOCAL_HTTP_PORT", "LOCAL_HTTPS_PORT"):
        monkeypatch.setenv(variable, str(free_port()))
    made = Bench(running)
    made.steps()
    made.until(lambda: not made.servers() and not made.servers(f"{BACKEND}.open"))
    running.commands, running.configurations = [], 0
    yield made
    made.end()
    for task in made.tasks:
        task.end()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock, and return what sets it to so many seconds after now."""
    now = time.monotonic()

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)

    set_clock(0)
    return set_clock
