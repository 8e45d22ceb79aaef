"""The router of a network of tasks: runs in a container of its own, with Python's standard library alone.

It is the default gateway of the tasks' containers. What the rules let out it passes on to the engine's gateway, which
leads to the internet; all else it drops without a word, as a security group does. The kernel's routing rules, which
know protocols and ports (`ip rule add ... ipproto tcp dport 443`), are told so by rtnetlink,
https://www.kernel.org/doc/html/latest/networking/netlink_spec/rt_rule.html.

It also is the link-local addresses that a container on AWS finds: name server, task credentials with the way to the
embedded AWS, and instance metadata. Arguments: its own address, the engine's, the network of both, and the file with
the rules, which is read again at SIGHUP; the socket of the embedded AWS is beside it.
"""

import asyncio
import ipaddress
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

INTERFACE = "eth0"
CREDENTIALS = "169.254.170.2"
METADATA = "169.254.169.254"
NAME_SERVER = "169.254.169.253"
# The engine's own, in this container.
ENGINES_NAME_SERVER = ("127.0.0.11", 53)
NAME_SERVER_PORT, HTTP_PORT = 53, 80
CHUNK = 65536
NAME_SECONDS = 5
# What it prints, for whoever started it.
READY, WITHOUT_AWS = "ready", "without AWS"
# Of /usr/include/linux/rtnetlink.h, netlink.h and fib_rules.h.
NEW_ADDRESS, NEW_ROUTE, NEW_RULE, DELETE_RULE = 20, 24, 32, 33
REQUEST, ACKNOWLEDGE, REPLACE, CREATE = 0x1, 0x4, 0x100, 0x400
NLMSG_HEADER, ERROR_CODE = "IHHII", "i"
APPEND = 0x800
# Of nfnetlink.h, nf_tables.h and netfilter.h.
TABLES, BATCH_BEGIN, BATCH_END = 10, 16, 17
NEW_TABLE, NEW_CHAIN, NEW_PACKET_RULE, NESTED = 0, 3, 6, 0x8000
AFTER_ROUTING, SOURCE_NAT = 4, 100
NETFILTER = 12
MAIN_TABLE, STATIC, UNIVERSE, UNICAST = 254, 4, 0, 1
TO_TABLE, BLACKHOLE = 1, 6
FIRST_PRIORITY, LAST_PRIORITY = 1000, 30000
# No range of the kernel's ends with the highest port, which nobody gets to.
LAST_PORT = 0xFFFE

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("HH", 4 + len(content), kind) + content + b"\0" * (-len(content) % 4)


def message(kind: int, flags: int, content: bytes) -> bytes:
    return struct.pack(NLMSG_HEADER, 16 + len(content), kind, flags | REQUEST, 1, 0) + content


def tell_kernel(kind: int, flags: int, content: bytes) -> None:
    """Send one request about routes to the kernel. Raises OSError when it refuses."""
    send(socket.NETLINK_ROUTE, message(kind, flags | ACKNOWLEDGE, content))


def send(family: int, request: bytes) -> None:
    """Send a request of which one part is acknowledged. Raises OSError when the kernel refuses any."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as kernel:
        kernel.send(request)
        code = struct.unpack_from(ERROR_CODE, kernel.recv(CHUNK), struct.calcsize(NLMSG_HEADER))[0]
        if code:
            raise OSError(-code, os.strerror(-code))


def masquerade() -> None:
    """Let what is passed on come from this container, `nft add rule ip tasks out masquerade`.

    The engine's bridge has seen the same packet come to this container already, and would take it for one that needs no
    address of the computer's own. https://www.kernel.org/doc/html/latest/netlink/specs/nftables.html
    """

    def part(kind: int, flags: int, *attributes: bytes) -> bytes:
        return message(TABLES << 8 | kind, flags, struct.pack("!BBH", socket.AF_INET, 0, 0) + b"".join(attributes))

    def border(kind: int) -> bytes:
        return message(kind, 0, struct.pack("!BBH", socket.AF_UNSPEC, 0, TABLES))

    def nested(kind: int, *attributes: bytes) -> bytes:
        return attribute(kind | NESTED, b"".join(attributes))

    table, chain = b"tasks\0", b"out\0"
    hook = nested(4, attribute(1, struct.pack("!I", AFTER_ROUTING)), attribute(2, struct.pack("!i", SOURCE_NAT)))
    expression = nested(4, nested(1, attribute(1, b"masq\0")))
    request = border(BATCH_BEGIN)
    request += part(NEW_TABLE, CREATE, attribute(1, table))
    request += part(NEW_CHAIN, CREATE, attribute(1, table), attribute(3, chain), hook, attribute(7, b"nat\0"))
    request += part(
        NEW_PACKET_RULE, CREATE | APPEND | ACKNOWLEDGE, attribute(1, table), attribute(2, chain), expression
    )
    send(NETFILTER, request + border(BATCH_END))


def add_address(address: str) -> None:
    packed, index = ipaddress.ip_address(address).packed, socket.if_nametoindex(INTERFACE)
    content = struct.pack("BBBBI", socket.AF_INET, 32, 0, UNIVERSE, index)
    tell_kernel(NEW_ADDRESS, CREATE | REPLACE, content + attribute(1, packed) + attribute(2, packed))


def lead_to(gateway: str) -> None:
    """Make the engine's gateway the default one of this container: so far it is this container itself."""
    content = struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, MAIN_TABLE, STATIC, UNIVERSE, UNICAST, 0)
    content += attribute(5, ipaddress.ip_address(gateway).packed)
    content += attribute(4, struct.pack("I", socket.if_nametoindex(INTERFACE)))
    tell_kernel(NEW_ROUTE, CREATE | REPLACE, content)


