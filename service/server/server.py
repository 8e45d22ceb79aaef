"""The server: it wires application, connections and listener together, and stops without breaking a request."""

import asyncio
import gc
import logging
import os
import resource
import signal
import threading
from collections.abc import Callable
from http import HTTPStatus

import uvloop
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from yarl import URL

from service.server.body_memory import BodyMemory, most_body_bytes
from service.server.common_headers import COMMON_HEADERS, plain_headers
from service.server.connection import SWEEP_SECONDS, Connection
from service.server.lifecycle import LIFECYCLE
from service.server.listener import Listener
from service.server.logs import configure_logging, request_log
from service.settings import Settings

# Once nothing new is accepted, what came in last gets this long until its request counts as being handled.
LAST_MOMENT_SECONDS = 0.2
POLL_SECONDS = 0.05
# What hangs on after the clean-up, such as a thread of a handler, gets this long.
EXIT_SECONDS = 1
# Requests leave next to nothing behind for the garbage collector, so it need not look as often as by default.
GC_THRESHOLDS = (10_000, 20, 20)

logger = logging.getLogger("service")


def run(create_app: Callable[[Settings], web.Application], settings: Settings) -> None:
    """Serve the application until SIGTERM or SIGINT, then drain and return.

    Raises OSError if the port cannot be listened on.
    """
    configure_logging(settings.log_level)
    allow_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(create_app(settings), settings))
        exit_soon()


def exit_soon() -> None:
    """End the process in a second even if a thread of a handler keeps running, which Python would wait for."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


class Runner(web.AppRunner):
    """aiohttp's runner; its clean-up does not tell the application of the end once more, `serve` has done so."""

    async def shutdown(self) -> None:
        """Do nothing."""


async def serve(app: web.Application, settings: Settings) -> None:
    """Serve `app` until a signal, then let it go: drain, stop accepting, finish what is in flight."""
    signals = Signals()
    runner = Runner(app, access_log=None, shutdown_timeout=LAST_MOMENT_SECONDS)
    await runner.setup()
    listener = Listener(
        settings.host,
        settings.port,
        connection_factory(runner, settings),
        room=lambda: settings.max_connections - (len(runner.server.connections) if runner.server else 0),
    )
    sweeper = asyncio.create_task(cut_off_slow_clients(runner))
    listener.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    logger.info("listening", extra={"details": {"host": settings.host, "port": listener.port}})

    await signals.wait()
    app[LIFECYCLE].draining = True
    logger.info("draining", extra={"details": {"seconds": settings.drain_seconds}})
    # The health check answers 503 and every response closes its connection, until the load balancer has noticed.
    # A second signal cuts this short.
    await signals.wait(settings.drain_seconds)

    await listener.close()
    await asyncio.sleep(LAST_MOMENT_SECONDS)
    # Whoever keeps WebSockets open closes them in on_shutdown, so that they need not be waited for.
    await app.shutdown()
    await finish_requests(runner, settings.shutdown_seconds)
    await runner.cleanup()
    sweeper.cancel()
    logger.info("stopped")


async def finish_requests(runner: web.AppRunner, seconds: float) -> None:
    """Wait until every request has been answered, at most `seconds`.

    aiohttp's clean-up would spend that time twice, and drop what is still arriving of a request from its beginning.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while count := sum(connection.unfinished() for connection in connections(runner)):
        if loop.time() >= end:
            logger.warning("requests are broken off", extra={"details": {"count": count}})
            return
        await asyncio.sleep(POLL_SECONDS)


class Signals:
    """SIGTERM, which ECS sends, and SIGINT, which Ctrl-C sends."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.arrived.set)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next signal, at most `seconds`."""
        self.arrived.clear()
        try:
            await asyncio.wait_for(self.arrived.wait(), seconds)
        except TimeoutError:
            return


def connection_factory(runner: web.AppRunner, settings: Settings) -> Callable[[], Connection]:
    """Return what makes the protocol of a new connection to the application of `runner`."""
    server = runner.server
    if server is None:
        raise RuntimeError("The runner has not been set up")
    common = runner.app[COMMON_HEADERS]
    access_log_class = request_log(settings)
    new_request = server.request_factory

    def request_factory(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        if isinstance(protocol, Connection):
            payload = protocol.request_begins(message, payload)
            if message.version is not HttpVersion11:
                message = older_request(message, protocol)
        return new_request(message, payload, protocol, writer, task)

    server.request_factory = request_factory
    plain = plain_headers(runner.app)
    body_memory = BodyMemory(most_body_bytes(settings))
    return lambda: Connection(server, settings, common, access_log_class, plain, body_memory)


def older_request(message: RawRequestMessage, connection: Connection) -> RawRequestMessage:
    """Return how a request that is not HTTP/1.1 is handled; it is refused unless it is HTTP/1.0."""
    if message.version != HttpVersion10:
        # aiohttp takes a line without a version for HTTP/0.9, and fails if it has no target either.
        connection.refuse(HTTPStatus.BAD_REQUEST, "malformed request: neither HTTP/1.0 nor HTTP/1.1")
        # No handler is to run: no route can match what does not begin with a slash.
        return message._replace(path="*", url=URL("*"))
    # RFC 9112, section 6.1: a proxy of that time may have passed on the header without knowing what it means.
    return message._replace(should_close=True) if hdrs.TRANSFER_ENCODING in message.headers else message


async def cut_off_slow_clients(runner: web.AppRunner) -> None:
    """Close the connections of clients that take too long to send a request, or to read its response."""
    loop = asyncio.get_running_loop()
    while runner.server is not None:
        await asyncio.sleep(SWEEP_SECONDS)
        late = [connection for connection in connections(runner) if connection.late(loop.time())]
        for connection in late:
            connection.cut_off()
        if late:
            logger.warning("slow clients were cut off", extra={"details": {"count": len(late)}})


def connections(runner: web.AppRunner) -> list[Connection]:
    """Return the connections that are open."""
    server = runner.server
    return [one for one in server.connections if isinstance(one, Connection)] if server else []


def allow_many_files() -> None:
    """Raise the limit of open files, one per connection, to what the container may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
