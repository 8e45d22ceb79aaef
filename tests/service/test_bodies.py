"""Request bodies: what a compressed one costs, what all of them take together, and who gives way."""

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from service.server.body import CODINGS, PIECE_BYTES, Body, Decoded, codings_of
from service.server.body_memory import BASE_BYTES, PART, BodyMemory, most_body_bytes, task_memory
from service.settings import Settings
from tests.support.service_process import (
    KEEP_ALIVE_REQUEST,
    MEBIBYTE,
    ServiceProcess,
    connections,
    post,
    read_head,
    read_to_end,
    running_service,
)

GIBIBYTE = 1024 * MEBIBYTE
# Five bombs took 4 seconds when they were decoded, and take hundredths when they are not.
MOST_CPU_SECONDS = 1
MOST_GROWTH = 16 * MEBIBYTE


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """One service for the tests that leave it as they find it."""
    with running_service("tests.support.service_with_bad_handlers", BODY_SECONDS=5) as process:
        yield process


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A megabyte that gzip expands to a gibibyte."""
    compressor = zlib.compressobj(9, wbits=31)
    zeros = bytes(8 * MEBIBYTE)
    first, next_one = (compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + next_one * (GIBIBYTE // len(zeros) - 1) + compressor.flush()


def upload(path: str, body: bytes, *headers: str) -> bytes:
    """Return a request with a body that asks for the connection to be closed."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    """Return the status of a response."""
    return int(answer[9:12])


# Compressed bodies


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/", 405),
        ("/nowhere", 404),
        ("/upload", 413),
        ("/upload-in-pieces", 413),
        ("/upload-in-lines", 400),
        ("/upload-in-chunks", 413),
        ("/upload-json", 413),
        ("/upload-form", 413),
        ("/upload-parts", 400),
    ],
)
def test_a_bomb_costs_next_to_nothing(service: ServiceProcess, bomb: bytes, path: str, answers: int) -> None:
    form = {
        "/upload-form": ["Content-Type: application/x-www-form-urlencoded"],
        "/upload-parts": ["Content-Type: multipart/form-data; boundary=a"],
    }
    cpu_seconds, memory = service.cpu_seconds(), service.memory()
    for _ in range(2):
        answer = service.exchange(upload(path, bomb, "Content-Encoding: gzip", *form.get(path, [])))
        assert status(answer) == answers
    assert service.cpu_seconds() - cpu_seconds < MOST_CPU_SECONDS
    assert service.memory() - memory < MOST_GROWTH


@pytest.mark.parametrize("path", ["/upload", "/upload-in-pieces"])
def test_much_that_expands_to_nothing_is_not_read_for_ever(service: ServiceProcess, path: str) -> None:
    # Empty blocks, RFC 1951, section 3.2.4.
    body = b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * (MEBIBYTE // 2)
    assert status(service.exchange(upload(path, body, "Content-Encoding: deflate"))) == 413


def test_a_bomb_in_a_part_is_stopped_at_the_same_limit(service: ServiceProcess) -> None:
    part = gzip.compress(bytes(4 * MEBIBYTE))
    body = b"--a\r\nContent-Encoding: gzip\r\n\r\n" + part + b"\r\n--a--\r\n"
    answer = service.exchange(upload("/upload-parts", body, "Content-Type: multipart/mixed; boundary=a"))
    assert status(answer) == 413


def bare_deflate(data: bytes) -> bytes:
    """Compress as some clients do that call it deflate."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare_deflate,
    "gzip, identity": gzip.compress,
    "": bytes,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize("size", [0, 1, 100_000, MEBIBYTE])
