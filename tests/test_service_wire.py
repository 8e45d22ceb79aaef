"""The running service on real sockets: limits, hostile input, logs, bursts, and how it ends."""

import asyncio
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bench.clients import REQUEST, burst, load_until_unhealthy, percentile, slow_clients, trickle
from tests.service_process import ServiceProcess, read_to_end, running_service

KEEP_ALIVE_REQUEST = REQUEST
CLOSING_REQUEST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
HEADER_SECONDS = 1
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """One service with handlers that fail, for the tests that leave it as they find it."""
    with running_service("tests.service_with_bad_handlers", HEADER_SECONDS=HEADER_SECONDS, BODY_SECONDS=1) as process:
        yield process


def get(path: str, *headers: str) -> bytes:
    """Return a request for `path` that asks for the connection to be closed."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextmanager
def connections(service: ServiceProcess, count: int) -> Iterator[list[socket.socket]]:
    """Open `count` connections to `service`."""
    with ExitStack() as stack:
        yield [stack.enter_context(service.connect()) for _ in range(count)]


def send_until_refused(client: socket.socket, pieces: list[bytes], pause: float) -> int:
    """Send `pieces` with a `pause` between them; return how many left before the service closed the connection."""
    for number, piece in enumerate(pieces):
        try:
            client.sendall(piece)
        except OSError:
            return number
        time.sleep(pause)
    return len(pieces)


# Reading requests


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    ],
)
def test_a_malformed_request_gets_400_and_one_line_without_traceback(
    service: ServiceProcess, request_bytes: bytes
) -> None:
    before = len(service.log())
    answer = service.exchange(request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Server:" not in answer
    assert b"Connection: close" in answer
    assert b"X-Content-Type-Options: nosniff" in answer
    service.wait_for_log("", before + 1)
    assert service.exchange(CLOSING_REQUEST).startswith(b"HTTP/1.1 200")
    (line, request_line) = service.wait_for_log("", before + 2)[before:]
    assert line["message"].startswith("malformed request")
    assert line["level"] == "warning"
    assert "traceback" not in line
    assert request_line["message"] == "request"


@pytest.mark.parametrize(
    "header",
    [
        b"X-Long: " + b"a" * 65536,
        b"\r\n".join(b"X-%d: a" % number for number in range(2000)),
        b"\r\n".join(b"X-%d: %b" % (number, b"a" * 1000) for number in range(60)),
    ],
    ids=["one long field", "many fields", "many long fields"],
)
def test_a_header_that_is_too_large_is_refused(service: ServiceProcess, header: bytes) -> None:
    answer = service.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_a_header_that_arrives_in_pieces_has_the_same_limit(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        sent = send_until_refused(client, [b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(100)], 0.01)
    assert 16 < sent < 25


def test_a_large_header_within_the_limit_is_read(service: ServiceProcess) -> None:
    assert service.exchange(get("/", "X-Long: " + "a" * 12000)).startswith(b"HTTP/1.1 200")


def test_a_header_in_two_pieces_is_read(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(CLOSING_REQUEST[:30])
        time.sleep(0.2)
        client.sendall(CLOSING_REQUEST[30:])
        assert read_to_end(client).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(service: ServiceProcess) -> None:
    answer = service.exchange(KEEP_ALIVE_REQUEST + KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /a ") + get("/plain"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


def test_a_body_is_read_up_to_its_limit(service: ServiceProcess) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    assert service.exchange(head % MEBIBYTE + b"a" * MEBIBYTE).endswith(b"\r\n\r\n1048576")
    assert service.exchange(head % (2 * MEBIBYTE) + b"a" * (2 * MEBIBYTE)).startswith(b"HTTP/1.1 413")


def test_a_malformed_body_gets_400(service: ServiceProcess) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert service.exchange(head + b"zz\r\nhello\r\n").startswith(b"HTTP/1.1 400")


def test_a_body_that_no_handler_wants_is_not_read(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.settimeout(1)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
        # What fits into the sockets' buffers leaves the client, and no more.
        assert send_until_refused(client, [b"a" * MEBIBYTE] * 100, 0) < 20
        assert client.recv(64).startswith(b"HTTP/1.1 405")


# Slow clients


def test_a_client_that_trickles_its_header_is_cut_off_in_time(service: ServiceProcess) -> None:
    start = time.monotonic()
    with slow_clients(service.port, 20) as clients:
        while trickle(clients) < len(clients):
            assert time.monotonic() - start < HEADER_SECONDS + 0.3
            time.sleep(0.1)
    assert time.monotonic() - start > HEADER_SECONDS / 4


def test_a_client_that_sends_nothing_is_cut_off(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.settimeout(HEADER_SECONDS + 0.5)
        assert client.recv(64).startswith(b"HTTP/1.1 408")


def test_a_client_that_trickles_its_body_is_cut_off(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        assert send_until_refused(client, [b"a"] * 20, 0.1) < 15
    assert "traceback" not in service.log()[-1]


def test_an_idle_connection_outlives_the_limit_for_a_header(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(HEADER_SECONDS + 0.6)
        client.sendall(CLOSING_REQUEST)
        assert read_to_end(client).startswith(b"HTTP/1.1 200")


def test_a_slow_handler_is_not_mistaken_for_a_slow_client(service: ServiceProcess) -> None:
    assert service.exchange(get("/slow")).endswith(b"slow")


# Failures and logs


def test_a_failing_handler_gives_500_with_a_request_id_and_a_logged_traceback(service: ServiceProcess) -> None:
    answer = service.exchange(get("/fail")).decode()
    assert answer.startswith("HTTP/1.1 500 ")
    assert "hunter2" not in answer
    assert "Traceback" not in answer
    request_id = answer.partition("request id: ")[2].strip()
    assert f"X-Request-Id: {request_id}\r\n" in answer
    line = next(line for line in service.wait_for_log("a handler failed") if line["request_id"] == request_id)
    assert "hunter2" in line["traceback"]
    assert line["path"] == "/fail"


def test_a_header_with_a_line_break_is_not_sent(service: ServiceProcess) -> None:
    answer = service.exchange(get("/split"))
    assert b"Set-Cookie" not in answer


def test_a_response_of_aiohttp_itself_gets_the_headers_too(service: ServiceProcess) -> None:
    answer = service.exchange(get("/plain")).decode()
    assert "Server:" not in answer
    assert "Set-Cookie: a=b" in answer
    assert "Content-Security-Policy: default-src 'self'" in answer
    assert "X-Request-Id: " in answer


def test_requests_are_logged_with_ids_status_and_duration(service: ServiceProcess) -> None:
    headers = ["X-Amzn-Trace-Id: Root=1-2-3", "X-Forwarded-For: 192.0.2.7"]
    answer = service.exchange(get("/unknown%22?token=secret", *headers)).decode()
    line = next(line for line in service.wait_for_log("request") if line.get("trace_id") == "Root=1-2-3")
    assert line["request_id"] == answer.partition("X-Request-Id: ")[2].partition("\r\n")[0]
    assert line["client"] == "192.0.2.7"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/unknown%22", 404)
    assert 0 < line["duration_ms"] < 1000
    assert line["time"].endswith("Z")


def test_a_handlers_own_line_carries_the_request_id(service: ServiceProcess) -> None:
    answer = service.exchange(get("/log")).decode()
    (line,) = [line for line in service.wait_for_log("two") if line["logger"] == "shop"]
    assert line["message"] == "two\nlines"
    assert f"X-Request-Id: {line['request_id']}\r\n" in answer


def test_health_checks_are_not_logged_by_default(service: ServiceProcess) -> None:
    service.exchange(get("/healthcheck"))
    service.exchange(get("/log"))
    service.wait_for_log("two")
    assert not [line for line in service.log("request") if line.get("path") == "/healthcheck"]


def test_health_checks_can_be_logged() -> None:
    with running_service(LOG_HEALTH_CHECKS="true") as service:
        service.wait_for_log("request")


def test_requests_need_not_be_logged() -> None:
    with running_service(LOG_REQUESTS="false", LOG_HEALTH_CHECKS="true") as service:
        service.exchange(CLOSING_REQUEST)
        assert [line["message"] for line in service.log()] == ["listening"]


# Many connections


def test_a_burst_of_connections_is_accepted_at_once(service: ServiceProcess) -> None:
    taken = burst(service.port, 200)
    assert math.inf not in taken
    assert percentile(taken, 99) < 900


def test_running_out_of_file_descriptors_costs_neither_log_nor_cpu() -> None:
    with running_service(max_files=64, LOG_REQUESTS="false") as service:
        with connections(service, 200):
            service.wait_for_log("new connections have to wait")
            before = service.cpu_seconds()
            time.sleep(0.5)
            assert service.cpu_seconds() - before < 0.1
            assert len(service.log("new connections have to wait")) == 1
        assert service.exchange(CLOSING_REQUEST).startswith(b"HTTP/1.1 200")


def test_the_port_in_use_stops_the_start_with_one_line(service: ServiceProcess) -> None:
    with pytest.raises(RuntimeError, match="ended"), running_service(PORT=service.port, HOST="127.0.0.1"):
        pass


# The end


def test_sigterm_under_load_breaks_no_request() -> None:
    with running_service(DRAIN_SECONDS=0.5, LOG_REQUESTS="false") as service:
        threading.Timer(0.3, service.terminate).start()
        outcome = asyncio.run(load_until_unhealthy(service.port, 64))
        unhealthy = time.monotonic()
        assert service.process.wait(5) == 0
        assert time.monotonic() - unhealthy < 1.5
        assert outcome.answered > 100
        assert (outcome.broken, outcome.refused) == ([], [])


def test_sigterm_finishes_what_is_in_flight() -> None:
    with running_service("tests.service_with_bad_handlers") as service, service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /wait "))
        time.sleep(0.1)
        service.terminate()
        answer = read_to_end(client)
        assert answer.endswith(b"waited")
        assert b"Connection: close" in answer
        assert service.process.wait(5) == 0


def test_a_second_signal_ends_the_drain() -> None:
    with running_service(DRAIN_SECONDS=60) as service:
        service.terminate()
        service.wait_for_log("draining")
        service.terminate()
        assert service.process.wait(5) == 0


def test_connections_are_accepted_while_draining() -> None:
    with running_service(DRAIN_SECONDS=5) as service:
        service.terminate()
        service.wait_for_log("draining")
        answer = service.exchange(KEEP_ALIVE_REQUEST)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in answer
        assert service.exchange(get("/healthcheck")).startswith(b"HTTP/1.1 503")


def test_requests_in_the_accept_queue_are_answered_at_the_end() -> None:
    with running_service(DRAIN_SECONDS=0) as service, connections(service, 100) as clients:
        for client in clients:
            client.sendall(CLOSING_REQUEST)
        service.terminate()
        assert all(read_to_end(client).startswith(b"HTTP/1.1 200") for client in clients)
        assert service.process.wait(5) == 0
