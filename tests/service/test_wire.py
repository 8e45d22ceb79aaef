"""The running service on real sockets: limits, hostile input, failures, logs and many connections."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.clients import burst, percentile
from tests.support.service_process import (
    CLOSING_REQUEST,
    KEEP_ALIVE_REQUEST,
    MEBIBYTE,
    PROJECT,
    ServiceProcess,
    connections,
    get,
    post,
    read_head,
    read_to_end,
    running_service,
    send_until_refused,
)

HEADER_SECONDS = 1
MOST_CHARACTERS = 1000
BUSY_SECONDS = 0.3
MOST_MS = 300
BURSTS = 10
RETRY_MS = 900


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """One service with handlers that fail, for the tests that leave it as they find it."""
    with running_service(
        "tests.support.service_with_bad_handlers", HEADER_SECONDS=HEADER_SECONDS, BODY_SECONDS=1
    ) as process:
        yield process


# Reading requests


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /fail\r\n\r\n",
        b"GET\r\n\r\n",
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
    assert answer.count(b"X-Content-Type-Options: nosniff") == 1
    assert b"Content-Security-Policy: default-src 'none'" in answer
    service.wait_for_log("", before + 1)
    assert service.exchange(CLOSING_REQUEST).startswith(b"HTTP/1.1 200")
    (line, request_line) = service.wait_for_log("", before + 2)[before:]
    assert line["message"].startswith("malformed request")
    assert f"X-Request-Id: {line['request_id']}\r\n".encode() in answer
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


def test_a_large_body_that_arrives_with_the_end_of_a_header_in_pieces_is_no_header(service: ServiceProcess) -> None:
    head = post("/upload", MEBIBYTE).replace(b"Host", b"Connection: close\r\nHost")
    with service.connect() as client:
        client.sendall(head[:30])
        time.sleep(0.1)
        client.sendall(head[30:] + bytes(MEBIBYTE))
        assert read_to_end(client).endswith(b"\r\n\r\n1048576")


def test_pipelined_requests_are_answered_in_order(service: ServiceProcess) -> None:
    answer = service.exchange(KEEP_ALIVE_REQUEST + KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /a ") + get("/plain"))
    assert statuses(answer) == [200, 404, 200]


def test_requests_that_arrive_while_a_handler_runs_are_answered_after_it(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /wait "))
        for piece in (KEEP_ALIVE_REQUEST, CLOSING_REQUEST[:10], CLOSING_REQUEST[10:]):
            time.sleep(0.1)
            client.sendall(piece)
        assert statuses(read_to_end(client)) == [200, 200, 200]


def test_a_pipelined_header_that_is_too_large_is_refused(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST + b"GET / HTTP/1.1\r\nX: " + b"a" * 65536)
        answer = read_to_end(client)
    assert statuses(answer)[-1] in (400, 431)
    assert b"Connection: close" in answer


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the responses in `answer`."""
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", answer)]


def test_http_1_0_closes_unless_it_is_asked_not_to(service: ServiceProcess) -> None:
    request = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    assert statuses(service.exchange(request)) == [200]
    kept = request.replace(b"Host", b"Connection: keep-alive\r\nHost")
    answer = service.exchange(kept + request)
    assert len(re.findall(rb"HTTP/1\.[01] 200 ", answer)) == 2


def test_http_1_0_with_a_transfer_encoding_closes(service: ServiceProcess) -> None:
    for line in (b"Transfer-Encoding: chunked", b"transfer-encoding: chunked\r\nContent-Type: text/plain"):
        request = b"POST /upload HTTP/1.0\r\nConnection: keep-alive\r\n" + line + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        answer = service.exchange(request + KEEP_ALIVE_REQUEST)
        assert len(re.findall(rb"HTTP/1\.[01] ", answer)) == 1
        assert answer.endswith(b"\r\n\r\n5")
        assert b"Connection: keep-alive" not in answer


@pytest.mark.parametrize(
    "closing",
    [
        CLOSING_REQUEST,
        CLOSING_REQUEST.replace(b"close", b"Keep-Alive, CLOSE"),
        b"GET / HTTP/1.0\r\n\r\n",
        KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /plain ") * 3 + CLOSING_REQUEST,
        post("/upload", 5).replace(b"Host", b"Connection: close\r\nHost") + b"hello",
        post("/upload", 14).replace(b"Host", b"Connection: close\r\nHost") + b"hello\r\n\r\nworld",
    ],
)
@pytest.mark.parametrize("behind", [b"\r\n", b"garbage", KEEP_ALIVE_REQUEST, b"\x00" * 3000 + b"\r\n\r\n"])
def test_what_is_sent_behind_a_request_that_closes_is_ignored(
    service: ServiceProcess, closing: bytes, behind: bytes
) -> None:
    answer = service.exchange(closing + behind)
    assert set(re.findall(rb"HTTP/1\.[01] (\d+) ", answer)) == {b"200"}
    assert answer.count(b" 200 OK") == closing.count(b" HTTP/1.")
    assert b"Connection: close" in answer or b"HTTP/1.0 200" in answer


