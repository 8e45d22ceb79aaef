"""One client's connection: what a client may send, how long it may take, and what it hears when something fails."""

import asyncio
import itertools
import logging
import math
from http import HTTPStatus
from time import perf_counter

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.streams import StreamReader

from service.app import FinishPlainly
from service.current import BEGAN, REQUEST, request_id
from service.response import CommonHeaders, Response
from service.settings import Settings

SWEEP_SECONDS = 0.5
END_OF_HEADER = b"\r\n\r\n"

logger = logging.getLogger("service")
request_count = itertools.count(1)
# What super().data_received is, without the search for it that every call would begin with.
receive = web.RequestHandler.data_received


class Connection(web.RequestHandler):
    """aiohttp's side of a connection, with limits on the size of a request's header and the time to send a request.

    `deadline` is when the client must have sent what it has begun; after it, `cut_off_slow_clients` in `server.py` ends
    the connection.
    """

    def __init__(
        self,
        server: web.Server,
        settings: Settings,
        common: CommonHeaders,
        access_log_class: type[AbstractAccessLogger],
        finish_plainly: FinishPlainly,
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keepalive_seconds,
            access_log_class=access_log_class,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            # A body that no handler has read is not read afterwards either: the connection closes.
            lingering_time=0,
        )
        self.settings = settings
        self.max_header_bytes = settings.max_header_bytes
        self.common = common
        self.finish_plainly = finish_plainly
        self.clock = asyncio.get_running_loop().time
        self.header_bytes = 0
        self.receives_body = False
        self.deadline = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time that the client has for its first request."""
        super().connection_made(transport)
        self.allow(self.settings.header_seconds)

    def allow(self, seconds: float) -> None:
        """Give the client `seconds` from now."""
        self.deadline = self.clock() + seconds - SWEEP_SECONDS

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent, and look after headers that do not arrive in one piece."""
        if (
            (data.endswith(END_OF_HEADER) and self.header_bytes == 0 and len(data) <= self.max_header_bytes)
            or self.receives_body
            or self.header_may_go_on(data)
        ):
            receive(self, data)

    def header_may_go_on(self, data: bytes) -> bool:
        """Start the time that a header may take, if it has just begun; refuse it if it is too large."""
        if self.header_bytes == 0:
            self.allow(self.settings.header_seconds)
        room = self.max_header_bytes - self.header_bytes
        self.header_bytes += len(data)
        # What comes after the end of the header may be as large as it likes, it is a body.
        if len(data) > room and END_OF_HEADER not in data[:room]:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "malformed request: the header is too large")
            return False
        return True

    def request_begins(self, payload: StreamReader) -> None:
        """Note that the header of a request is complete and its handler about to run; `payload` is its body."""
        REQUEST.set(next(request_count))
        self.header_bytes = 0
        self.deadline = math.inf
        if self.settings.log_requests:
            BEGAN.set(perf_counter())
        if not payload.is_eof():
            self.receives_body = True
            self.allow(self.settings.body_seconds)
            payload.on_eof(self.body_ends)

    def body_ends(self) -> None:
        """Note that the client has sent all of the body."""
        self.receives_body = False
        self.deadline = math.inf

    def pause_writing(self) -> None:
        """Start the time that the client has to read what it has asked for."""
        super().pause_writing()
        self.allow(self.settings.body_seconds)

    def resume_writing(self) -> None:
        """Note that the client has read enough for more to be sent."""
        super().resume_writing()
        self.deadline = math.inf

    def cut_off(self) -> None:
        """Close the connection of a client that has not kept to its deadline."""
        if self.transport is not None and (self.receives_body or self.writing_paused):
            self.transport.abort()
        else:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT)

    def refuse(self, status: HTTPStatus, reason: str = "") -> None:
        """Answer `status` to a request that is not complete, and close."""
        if reason:
            logger.warning(reason, extra={"details": {"status": status.value}})
        if self.transport is not None:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's own wording quotes what the client has sent.
    ) -> web.StreamResponse:
        """Return what the client hears of an error: a status and the request id, never a traceback.

        Raises ConnectionError if a part of a response is out already, for then none can follow.
        """
        readable = status != HTTPStatus.BAD_REQUEST
        if not readable or isinstance(exc, web.RequestPayloadError):
            status = HTTPStatus.BAD_REQUEST
            logger.warning("malformed request: %s", first_line(exc), extra={"details": {"status": status}})
        elif isinstance(exc, ConnectionError):
            logger.info("the client has closed the connection before its request was answered")
        else:
            logger.error("a handler failed", exc_info=exc, extra={"details": failed(request)})
        if request.writer.output_size > 0:
            raise ConnectionError("A part of the response has been sent already")
        text = f"{status}: {HTTPStatus(status).phrase}\nrequest id: {request_id()}\n"
        response = Response(text=text, status=status)
        response.routed = readable
        response.common = self.common
        response.force_close()
        return response


def first_line(error: BaseException | None) -> str:
    """Return the first line of what `error` says, cut short: it may quote what the client has sent."""
    return str(error).partition("\n")[0][:200]


def failed(request: web.BaseRequest) -> dict[str, str]:
    """Return what a log line says about the `request` whose handler failed."""
    return {"method": request.method, "path": request.rel_url.raw_path}
