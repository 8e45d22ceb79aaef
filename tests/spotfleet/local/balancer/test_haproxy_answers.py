"""A real HAProxy answers as an ALB does where targets fail, requests are too large or clients too slow."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotfleet.local.balancer import haproxy, haproxy_answers, haproxy_config, haproxy_syntax
from spotfleet.local.balancer.haproxy import Process
from spotfleet.local.balancer.wanted import Group, Listener, LoadBalancer, Rule, Wanted
from tests.support.http2 import Http2
from tests.support.ports import free_port

ARN = "arn:aws:elasticloadbalancing:eu-west-1:000000000000"
BALANCER = f"{ARN}:loadbalancer/app/web/1"
KIBI = 1024
GROUPS = {
    name: Group(f"{ARN}:targetgroup/{name}/1", name=f"targetgroup/{name}/1")
    for name in ("app", "closed", "silent", "empty")
}


class App:
    """A target that answers, or fails to, by the path of a request."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listening.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    read = connection.recv(1 << 20)
                    if not read:
                        return
                    received += read
                head, _, received = received.partition(b"\r\n\r\n")
                path = head.split()[1].decode()
                if path == "/app/resets":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if path in ("/app/resets", "/app/closes"):
                    return
                connection.sendall(self._answer(path))

    @staticmethod
    def _answer(path: str) -> bytes:
        if path == "/app/slow":
            time.sleep(1.3)
        if path == "/app/malformed":
            return b"malformed\r\n\r\n"
        size = int(path.rpartition("/")[2]) if path.startswith("/app/headers/") else 0
        status = "503 Own" if path == "/app/503" else "200 OK"
        large = "".join(f"X-{number}: {'x' * (KIBI - 10)}\r\n" for number in range(size))
        return f"HTTP/1.1 {status}\r\nContent-Length: 3\r\n{large}\r\nown".encode()


class Bench:
    """A load balancer whose idle time-out, wait for a connection and client keep-alive are a second each.

    A connection of HTTP/2 is for 100 requests.
    """

    def __init__(self, folder: Path, targets: dict[str, int]) -> None:
        self.port = free_port()
        self.process = Process(folder)
        rules = [_rule(number, name) for number, name in enumerate(GROUPS, 1)]
        fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503", "MessageBody": "fixed"}}
        listener = Listener(f"{ARN}:listener/app/web/1/2", 80, False, (*rules, Rule("default", (), fixed)))
        balancer = LoadBalancer(BALANCER, "app/web/1", "", 1, (listener,), client_keep_alive=60)
        wanted = Wanted((balancer,), {group.arn: group for group in GROUPS.values()})
        servers = {
            f"{GROUPS[name].backend}.node0": [haproxy_syntax.line("server", "i-1", f"127.0.0.1:{port}")]
            for name, port in targets.items()
        }
        text = haproxy_config.render(wanted, {(BALANCER, 80): self.port}, haproxy.SOCKET, None, servers)
        self.process.run(text, haproxy_config.description(text))

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def ask(self, path: str, **headers: str) -> int:
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status

    def counted(self) -> dict[int, int]:
        """Return how often the load balancer has answered by itself, by code."""
        return {code: number for _, code, number in self.process.own_answers(self.process.statistics())}

    def refused(self) -> int:
        """Return how many requests the load balancer has counted as refused, with 4xx."""
        (line,) = (line for line in self.process.statistics() if line["svname"] == "FRONTEND")
        return int(line["hrsp_4xx"])


@contextlib.contextmanager
def later_request(bench: Bench, path: str) -> Iterator[http.client.HTTPConnection]:
    """Send a request as the second one of its connection."""
    with contextlib.closing(bench.connection()) as connection:
        connection.request("GET", "/app/x")
        assert connection.getresponse().read() == b"own"
        connection.request("GET", path)
        yield connection


def _rule(number: int, name: str) -> Rule:
    condition = {"Field": "path-pattern", "Values": [f"/{name}/*"]}
    return Rule(str(number), (condition,), {"Type": "forward", "TargetGroupArn": GROUPS[name].arn})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    haproxy.ensure_installed()
    app = App()
    # Whose queue is full: what comes then is neither taken nor refused.
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    queued = [socket.socket() for _ in range(3)]
    for one in queued:
        one.setblocking(False)
        one.connect_ex(silent.getsockname())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(haproxy_answers, "CONNECT_SECONDS", 1)
        patch.setattr(haproxy_answers, "MOST_REQUESTS", 100)
        # A client's connection is kept for a second.
        patch.setenv("LOCAL_SPEED", "60")
        targets = {"app": app.port, "closed": free_port(), "silent": silent.getsockname()[1]}
        made = Bench(tmp_path_factory.mktemp("haproxy"), targets)
    yield made
    made.process.stop()
    for one in (app.listening, silent, *queued):
        one.close()


def test_what_keeps_a_target_from_answering_decides_the_code(bench: Bench) -> None:
    before = bench.counted()
    assert bench.ask("/app/x") == 200
    assert bench.ask("/closed/x") == 502
    assert [bench.ask(f"/app/{how}") for how in ("resets", "closes", "malformed")] == [502] * 3
    # No target is registered, as on AWS; a target's own 503 and a rule's stay what they are.
    assert [bench.ask(path) for path in ("/empty/x", "/app/503", "/other")] == [503] * 3
    after = bench.counted()
    assert {code: after[code] - before[code] for code in after} == {500: 0, 502: 4, 503: 2, 504: 0}