@pytest.mark.parametrize("cut", [10, -6, -3, -1, 0])
def test_what_is_sent_behind_a_request_in_two_pieces_is_ignored(service: ServiceProcess, cut: int) -> None:
    with service.connect() as client:
        client.sendall(CLOSING_REQUEST[: cut or None])
        time.sleep(0.1)
        client.sendall((CLOSING_REQUEST[cut:] if cut else b"") + b"garbage")
        assert statuses(read_to_end(client)) == [200]


def test_an_upload_that_asks_first_is_told_to_continue(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(post("/upload", 5).replace(b"Host", b"Expect: 100-continue\r\nConnection: close\r\nHost"))
        assert read_head(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert read_to_end(client).endswith(b"\r\n\r\n5")


def test_a_body_is_read_up_to_its_limit(service: ServiceProcess) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    assert service.exchange(head % MEBIBYTE + b"a" * MEBIBYTE).endswith(b"\r\n\r\n1048576")
    assert service.exchange(head % (2 * MEBIBYTE) + b"a" * (2 * MEBIBYTE)).startswith(b"HTTP/1.1 413")


def test_a_malformed_body_gets_400(service: ServiceProcess) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert service.exchange(head + b"zz\r\nhello\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/nowhere", MEBIBYTE, 404), ("/", MEBIBYTE, 405), ("/upload", 2 * MEBIBYTE, 413)],
)
def test_who_sends_on_although_it_is_not_wanted_still_gets_the_answer(
    service: ServiceProcess, path: str, size: int, status: int
) -> None:
    with service.connect() as client:
        client.sendall(post(path, size))
        for _ in range(size * 3 // 4 // 65536):
            client.sendall(bytes(65536))
            time.sleep(0.005)
        head = read_head(client)
    assert statuses(head) == [status]
    assert b"Connection: close" in head


def test_a_body_that_no_handler_wants_is_not_read(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.settimeout(5)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
        # What fits into the sockets' buffers leaves the client, and no more.
        assert send_until_refused(client, [b"a" * MEBIBYTE] * 100, 0) < 20
        assert client.recv(64).startswith(b"HTTP/1.1 405")


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


def test_a_header_with_a_line_break_is_not_sent_and_fails_as_a_handler_does(service: ServiceProcess) -> None:
    answer = service.exchange(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /split ")).decode()
    assert answer.startswith("HTTP/1.1 500 ")
    assert "Set-Cookie" not in answer
    request_id = answer.partition("request id: ")[2].strip()
    lines = [line for line in service.wait_for_log("a handler failed") if line["request_id"] == request_id]
    assert "line break" in lines[0]["traceback"]
    assert lines[0]["path"] == "/split"


@pytest.mark.parametrize(("path", "reason"), [("/no-connection", "is gone"), ("/too-late", "is slow")])
def test_a_handler_whose_own_connection_fails_is_not_mistaken_for_a_client_that_is_gone(
    service: ServiceProcess, path: str, reason: str
) -> None:
    answer = service.exchange(get(path)).decode()
    assert answer.startswith("HTTP/1.1 500 ")
    request_id = answer.partition("request id: ")[2].strip()
    line = next(line for line in service.wait_for_log("a handler failed") if line["request_id"] == request_id)
    assert reason in line["traceback"]


def test_a_handler_that_fails_half_way_ends_the_connection_without_a_second_answer(service: ServiceProcess) -> None:
    answer = service.exchange(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /half "))
    assert statuses(answer) == [200]
    assert not answer.endswith(b"0\r\n\r\n")
    assert any(line.get("path") == "/half" for line in service.wait_for_log("a handler failed"))


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
    assert line["duration_ms"] > 0
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], "127.0.0.1"),
        ([b""], "127.0.0.1"),
        ([b"192.0.2.7"], "192.0.2.7"),
        ([b"1.2.3.4, 192.0.2.7"], "192.0.2.7"),
        ([b"1.2.3.4", b"192.0.2.7"], "192.0.2.7"),
        ([b"1.2.3.4", b" 5.6.7.8 ,192.0.2.7 ,, "], "192.0.2.7"),
        ([b"192.0.2.7:49152"], "192.0.2.7"),
        ([b"[2001:db8::1]:49152"], "2001:db8::1"),
        ([b"[2001:db8::1]"], "2001:db8::1"),
        ([b"2001:db8::1"], "2001:db8::1"),
        ([b"1.2.3.4, unknown"], "unknown"),
        ([b"\xff\xfe, \xc3\xa4\xff"], "\xe4?"),
    ],
)
def test_the_client_in_the_log_is_whom_the_load_balancer_saw(
    service: ServiceProcess, lines: list[bytes], client: str
) -> None:
    trace = f"Root=client-{lines}"[:500].encode("ascii", "replace")
    headers = b"".join(b"X-Forwarded-For: %b\r\n" % line for line in lines)
    service.exchange(CLOSING_REQUEST.replace(b"Host", b"X-Amzn-Trace-Id: %b\r\n%bHost" % (trace, headers)))
    logged = [line for line in service.wait_for_log("request") if line.get("trace_id") == trace.decode()]
    while not logged:
        logged = [line for line in service.wait_for_log("request") if line.get("trace_id") == trace.decode()]
    assert logged[-1]["client"] == client


