"""Clients that send or read slowly: they are cut off in time, and nobody else is."""

import socket
import time
from collections.abc import Iterator

import pytest

from bench.clients import slow_clients, trickle
from tests.support.service_process import (
    CLOSING_REQUEST,
    HANDSHAKE,
    KEEP_ALIVE_REQUEST,
    ServiceProcess,
    get,
    post,
    read_head,
    read_to_end,
    running_service,
    send_until_refused,
)
from tests.support.service_with_bad_handlers import LARGE_BYTES

HEADER_SECONDS = 1
BODY_SECONDS = 1
# The service looks for slow clients twice a second.
LATER = 0.5
# A client that is never cut off is waited for so long, however busy the machine is.
NEVER_SECONDS = 10
# So that the kernel takes only a little of what a slow reader is sent.
SMALL_BUFFER = 4096


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """One impatient service for all tests."""
    times = {"HEADER_SECONDS": HEADER_SECONDS, "BODY_SECONDS": BODY_SECONDS}
    with running_service("tests.support.service_with_bad_handlers", **times) as process:
        yield process


def test_a_client_that_trickles_its_header_is_cut_off_in_time(service: ServiceProcess) -> None:
    start = time.monotonic()
    with slow_clients(service.port, 20) as clients:
        while trickle(clients) < len(clients):
            assert time.monotonic() - start < NEVER_SECONDS
            time.sleep(0.1)
    assert time.monotonic() - start > HEADER_SECONDS / 4


def test_a_client_that_sends_nothing_is_cut_off_and_hears_why(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.settimeout(NEVER_SECONDS)
        answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 408")
    for header in (b"X-Content-Type-Options: ", b"Content-Security-Policy: ", b"X-Request-Id: ", b"Connection: close"):
        assert header in answer


# Each of these takes longer.


@pytest.mark.e2e
def test_a_client_that_trickles_its_body_is_cut_off(service: ServiceProcess) -> None:
    before = len(service.log("slow clients"))
    with service.connect() as client:
        client.sendall(post("/upload", 1000))
        assert send_until_refused(client, [b"a"] * 100, 0.1) < 100
    assert len(service.wait_for_log("slow clients", before + 1)) == before + 1
    assert not [line for line in service.log() if "traceback" in line]


@pytest.mark.e2e
def test_an_idle_connection_outlives_the_limit_for_a_header(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(HEADER_SECONDS + 0.6)
        client.sendall(CLOSING_REQUEST)
        assert read_to_end(client).startswith(b"HTTP/1.1 200")


@pytest.mark.e2e
def test_a_slow_handler_is_not_mistaken_for_a_slow_client(service: ServiceProcess) -> None:
    assert service.exchange(get("/slow")).endswith(b"slow")


@pytest.mark.e2e
def test_a_header_that_begins_while_a_handler_runs_has_its_time_from_the_answer_on(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /slow "))
        time.sleep(0.2)
        client.sendall(CLOSING_REQUEST[:10])
        assert read_head(client).startswith(b"HTTP/1.1 200")
        answered = time.monotonic()
        assert b"HTTP/1.1 408" in read_to_end(client)
        assert time.monotonic() - answered >= HEADER_SECONDS - LATER


def slow_reader(service: ServiceProcess, path: str) -> socket.socket:
    """Return a client that has asked for `path` and takes little at once."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.settimeout(10)
    client.connect(("127.0.0.1", service.port))
    client.sendall(get(path))
    return client


@pytest.mark.e2e
@pytest.mark.parametrize("path", ["/large", "/stream"])
def test_a_client_that_does_not_read_is_cut_off_and_logged_once(service: ServiceProcess, path: str) -> None:
    before = len(service.log("slow clients"))
    memory = service.memory()
    with slow_reader(service, path) as client:
        time.sleep(BODY_SECONDS + 3 * LATER)
        assert len(read_to_end(client)) < LARGE_BYTES
    assert len(service.log("slow clients")) == before + 1
    assert not [line for line in service.log() if "traceback" in line]
    assert service.memory() - memory < LARGE_BYTES / 2


@pytest.mark.e2e
@pytest.mark.alone  # Whoever is kept from reading for a second is cut off.
@pytest.mark.parametrize("path", ["/large", "/stream"])
def test_a_client_that_reads_on_has_all_the_time_it_needs(service: ServiceProcess, path: str) -> None:
    start = time.monotonic()
    received = 0
    with slow_reader(service, path) as client:
        while data := client.recv(65536):
            received += len(data)
            time.sleep(len(data) / LARGE_BYTES * 3 * BODY_SECONDS)
    assert received > LARGE_BYTES
    assert time.monotonic() - start > 2 * BODY_SECONDS


@pytest.mark.e2e
def test_a_websocket_may_idle_and_its_frames_may_be_large_and_slow(service: ServiceProcess) -> None:
    message = b"a" * 50_000
    # RFC 6455, section 5.2: the last fragment, binary, masked (with zeros), with a length of 16 bits.
    frame = b"\x82\xfe" + len(message).to_bytes(2) + bytes(4) + message
    with service.connect() as client:
        client.sendall(HANDSHAKE)
        head = read_head(client)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"connection: upgrade" in head.lower()
        time.sleep(max(HEADER_SECONDS, BODY_SECONDS) + 2 * LATER)
        client.sendall(frame[:20_000])
        time.sleep(max(HEADER_SECONDS, BODY_SECONDS) + 2 * LATER)
        client.sendall(frame[20_000:])
        answer = b""
        while len(answer) < 4 + len(message) and (data := client.recv(65536)):
            answer += data
    assert answer == b"\x82\x7e" + len(message).to_bytes(2) + message