def test_a_compressed_body_is_read_up_to_the_limit(service: ServiceProcess, coding: str, size: int) -> None:
    body = COMPRESS[coding](bytes(range(250)) * (size // 250) + b"a" * (size % 250))
    for path in ("/upload", "/upload-in-pieces"):
        answer = service.exchange(upload(path, body, f"Content-Encoding: {coding}"))
        assert answer.endswith(b"\r\n\r\n%d" % size), (path, answer[:200])


def test_a_compressed_body_is_read_as_json_lines_and_form(service: ServiceProcess) -> None:
    def answer(path: str, data: bytes, *headers: str) -> bytes:
        received = service.exchange(upload(path, gzip.compress(data), "Content-Encoding: gzip", *headers))
        return received.rpartition(b"\r\n\r\n")[2]

    assert answer("/upload-json", json.dumps(list(range(50_000))).encode()) == b"50000"
    assert answer("/upload-in-lines", b"a line\n" * 50_000) == b"50000"
    form = "Content-Type: application/x-www-form-urlencoded"
    assert answer("/upload-form", b"a=" + b"b" * 200_000, form) == b"a=200000"
    parts = b'--x\r\nContent-Disposition: form-data; name="c"\r\n\r\n' + b"d" * 200_000 + b"\r\n--x--\r\n"
    assert answer("/upload-form", parts, "Content-Type: multipart/form-data; boundary=x") == b"c=200000"
    assert answer("/upload-parts", parts, "Content-Type: multipart/form-data; boundary=x") == b"[200000]"


def test_a_compressed_body_that_arrives_in_pieces_and_chunks_is_read(service: ServiceProcess) -> None:
    body = gzip.compress(bytes(500_000))
    with service.connect() as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for begin in range(0, len(body), 100):
            piece = body[begin : begin + 100]
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(0.01)
        client.sendall(b"0\r\n\r\n")
        assert read_to_end(client).endswith(b"\r\n\r\n500000")


def test_chunks_are_told_apart_as_before(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(
            b"POST /upload-in-chunks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        time.sleep(0.1)
        client.sendall(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
        assert read_to_end(client).endswith(b"\r\n\r\n2")


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Encoding: gzip, gzip"],
        ["Content-Encoding: gzip", "Content-Encoding: deflate"],
        ["Content-Encoding: compress"],
        ["Content-Encoding: aes128gcm"],
        ["Content-Encoding: gzip;q=1"],
        ["Content-Encoding: \xff"],
    ],
)
def test_other_codings_are_refused_when_a_handler_reads(service: ServiceProcess, lines: list[str]) -> None:
    request = upload("/upload", gzip.compress(gzip.compress(b"a")), *lines)
    answer = service.exchange(request)
    assert status(answer) == 415
    assert b"\r\nAccept-Encoding: gzip, x-gzip, deflate" in answer
    assert status(service.exchange(upload("/", b"a", *lines))) == 405


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", b"a"),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-1]),
        ("gzip", gzip.compress(b"hello", mtime=0) * 2 + b"\x1f"),
        ("deflate", b"\x78no"),
        ("deflate", b"\x78\x9c\x00"),
        ("deflate", bytes(2 * MEBIBYTE)),
    ],
)
def test_what_is_not_in_its_coding_gets_400(service: ServiceProcess, coding: str, body: bytes) -> None:
    assert status(service.exchange(upload("/upload", body, f"Content-Encoding: {coding}"))) == 400


async def wire_with(data: bytes) -> StreamReader:
    """Return what a client has sent completely."""
    loop = asyncio.get_running_loop()
    wire = StreamReader(BaseProtocol(loop), 64 * MEBIBYTE, loop=loop)
    wire.feed_data(data)
    wire.feed_eof()
    return wire


@pytest.mark.parametrize("coding", sorted(CODINGS.keys() - {"br", "zstd"}))
async def test_nothing_is_decoded_before_a_read_and_little_at_once(coding: str) -> None:
    compressed = {"deflate": zlib.compress}.get(coding, gzip.compress)(bytes(8 * MEBIBYTE))
    held: list[int] = []

    def hold(size: int) -> bool:
        held.append(size)
        return True

    wire = await wire_with(compressed)
    body = Body(Decoded(wire, [coding], MEBIBYTE, hold), wire)
    await asyncio.sleep(0)
    assert (held, body.is_eof(), body.at_eof()) == ([], True, False)
    await body.read(10)
    assert sum(held) <= PIECE_BYTES
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        await body.read()
    assert max(held) <= PIECE_BYTES
    assert sum(held) <= MEBIBYTE


async def decoded(data: bytes, coding: str = "gzip") -> bytes:
    """Return what `data` decodes to."""
    return await Decoded(await wire_with(data), [coding], 64 * MEBIBYTE, lambda _: True).read()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=5), st.integers(1, 1000), st.integers(0, 9))
async def test_gzip_in_any_number_of_parts(parts: list[bytes], times: int, level: int) -> None:
    contents = [part * times for part in parts]
    data = b"".join(gzip.compress(content, level) for content in contents)
    assert await decoded(data) == b"".join(contents)
    if data:
        with pytest.raises(web.RequestPayloadError):
            await decoded(data[:-1])


async def test_many_empty_parts_cost_no_more_than_their_number() -> None:
    before = time.process_time()
    assert await decoded(gzip.compress(b"") * 10_000) == b""
    assert time.process_time() - before < MOST_CPU_SECONDS


async def test_others_get_their_turn_while_a_body_is_decoded() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    wire = await wire_with(gzip.compress(bytes(64 * PIECE_BYTES)))
    counter = asyncio.create_task(count_turns())
    await Decoded(wire, ["gzip"], 64 * PIECE_BYTES, lambda _: True).read()
    counter.cancel()
    assert turns >= 64