def test_no_line_of_the_log_holds_half_a_character(service: ServiceProcess) -> None:
    bad = b"\xff\xed\xa0\x80\xf0\x9f\x98\x80"
    for request in (
        b"GET /%b HTTP/1.1\r\nHost: a\r\nX-Amzn-Trace-Id: %b\r\nConnection: close\r\n\r\n" % (bad, bad),
        b"GET /fail?%b HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %b\r\nConnection: close\r\n\r\n" % (bad, bad),
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % bad,
    ):
        service.exchange(request)
    service.wait_for_log("request")
    for line in service.log():
        json.dumps(line, ensure_ascii=False).encode()


def test_what_a_client_makes_up_is_cut_in_the_log_and_breaks_no_line(service: ServiceProcess) -> None:
    made_up = 'Root="\\\xff' + "a" * 5000
    service.exchange(get("/" + "b" * 5000, f"X-Amzn-Trace-Id: {made_up}", f"X-Forwarded-For: {'c' * 5000}"))
    line = next(line for line in service.wait_for_log("request") if line.get("path", "").startswith("/bb"))
    assert line["trace_id"].startswith('Root="\\')
    assert [len(line[name]) for name in ("path", "trace_id", "client")] == [MOST_CHARACTERS] * 3


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
    # A connection that finds the queue full comes again after a second. Other work can disturb a burst, not every one.
    bursts = (burst(service.port, 200) for _ in range(BURSTS))
    assert any(percentile(taken, 99) < RETRY_MS for taken in bursts)


@pytest.mark.e2e
@pytest.mark.alone
def test_a_burst_is_accepted_at_once_beside_busy_connections() -> None:
    program = (
        "import asyncio, sys; from bench.clients import load_until_unhealthy;"
        "asyncio.run(load_until_unhealthy(int(sys.argv[1]), 128))"
    )
    with running_service(LOG_REQUESTS="false") as service:
        load = subprocess.Popen([sys.executable, "-c", program, str(service.port)], cwd=PROJECT)
        try:
            before = service.cpu_seconds()
            time.sleep(1)
            assert service.cpu_seconds() - before > BUSY_SECONDS, "the load is no load"
            taken = [milliseconds for _ in range(5) for milliseconds in burst(service.port, 200)]
        finally:
            load.kill()
            load.wait()
    # A connection that finds the queue full comes again after a second, one that waits for its turn takes longer.
    assert percentile(taken, 99) < MOST_MS


@pytest.mark.e2e
def test_running_out_of_file_descriptors_costs_neither_log_nor_cpu() -> None:
    with running_service(max_files=64, LOG_REQUESTS="false") as service:
        with connections(service, 200):
            service.wait_for_log("new connections have to wait")
            before = service.cpu_seconds()
            time.sleep(0.5)
            assert service.cpu_seconds() - before < 0.1
            assert len(service.log("new connections have to wait")) == 1
        assert service.exchange(CLOSING_REQUEST).startswith(b"HTTP/1.1 200")


def test_more_connections_than_allowed_wait_until_others_are_closed() -> None:
    with running_service(MAX_CONNECTIONS=20, LOG_REQUESTS="false") as service, connections(service, 30) as clients:
        for client in clients:
            client.sendall(KEEP_ALIVE_REQUEST)
        for client in clients[:20]:
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        service.wait_for_log("new connections have to wait")
        clients[20].settimeout(0.2)
        with pytest.raises(TimeoutError):
            clients[20].recv(1)
        for client in clients[:10]:
            client.close()
        for client in clients[20:]:
            client.settimeout(5)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert len(service.log("new connections have to wait")) == 1


def test_the_port_in_use_stops_the_start_with_one_line(service: ServiceProcess) -> None:
    environment = {"HOST": "127.0.0.1", "PORT": str(service.port)}
    command = [sys.executable, "-m", "service"]
    result = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: cannot listen on HOST 127.0.0.1, PORT {service.port}: Address already in use")


def test_the_names_of_the_listening_address_are_those_of_other_servers() -> None:
    with running_service(HOST="localhost") as service:
        assert service.exchange(CLOSING_REQUEST).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["256.0.0.1", "http://localhost", "no such host", "[::1]", "a" * 300, "\u00e9" * 80])
def test_a_listening_address_that_is_none_stops_the_start_with_one_line(host: str) -> None:
    command = [sys.executable, "-m", "service"]
    environment = {"HOST": host, "PORT": "5000", "PYTHONUTF8": "1"}
    result = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, b"")
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith(f"error: cannot listen on HOST {host}, PORT 5000: ")
    assert not line.endswith("None")
