"""How the service ends: nothing breaks that can be finished, and nothing holds it up for long."""

import asyncio
import signal
import threading
import time

import pytest

from bench.clients import load_until_unhealthy
from tests.support.service_process import (
    CLOSING_REQUEST,
    HANDSHAKE,
    KEEP_ALIVE_REQUEST,
    ServiceProcess,
    connections,
    get,
    post,
    read_head,
    read_to_end,
    running_service,
)

# Far less than a service takes that something holds up, however busy the machine is.
MOST_SECONDS = 20


def wait_for_end(service: ServiceProcess) -> None:
    """Wait until the service has ended by itself."""
    assert service.process.wait(MOST_SECONDS) == 0


def test_sigterm_finishes_what_is_in_flight() -> None:
    with running_service("tests.support.service_with_bad_handlers") as service, connections(service, 3) as clients:
        handler, header, upload = clients
        handler.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /wait "))
        header.sendall(CLOSING_REQUEST[:20])
        upload.sendall(post("/upload", 10) + b"hello")
        time.sleep(0.1)
        service.terminate()
        service.wait_for_log("draining")
        time.sleep(0.3)
        header.sendall(CLOSING_REQUEST[20:])
        upload.sendall(b"world")
        answers = [read_to_end(client) for client in clients]
        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 3
        assert answers[0].endswith(b"waited")
        assert answers[2].endswith(b"\r\n\r\n10")
        assert all(b"Connection: close" in answer for answer in answers)
        wait_for_end(service)


def test_a_second_signal_ends_the_drain() -> None:
    with running_service(DRAIN_SECONDS=60) as service:
        service.terminate()
        service.wait_for_log("draining")
        service.terminate()
        wait_for_end(service)


def test_connections_are_accepted_while_draining() -> None:
    with running_service(DRAIN_SECONDS=5) as service:
        service.terminate()
        service.wait_for_log("draining")
        answer = service.exchange(KEEP_ALIVE_REQUEST)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in answer
        assert service.exchange(get("/healthcheck")).startswith(b"HTTP/1.1 503")


def test_requests_in_the_accept_queue_are_answered_at_the_end() -> None:
    # All of them are in the queue when the signal arrives.
    with running_service(DRAIN_SECONDS=0) as service:
        service.process.send_signal(signal.SIGSTOP)
        with connections(service, 300) as clients:
            for client in clients:
                client.sendall(CLOSING_REQUEST)
            service.terminate()
            service.process.send_signal(signal.SIGCONT)
            assert all(read_to_end(client).startswith(b"HTTP/1.1 200") for client in clients)
        wait_for_end(service)


@pytest.mark.e2e
def test_sigterm_under_load_breaks_no_request() -> None:
    drain_seconds = 1
    with running_service(DRAIN_SECONDS=drain_seconds, LOG_REQUESTS="false") as service:
        threading.Timer(0.2, service.terminate).start()
        outcome = asyncio.run(load_until_unhealthy(service.port, 64, notice_seconds=0.5 * drain_seconds))
        wait_for_end(service)
        assert outcome.answered > 100
        assert (outcome.broken, outcome.refused) == ([], [])


@pytest.mark.e2e
@pytest.mark.parametrize("path", ["/forever", "/thread"])
def test_a_handler_that_hangs_is_broken_off(path: str) -> None:
    with (
        running_service("tests.support.service_with_bad_handlers", SHUTDOWN_SECONDS=1) as service,
        service.connect() as client,
    ):
        client.sendall(get(path))
        time.sleep(0.2)
        start = time.monotonic()
        service.terminate()
        (line,) = service.wait_for_log("requests are broken off")
        assert line["count"] == 1
        wait_for_end(service)
        assert time.monotonic() - start >= 1
        assert not [line for line in service.log() if "traceback" in line]


@pytest.mark.e2e
def test_an_open_websocket_does_not_hold_up_the_end() -> None:
    with (
        running_service("tests.support.service_with_bad_handlers", SHUTDOWN_SECONDS=1) as service,
        service.connect() as client,
    ):
        client.sendall(HANDSHAKE)
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        service.terminate()
        wait_for_end(service)