@pytest.mark.parametrize(
    ("lines", "codings"),
    [
        ([], []),
        (["GZIP"], ["gzip"]),
        (["gzip , , Identity"], ["gzip"]),
        (["deflate", "gzip"], ["deflate", "gzip"]),
    ],
)
def test_codings_are_those_of_all_lines(lines: list[str], codings: list[str]) -> None:
    assert codings_of(lines) == codings


# The memory for all bodies


class Holder:
    """Somebody whose body is arriving."""

    def __init__(self, memory: BodyMemory, arriving: bool = True) -> None:
        self.memory = memory
        self.arriving = arriving
        self.held_bytes = 0
        self.held_since = 0.0

    def can_give_way(self) -> bool:
        """Return whether it is still arriving."""
        return self.arriving

    def give_way(self) -> None:
        """Refuse it."""
        self.arriving = False
        self.memory.give_back(self)


def test_the_body_gives_way_that_has_held_most_for_longest() -> None:
    memory = BodyMemory(100)
    stalled, slow, quick, kept = Holder(memory), Holder(memory), Holder(memory), Holder(memory, arriving=False)
    for holder, size in ((stalled, 40), (slow, 5), (quick, 10), (kept, 40)):
        assert memory.take(holder, size)
    stalled.held_since -= 20
    slow.held_since -= 25
    kept.held_since -= 1000
    assert memory.take(quick, 10)
    assert [holder.held_bytes for holder in (stalled, slow, quick, kept)] == [0, 5, 20, 40]
    assert memory.used == 65


def test_a_body_is_refused_if_no_other_can_give_way() -> None:
    memory = BodyMemory(100)
    kept, new = Holder(memory, arriving=False), Holder(memory)
    assert memory.take(kept, 90)
    assert not memory.take(new, 20)
    assert memory.used == 90
    memory.give_back(kept)
    assert memory.take(new, 20)


def test_the_memory_is_a_part_of_the_tasks_unless_it_is_set() -> None:
    assert most_body_bytes(Settings(body_memory_bytes=5 * MEBIBYTE)) == 5 * MEBIBYTE
    assert most_body_bytes(Settings()) == max((task_memory() - BASE_BYTES) // PART, MEBIBYTE)
    assert most_body_bytes(Settings(max_body_bytes=1024**4)) == 1024**4


@pytest.mark.parametrize(
    ("files", "own_cgroup", "limit"),
    [
        ({"memory.max": "268435456\n"}, "0::/\n", 256 * MEBIBYTE),
        ({"memory.max": "max\n"}, "0::/\n", None),
        (
            {"memory.max": "max\n", "ecs/memory.max": "268435456", "ecs/a/memory.max": "max"},
            "0::/ecs/a",
            256 * MEBIBYTE,
        ),
        ({"memory/memory.limit_in_bytes": "134217728\n"}, "4:memory:/docker/a\n1:name=systemd:/\n", 128 * MEBIBYTE),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "4:memory:/\n", None),
        ({}, "", None),
        ({"memory.max": "268435456\n"}, "0::/../..\n", 256 * MEBIBYTE),
    ],
)
def test_the_tasks_memory_is_the_least_limit(
    tmp_path: Path, files: dict[str, str], own_cgroup: str, limit: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own_cgroup)
    machine = task_memory(tmp_path / "nothing", tmp_path / "nothing")
    assert task_memory(tmp_path, tmp_path / "own") == min(limit or machine, machine)


