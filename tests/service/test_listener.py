"""The listening socket by itself."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable

import pytest

from service.server.listener import MOST_AT_ONCE, Listener, listening_sockets

HOST = "127.0.0.1"


async def test_whoever_is_in_the_queue_is_accepted_when_the_listener_closes() -> None:
    connected: list[asyncio.BaseTransport] = []

    class Protocol(asyncio.Protocol):
        """Remembers its connection."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.append(transport)

    more_than_one_turn = MOST_AT_ONCE + 50
    listener = Listener(HOST, 0, Protocol, room=lambda: more_than_one_turn)
    with contextlib.ExitStack() as stack:
        for _ in range(more_than_one_turn):
            stack.enter_context(socket.create_connection((HOST, listener.port)))
        await listener.close()
        assert len(connected) == more_than_one_turn
        for transport in connected:
            transport.close()
    await asyncio.sleep(0)


async def addresses(host: str) -> set[tuple[int, str, bool]]:
    """Return family, address, and whether IPv6 only, of the sockets that asyncio opens for `host`."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0)
    found = described([one._sock for one in server.sockets])  # type: ignore[attr-defined]
    server.close()
    return found


def described(sockets: list[socket.socket]) -> set[tuple[int, str, bool]]:
    """Return the same of `sockets`."""
    ipv6 = socket.AF_INET6
    return {
        (
            one.family,
            one.getsockname()[0],
            one.family == ipv6 and bool(one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)),
        )
        for one in sockets
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "0.0.0.0", "::", "::1", "127.1"])  # noqa: S104
async def test_an_address_means_what_it_means_to_asyncio(host: str) -> None:
    sockets = listening_sockets(host, 0)
    assert described(sockets) == await addresses(host)
    for one in sockets:
        one.close()


def without(missing: int, number: int) -> Callable[..., socket.socket]:
    """Return what opens sockets on a computer without a family of addresses."""
    create_server = socket.create_server

    def create(address: tuple[str, int], *, family: int, backlog: int) -> socket.socket:
        if family == missing:
            raise OSError(number, "not here")
        return create_server(address, family=family, backlog=backlog)

    return create


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_every_interface_needs_no_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(socket, "create_server", without(socket.AF_INET6, number))
    (only,) = listening_sockets("", 0)
    assert only.family == socket.AF_INET
    only.close()
    with pytest.raises(OSError, match="not here"):
        listening_sockets("::1", 0)


def test_an_address_in_use_is_no_reason_to_listen_on_half_of_them() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken, pytest.raises(OSError, match="in use"):
        listening_sockets("", taken.getsockname()[1])


async def test_all_addresses_are_served_and_left() -> None:
    connected: list[asyncio.BaseTransport] = []

    class Protocol(asyncio.Protocol):
        """Remembers its connection."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.append(transport)

    listener = Listener("", 0, Protocol, room=lambda: 10)
    ports = [one.getsockname()[1] for one in listener.sockets]
    listener.start()
    for one, port in zip(listener.sockets, ports, strict=True):
        host = "::1" if one.family == socket.AF_INET6 else HOST
        with socket.create_connection((host, port)):
            await asyncio.sleep(0.05)
    assert len(connected) == len(ports)
    await listener.close()
    for transport in connected:
        transport.close()
    await asyncio.sleep(0)
    assert [one.fileno() for one in listener.sockets] == [-1] * len(ports)
