"""The listening socket by itself."""

import asyncio
import contextlib
import socket

from service.listener import MOST_AT_ONCE, Listener

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