def rule(priority: int, action: int, network: str, protocol: int = 0, first: int = 0, last: int = 0) -> bytes:
    """Return a routing rule for what comes from the containers; 0 stands for any protocol and any port."""
    destination = ipaddress.ip_network(network)
    header = (socket.AF_INET, destination.prefixlen, 0, 0, MAIN_TABLE if action == TO_TABLE else 0, 0, 0, action, 0)
    content = struct.pack("BBBBBBBBI", *header) + attribute(6, struct.pack("I", priority))
    content += attribute(3, INTERFACE.encode() + b"\0")
    if destination.prefixlen:
        content += attribute(1, destination.network_address.packed)
    if protocol:
        content += attribute(22, bytes([protocol]))
    if first:
        content += attribute(24, struct.pack("HH", first, last))
    return content


def rules(settings: dict[str, list[list[object]]]) -> list[bytes]:
    """Return the routing rules of what is let out, in their order: never, then what is allowed, then nothing more."""
    priority = iter(range(FIRST_PRIORITY, LAST_PRIORITY))
    found = [rule(next(priority), BLACKHOLE, str(network)) for (network,) in settings["never"]]
    for *numbers, network in settings["allowed"]:
        protocol, first, last = (int(str(item)) for item in numbers)
        if first <= LAST_PORT:
            found.append(rule(next(priority), TO_TABLE, str(network), protocol, first, min(last, LAST_PORT)))
    return found


class Filter:
    """The routing rules that hold now."""

    def __init__(self, file: Path, neighbours: str) -> None:
        self._file = file
        self._standing: list[bytes] = []
        # Answers, on their last part of the way.
        tell_kernel(NEW_RULE, CREATE, rule(FIRST_PRIORITY - 1, TO_TABLE, neighbours))
        tell_kernel(NEW_RULE, CREATE, rule(LAST_PRIORITY, BLACKHOLE, "0.0.0.0/0"))

    def read(self) -> None:
        """Replace the rules by those of the file; in between nothing is let out."""
        wanted = rules(json.loads(self._file.read_text()))
        for content in self._standing:
            tell_kernel(DELETE_RULE, 0, content)
        self._standing = []
        for content in wanted:
            tell_kernel(NEW_RULE, CREATE, content)
            self._standing.append(content)


async def pump(reader: Reader, writer: Writer) -> None:
    # RuntimeError: the other direction has closed the connection meanwhile.
    with suppress(OSError, RuntimeError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


def relay(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Return what hands a connection on."""

    async def handle(reader: Reader, writer: Writer) -> None:
        with suppress(OSError):
            there = await connect()
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
            there[1].close()
        writer.close()

    return handle


async def answer_metadata(reader: Reader, writer: Writer) -> None:
    """Answer as a machine's metadata service with a hop limit of 1 does to a container (rule N2).

    A token is on its way and never arrives; without one nothing is told.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    """
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"PUT "):
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
    writer.close()


class Names(asyncio.DatagramProtocol):
    """Hands questions for names on to the engine's name server."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._asking: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are sent by."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Ask, without holding up the next question."""
        task = asyncio.get_running_loop().create_task(self._ask(data, addr))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, question: bytes, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, suppress(OSError, TimeoutError):
            server.setblocking(False)
            server.connect(ENGINES_NAME_SERVER)
            await loop.sock_sendall(server, question)
            answer = await asyncio.wait_for(loop.sock_recv(server, CHUNK), NAME_SECONDS)
            self._transport.sendto(answer, address)


async def finds_aws(socket_of_aws: Path) -> bool:
    """Return whether the socket of the embedded AWS is one here: engines in a virtual machine of their own lose it."""
    try:
        _reader, writer = await asyncio.open_unix_connection(socket_of_aws)
    except OSError:
        return False
    writer.close()
    return True


async def run(address: str, gateway: str, neighbours: str, rules_file: Path) -> None:
    for own in (address, CREDENTIALS, METADATA, NAME_SERVER):
        add_address(own)
    lead_to(gateway)
    masquerade()
    packets = Filter(rules_file, neighbours)
    packets.read()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, packets.read)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    socket_of_aws = rules_file.with_name("aws.sock")
    to_aws = relay(lambda: asyncio.open_unix_connection(socket_of_aws))
    await asyncio.start_server(to_aws, CREDENTIALS, HTTP_PORT)
    await asyncio.start_server(answer_metadata, METADATA, HTTP_PORT)
    to_names = relay(lambda: asyncio.open_connection(*ENGINES_NAME_SERVER))
    await asyncio.start_server(to_names, NAME_SERVER, NAME_SERVER_PORT)
    await loop.create_datagram_endpoint(Names, local_addr=(NAME_SERVER, NAME_SERVER_PORT))
    if not await finds_aws(socket_of_aws):
        print(WITHOUT_AWS, flush=True)
    print(READY, flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
