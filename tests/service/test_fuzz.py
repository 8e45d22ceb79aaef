"""A thousand hostile requests on the wire: the service lives, answers 4xx or closes, and keeps its memory."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.clients import HOST
from tests.support.service_process import ServiceProcess, running_service

pytestmark = pytest.mark.e2e

REQUESTS = 1000
MOST_GROWTH = 4 * 1024 * 1024
AT_ONCE = 100
# The limits of the service that they talk to are a second each; the machine may have other work.
LONGEST_SECONDS = 30

TOKENS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"get", b"G\x00T", b"*"])
TARGETS = st.one_of(
    st.sampled_from(
        [b"/", b"*", b"//", b"/../../etc/passwd", b"/%2e%2e/%00", b"http://[::1", b"/%zz", b"a:1", b"/" + b"a" * 20000]
    ),
    st.binary(max_size=100),
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"HTTP", b"", b"ICY/1.1"])
NAMES = st.one_of(
    st.sampled_from(
        [
            b"Host",
            b"Content-Length",
            b"Transfer-Encoding",
            b"Connection",
            b"Upgrade",
            b"Expect",
            b"Origin",
            b"Access-Control-Request-Method",
            b"Content-Encoding",
            b"X-Amzn-Trace-Id",
            b"X-Forwarded-For",
            b"Cookie",
        ]
    ),
    st.binary(max_size=30),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"localhost",
            b"0",
            b"-1",
            b"5",
            b"+5",
            b"0x5",
            b"99999999999999999999",
            b"5, 5",
            b"chunked",
            b"chunked, identity",
            b"\x0bchunked",
            b"gzip",
            b"upgrade",
            b"websocket",
            b"100-continue",
            b"close",
            b"keep-alive",
            b"a" * 9000,
            b"a\r\n b",
            b'"\\\xff',
        ]
    ),
    st.binary(max_size=60),
)
LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n "])
BODIES = st.one_of(
    st.sampled_from(
        [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"]
    ),
    st.binary(max_size=200),
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Return something between a request with one fault and bytes that are none at all."""
    line_end = draw(LINE_ENDS)
    start = draw(TOKENS) + b" " + draw(TARGETS) + b" " + draw(VERSIONS)
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=8))
    lines = [start, b"Host: localhost", *(name + b": " + value for name, value in headers)]
    return line_end.join(lines) + line_end * 2 + draw(BODIES)


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """One service for all requests, impatient so that a request without an end does not take 10 s."""
    with running_service(HEADER_SECONDS=1, BODY_SECONDS=1) as process:
        yield process


def test_hostile_requests(service: ServiceProcess) -> None:
    """Each client says that it has sent all."""
    answered = 0

    @settings(
        max_examples=REQUESTS, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
    )
    @given(st.one_of(hostile(), st.binary(min_size=1, max_size=2000)))
    def send(request: bytes) -> None:
        nonlocal answered
        with service.connect() as client:
            client.sendall(request)
            client.shutdown(1)
            answer = client.recv(65536)
            status = answer[9:10]
            assert not answer or answer.startswith(b"HTTP/1.")
            # A fault may also hit what does not matter, then the request is answered as any other.
            assert status in (b"", b"2", b"4"), (request, answer)
            assert b"Traceback" not in answer
        answered += 1

    send()
    warm = service.memory()
    send()
    assert answered >= 2 * REQUESTS
    assert service.memory() - warm < MOST_GROWTH
    assert service.process.poll() is None
    assert [line["message"] for line in service.log() if "traceback" in line] == []


def test_hostile_clients_that_keep_their_connection_open(service: ServiceProcess) -> None:
    """Each waits for what the service does with a request that may never be complete, many at once."""
    requests: list[bytes] = []

    @settings(
        max_examples=REQUESTS, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
    )
    @given(st.one_of(hostile(), st.binary(min_size=1, max_size=2000)))
    def collect(request: bytes) -> None:
        requests.append(request)

    collect()
    answers = asyncio.run(all_answers(service.port, requests))
    warm = service.memory()
    answers += asyncio.run(all_answers(service.port, requests))
    assert len(answers) >= 2 * REQUESTS
    for request, answer in answers:
        assert not answer or answer[:10] in (b"HTTP/1.1 2", b"HTTP/1.0 2", b"HTTP/1.1 4", b"HTTP/1.0 4"), (
            request,
            answer,
        )
    assert service.memory() - warm < MOST_GROWTH
    assert service.process.poll() is None
    assert [line["message"] for line in service.log() if "traceback" in line] == []


async def all_answers(port: int, requests: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Send all `requests`, each on a connection of its own; return each with the answer, none if it was closed."""
    free = asyncio.Semaphore(AT_ONCE)

    async def answer(request: bytes) -> tuple[bytes, bytes]:
        async with free, asyncio.timeout(LONGEST_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            received = b""
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                received = await reader.read(65536)
            writer.close()
            return request, received

    return await asyncio.gather(*(answer(request) for request in requests))
