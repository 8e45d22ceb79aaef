"""Rule L5: what closes idle connections before the load balancer is named."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from spotfleet.local.backchannel import early_closes
from spotfleet.local.backchannel.target_health import Target
from spotfleet.local.balancer.keep_alive import KeepAlives
from tests.support.balancer_bench import Bench
from tests.support.balancers import GROUP

SOON = 0.3


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_closes, "_known", {})


def settled(keep_alives: KeepAlives) -> bool:
    """Return whether everything is known of all targets, of which there is at least one."""
    return bool(keep_alives._known) and all(known.settled for known in keep_alives._known.values())


def test_a_target_that_closes_idle_connections_first_is_named_until_it_is_gone(bench: Bench) -> None:
    bench.elbv2.idle_timeout = 60
    task = bench.add(keep_alive=SOON)
    bench.until(lambda: GROUP in early_closes.now())
    assert early_closes.now()[GROUP] == (
        "The targets of targetgroup/blue/3333 close idle connections after 0 s, before the load balancer does (60 s): "
        "on AWS a request now and then meets the close, and is answered with 502. "
        "Let them keep connections for longer, or lower idle_timeout_seconds."
    )
    assert bench.asked() == {task.name}, "here none fails"
    del bench.elbv2.targets[task.target]
    bench.steps(2)
    assert early_closes.now() == {}


def test_a_target_that_keeps_connections_as_long_as_the_load_balancer_is_not(bench: Bench) -> None:
    bench.elbv2.idle_timeout = 1
    bench.healthy()
    bench.until(lambda: settled(bench.balancer._keep_alives))
    assert early_closes.now() == {}


def test_a_target_that_ends_has_closed_its_connections_for_another_reason(bench: Bench) -> None:
    bench.elbv2.idle_timeout = 60
    task = bench.healthy()
    probes = bench.balancer._keep_alives._known
    bench.until(lambda: any(known.probe and known.probe.answered_at for known in probes.values()))
    task.end()
    bench.until(lambda: bench.health(task).state == "unhealthy")
    assert early_closes.now() == {}


@contextlib.contextmanager
def closing(answer: bytes) -> Iterator[tuple[str, int]]:
    """A target that closes each connection after an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield "i-1", listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
def test_a_target_that_says_that_it_closes_is_known_to_the_load_balancer(bench: Bench, head: bytes) -> None:
    with closing(head + b"\r\nContent-Length: 2\r\n\r\nok") as target:
        bench.elbv2.targets[target] = "initial"
        bench.until(lambda: settled(bench.balancer._keep_alives))
    assert early_closes.now() == {}


def test_one_that_does_not_say_so_is_named(bench: Bench) -> None:
    with closing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as target:
        bench.elbv2.targets[target] = "initial"
        bench.until(lambda: GROUP in early_closes.now())


def test_a_silent_target_holds_nothing_up(bench: Bench) -> None:
    task = bench.healthy()
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        keep_alives = KeepAlives()
        started = time.monotonic()
        group = bench.balancer._wanted.groups[GROUP]
        for _ in range(10):
            keep_alives.look(group, {Target("i-1", silent.getsockname()[1])}, 60)
        assert time.monotonic() - started < 5
        keep_alives.forget_others(())
    assert bench.asked() == {task.name}
