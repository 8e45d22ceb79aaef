"""A client of HTTP/2 without TLS, as HAProxy takes it on any port."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any, Self

import h2.connection
import h2.events
import h2.exceptions

RECEIVE = 65536


class Http2:
    """One connection: requests one after the other, and what came of them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._state = h2.connection.H2Connection()
        self._state.initiate_connection()
        # Whether it was told to go.
        self.told_to_go = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def start(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> int:
        """Send a request, and return the number of its stream."""
        stream = self._state.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "http", ":authority": "a", ":path": path}
        self._state.send_headers(stream, [*(pseudo | dict(headers or {})).items()], end_stream=True)
        self._socket.sendall(self._state.data_to_send())
        return stream

    def ask(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> int | None:
        """Return the status, or None where there was no answer."""
        stream = self.start(path, method, headers)
        status = None
        for event in self._events():
            if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                status = int(dict(event.headers or [])[b":status"])
            if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id == stream:
                return status
        return status

    def _events(self) -> Iterator[Any]:
        """Yield what comes, until the connection ends."""
        while received := self._socket.recv(RECEIVE):
            try:
                events = self._state.receive_data(received)
            except h2.exceptions.ProtocolError:
                # HAProxy ends its streams after it has told to go.
                self.told_to_go = True
                return
            self.told_to_go |= any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
            self._socket.sendall(self._state.data_to_send())
            yield from events