def send_half(client: socket.socket, path: str = "/upload") -> None:
    """Send a half of a body of a mebibyte."""
    client.sendall(post(path, MEBIBYTE) + bytes(MEBIBYTE // 2))


LITTLE_BYTES = 4 * MEBIBYTE


def little_memory(size: int = LITTLE_BYTES) -> AbstractContextManager[ServiceProcess]:
    """Run a service with little memory for bodies, and patience."""
    return running_service(
        "tests.support.service_with_bad_handlers", BODY_MEMORY_BYTES=size, BODY_SECONDS=20, LOG_REQUESTS="false"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/upload",
        *(pytest.param(f"/{name}", marks=pytest.mark.e2e) for name in ("upload-in-pieces", "forever-upload")),
    ],
)
def test_stalled_bodies_keep_nobody_out_and_take_no_more_than_their_memory(path: str) -> None:
    with little_memory() as service, connections(service, 60) as clients:
        memory = service.memory()
        for client in clients[:40]:
            send_half(client, path)
        assert status(service.exchange(upload("/upload", bytes(MEBIBYTE)))) == 200
        for client in clients[40:]:
            send_half(client, path)
            assert status(service.exchange(upload("/upload", bytes(MEBIBYTE)))) == 200
        assert status(service.exchange(upload("/", b""))) == 405
        assert service.memory() - memory < 5 * LITTLE_BYTES
        if path != "/forever-upload":
            head = read_head(clients[0])
            assert status(head) == 503
            assert b"\r\nRetry-After: 1\r\n" in head
            assert b"\r\nConnection: close" in head
        assert len(service.log("request bodies are refused")) == 1
        assert not [line for line in service.log() if "traceback" in line]


def test_bodies_that_handlers_have_leave_no_room_until_they_are_answered() -> None:
    with little_memory() as service, connections(service, 10) as clients:
        for client in clients:
            client.sendall(post("/upload-and-wait", MEBIBYTE) + bytes(MEBIBYTE))
        statuses = sorted(status(read_head(client)) for client in clients)
        assert 200 in statuses
        assert 503 in statuses
        assert set(statuses) == {200, 503}
        # The connections stay open, and aiohttp would keep the body of the last request of each.
        for _ in range(8):
            assert status(service.exchange(upload("/upload", bytes(MEBIBYTE)))) == 200


@pytest.mark.e2e
def test_small_bodies_in_one_piece_are_counted_too() -> None:
    with little_memory() as service, connections(service, 200) as clients:
        memory = service.memory()
        for client in clients:
            client.sendall(post("/upload-and-wait", 100_000) + bytes(100_000))
        statuses = {status(read_head(client)) for client in clients}
        assert statuses == {200, 503}
        assert service.memory() - memory < 5 * LITTLE_BYTES
        assert status(service.exchange(upload("/upload", bytes(MEBIBYTE)))) == 200


def test_a_body_that_is_refused_before_its_handler_reads_is_refused_when_it_does() -> None:
    with little_memory(MEBIBYTE) as service, connections(service, 6) as clients:
        for client in clients:
            client.sendall(post("/wait-and-upload", 600_000) + bytes(600_000))
        statuses = sorted(status(read_head(client)) for client in clients)
        assert statuses == [200, *[503] * 5]
        assert service.exchange(upload("/upload", bytes(MEBIBYTE))).endswith(b"\r\n\r\n1048576")


def at_once(service: ServiceProcess, count: int) -> list[bytes]:
    """Return the answers to as many uploads of a mebibyte that are kept for a while."""
    with connections(service, count) as clients:
        for client in clients:
            client.sendall(post("/upload-and-wait", MEBIBYTE) + bytes(MEBIBYTE))
        return [read_head(client) for client in clients]


@pytest.mark.e2e
def test_clients_that_are_gone_leave_nothing_behind() -> None:
    with little_memory() as service:
        for _ in range(3):
            with connections(service, 10) as clients:
                for client in clients:
                    send_half(client)
            with connections(service, 3) as clients:
                for client in clients:
                    client.sendall(post("/upload-and-wait", MEBIBYTE) + bytes(MEBIBYTE))
        # Their handlers run for a second more.
        end = time.monotonic() + 10
        while {status(answer) for answer in at_once(service, 3)} != {200}:
            assert time.monotonic() < end
        assert not [line for line in service.log() if "traceback" in line]


@pytest.mark.e2e
def test_large_bodies_that_are_read_in_pieces_need_not_fit() -> None:
    with little_memory() as service:
        assert service.exchange(upload("/upload-in-pieces", bytes(32 * MEBIBYTE))).endswith(b"\r\n\r\n33554432")


@pytest.mark.e2e
def test_what_is_sent_behind_a_request_waits_outside() -> None:
    with little_memory() as service, connections(service, 20) as clients:
        memory = service.memory()
        for client in clients:
            client.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /wait "))
            time.sleep(0.001)
            client.setblocking(False)
            pipelined = post("/upload", MEBIBYTE) + bytes(MEBIBYTE)
            while pipelined:
                try:
                    pipelined = pipelined[client.send(pipelined) :]
                except BlockingIOError:
                    break
        time.sleep(0.2)
        assert service.memory() - memory < 3 * LITTLE_BYTES
        assert status(service.exchange(upload("/upload", bytes(100)))) == 200


def test_a_pipelined_upload_is_read_after_the_first_answer(service: ServiceProcess) -> None:
    with service.connect() as client:
        client.sendall(KEEP_ALIVE_REQUEST.replace(b"GET / ", b"GET /wait "))
        time.sleep(0.1)
        client.sendall(upload("/upload", bytes(MEBIBYTE)))
        answer = read_to_end(client)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\n1048576")
