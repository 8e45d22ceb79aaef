"""The listening socket: it takes a burst of new connections at once, and waits when there is no room for more."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

BACKLOG = 2048
# How many connections are accepted before those that are open get their turn again.
MOST_AT_ONCE = 256
PAUSE_SECONDS = 0.1
SECONDS_BETWEEN_WARNINGS = 60

logger = logging.getLogger("service")


class Listener:
    """Accepts connections and gives each a new protocol.

    The event loop's own server is not used: uvloop's accepts one connection per turn of its loop, so that a burst of
    new ones beside busy ones takes seconds, and asyncio's logs every failure to accept.
    """

    def __init__(
        self, host: str, port: int, new_protocol: Callable[[], asyncio.Protocol], room: Callable[[], int]
    ) -> None:
        """Listen on `host` and `port`; `room` says how many connections may be added. Raises OSError if it cannot."""
        self.sockets = listening_sockets(host, port)
        self.new_protocol = new_protocol
        self.room = room
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[object]] = set()
        self.warned_at = -float(SECONDS_BETWEEN_WARNINGS)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.sockets[0].getsockname()[1])

    def start(self) -> None:
        """Accept connections from now on."""
        for listening in self.sockets:
            if listening.fileno() >= 0:
                self.loop.add_reader(listening, self.accept, listening)

    def accept(self, listening: socket.socket) -> bool:
        """Accept connections that are waiting; return whether there may be more."""
        room = self.room() - len(self.tasks)
        if room <= 0:
            self.pause("as many are open as MAX_CONNECTIONS allows")
            return False
        for _ in range(min(room, MOST_AT_ONCE)):
            try:
                connection, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                self.pause(str(error.strerror))
                return False
            connection.setblocking(False)
            task = self.loop.create_task(self.connect(connection))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return True

    async def connect(self, connection: socket.socket) -> None:
        """Give `connection` a protocol."""
        try:
            await self.loop.connect_accepted_socket(self.new_protocol, connection)
        except OSError:
            # The client was gone before it was its turn.
            connection.close()

    def pause(self, reason: str) -> None:
        """Wait a moment, for `reason`, such as "too many open files": clients queue up in the kernel meanwhile."""
        for listening in self.sockets:
            self.loop.remove_reader(listening)
        self.loop.call_later(PAUSE_SECONDS, self.start)
        if self.loop.time() - self.warned_at >= SECONDS_BETWEEN_WARNINGS:
            self.warned_at = self.loop.time()
            logger.warning("new connections have to wait: %s", reason)

    async def close(self) -> None:
        """Accept what is waiting and stop listening: whoever was let into the queue gets an answer."""
        for listening in self.sockets:
            # No more than the queue can hold, for new ones may keep coming.
            for _ in range(BACKLOG // MOST_AT_ONCE):
                if not self.accept(listening):
                    break
        for listening in self.sockets:
            self.loop.remove_reader(listening)
            listening.close()
        await asyncio.gather(*self.tasks)


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address that `host` stands for, as `asyncio.loop.create_server` understands it.

    That is every interface of both families for an empty one, of IPv6 alone for "::", and every address of a name. One
    that this computer does not have, because IPv6 is off perhaps, is left out if there is another. Raises OSError.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise OSError(errno.EINVAL, "not a host name") from None
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            try:
                listening = socket.create_server(address, family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
            else:
                listening.setblocking(False)
                sockets.append(listening)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    if missing is not None and not sockets:
        raise missing
    return sockets