@pytest.mark.parametrize("path", ["/silent/x", "/app/slow"])
def test_a_target_that_neither_refuses_nor_answers_is_a_504_when_the_time_is_over(bench: Bench, path: str) -> None:
    started, before = time.monotonic(), bench.counted()
    assert bench.ask(path) == 504
    assert time.monotonic() - started > 0.95
    assert bench.counted() == before | {504: before[504] + 1}


def test_a_request_that_outlasts_its_targets_deregistration_is_a_502(bench: Bench) -> None:
    before = bench.counted()
    target = f"{GROUPS['app'].backend}.node0/i-1"
    with later_request(bench, "/app/slow") as later, contextlib.closing(bench.connection()) as first:
        first.request("GET", "/app/slow")
        time.sleep(0.2)
        bench.process.command(haproxy_syntax.command("shutdown", "sessions", "server", target))
        assert [connection.getresponse().status for connection in (first, later)] == [502, 502]
    assert bench.counted() == before | {502: before[502] + 2}


@pytest.mark.parametrize(
    ("path", "code"), [("/app/resets", 502), ("/app/closes", 502), ("/app/malformed", 502), ("/app/slow", 504)]
)
def test_a_later_request_of_a_clients_connection_is_answered_as_the_first(bench: Bench, path: str, code: int) -> None:
    before = bench.counted()
    with later_request(bench, path) as connection:
        assert connection.getresponse().status == code
    assert bench.counted() == before | {code: before[code] + 1}


def test_requests_of_http2_are_answered_as_well(bench: Bench) -> None:
    with Http2(bench.port) as client:
        assert [client.ask(path) for path in ("/app/x", "/app/closes", "/app/resets")] == [200, 502, 502]


def test_a_client_that_has_gone_is_counted_as_refused_and_its_target_not_as_failed(bench: Bench) -> None:
    before, refused = bench.counted(), bench.refused()
    with later_request(bench, "/app/slow"):
        time.sleep(0.2)
    deadline = time.monotonic() + 10
    while bench.refused() == refused and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (bench.refused(), bench.counted()) == (refused + 1, before)


def test_requests_have_albs_limits(bench: Bench) -> None:
    def headers(count: int, size: int) -> dict[str, str]:
        return {f"X{number}": "x" * size for number in range(count)}

    assert bench.ask("/app/x", **headers(4, 15 * KIBI)) == 200
    assert bench.ask("/app/x", **headers(1, 17 * KIBI)) == 400
    assert bench.ask("/app/x", **headers(5, 15 * KIBI)) == 400
    assert bench.ask("/app/x", **headers(9, 15 * KIBI)) == 400
    assert bench.ask(f"/app/{'x' * 15 * KIBI}") == 200
    assert bench.ask(f"/app/{'x' * 17 * KIBI}") == 400
    assert bench.ask("/app/x", X_Forwarded_For="1") == 200
    assert bench.ask("/app/x", **{"X-Forwarded-For": ", ".join(["1.1.1.1"] * 31)}) == 463


def test_grpc_is_not_for_targets_that_speak_http_1(bench: Bench) -> None:
    with Http2(bench.port) as client:
        grpc = {"content-type": "application/grpc+proto"}
        assert [client.ask("/app/x", "POST", headers) for headers in (grpc, {"content-type": "text/plain"})] == [
            464,
            200,
        ]
        # What no target is asked for is answered as ever.
        assert client.ask("/other", "POST", grpc) == 503


@pytest.mark.parametrize(("coding", "status"), [("gzip, chunked", b"422"), ("chunked, gzip", b"400")])
def test_an_unknown_transfer_encoding_is_refused_with_haproxys_codes(bench: Bench, coding: str, status: bytes) -> None:
    """ALB has 501 for it: what docs/rules/ says of rule L7 has to change when HAProxy does."""
    with socket.create_connection(("127.0.0.1", bench.port), timeout=10) as connection:
        head = f"POST /app/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).split()[1] == status


def test_answers_have_albs_limit(bench: Bench) -> None:
    assert [bench.ask(f"/app/headers/{size}") for size in (31, 33)] == [200, 502]


def test_a_client_that_does_not_finish_its_request_is_told_408(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_an_old_connection_of_a_client_is_closed_with_the_next_answer(bench: Bench) -> None:
    with contextlib.closing(bench.connection()) as connection:
        closing = []
        for wait in (0, 0.4, 0.7):
            time.sleep(wait)
            connection.request("GET", "/app/x")
            answer = connection.getresponse()
            answer.read()
            closing.append(answer.getheader("Connection"))
    assert closing == [None, None, "close"]


def test_an_http2_connection_is_told_to_go_after_ten_thousand_requests(bench: Bench) -> None:
    with Http2(bench.port) as client:
        assert {client.ask("/other") for _ in range(100)} == {503}
        assert not client.told_to_go
        assert client.ask("/other") is None
        assert client.told_to_go
    with contextlib.closing(bench.connection()) as connection:
        for _ in range(120):
            connection.request("GET", "/other")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 503


def test_an_http2_connection_that_is_never_quiet_is_told_to_go_a_tenth_later(bench: Bench) -> None:
    with Http2(bench.port) as client:
        client.start("/app/slow")
        assert {client.ask("/other") for _ in range(109)} == {503}
        assert client.ask("/other") is None
        assert client.told_to_go
