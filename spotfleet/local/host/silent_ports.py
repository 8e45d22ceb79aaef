"""Ports of 127.0.0.1 that answer nothing, as those of a machine that is gone: a connection waits until it gives up.

A listener whose queue is full lets the kernel drop what else arrives. It also keeps the port from the next container,
which would answer in the place of the lost one.
"""

import socket
import threading
import time

# The container that had a port needs a moment to let it go, in real seconds.
PATIENCE = 3.0
POLL = 0.05
# Connections of our own that fill the queue of a listener: Linux takes one more than it is told.
FILLING = 2

_held: dict[int, list[socket.socket]] = {}
_lock = threading.Lock()


def hold(port: int) -> bool:
    """Let a port be silent until it is released; False when something else keeps it."""
    deadline = time.monotonic() + PATIENCE
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(0)
            break
        except OSError:
            if time.monotonic() > deadline:
                listener.close()
                return False
            time.sleep(POLL)
    with _lock:
        _held[port] = [listener, *(_connection(port) for _ in range(FILLING))]
    return True


def _connection(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))
    return connection


def release(port: int) -> None:
    """Let a port be refused again, as one that nobody listens on; nothing when it was not silent."""
    with _lock:
        sockets = _held.pop(port, [])
    for one in sockets:
        one.close()
