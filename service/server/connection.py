"""One client's connection: what a client may send, how long it may take, and what it hears when something fails."""

import asyncio
import contextlib
import itertools
import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import RawRequestMessage, WebSocketReader
from aiohttp.http_exceptions import LineTooLong

from service.server.body import Body, Decoded, codings_of, unavailable
from service.server.body_memory import BodyMemory
from service.server.context import BEGAN, PROCESS_ID, REQUEST, request_id
from service.server.logs import MOST_CHARACTERS
from service.server.response import CommonHeaders, Response
from service.settings import Settings

SWEEP_SECONDS = 0.5
# After an answer, what the client still sends of its request is read this long, and thrown away.
LINGER_SECONDS = 2
END_OF_HEADER = b"\r\n\r\n"
# The parser forgets the requests in a piece of data if there is anything behind one that closes the connection. So many
# are kept apart.
MOST_KEPT_APART = 64
# What aiohttp reads ahead of a handler at most, with what arrives at once.
READ_AHEAD_BYTES = 512 * 1024

logger = logging.getLogger("service")
request_count = itertools.count(1)
# What super().data_received is, without the search for it that every call would begin with.
receive = web.RequestHandler.data_received


class Connection(web.RequestHandler):
    """aiohttp's side of a connection, with limits on the size of a request's header and on a client's time.

    `send_by` is when the client must have sent what it has begun, `read_by` when it must have read on where something
    waits for it; `cut_off_slow_clients` in `server.py` ends connections that are late.
    """

    def __init__(
        self,
        server: web.Server,
        settings: Settings,
        common: CommonHeaders,
        access_log_class: type[AbstractAccessLogger],
        plain_headers: CommonHeaders | None,
        body_memory: BodyMemory,
    ) -> None:
        """`plain_headers` are what `app.plain_headers` returns, `body_memory` is that of all connections."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keepalive_seconds,
            access_log_class=access_log_class,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            lingering_time=LINGER_SECONDS,
            # Whoever reads a body has it decoded, see `Decoded`.
            auto_decompress=False,
        )
        self.settings = settings
        self.max_header_bytes = settings.max_header_bytes
        self.common = common
        self.clock = asyncio.get_running_loop().time
        # aiohttp lets go of its own reference as soon as it wants to close, long before all is sent perhaps.
        self.wire: asyncio.Transport | None = None
        # From the end of a request's header until it has been answered.
        self.busy = False
        self.receives_body = False
        self.discarded_bytes = 0
        # What the request's body takes of the memory for all bodies, since when, and whether it had to give way.
        self.body_memory = body_memory
        self.held_bytes = 0
        self.held_since = 0.0
        self.body: Body | None = None
        self.gave_way = False
        # Whether the client is sending the next request already, which has to wait.
        self.is_ahead = False
        # Of a header that does not arrive in one piece: its size so far, how it ends, whether that is its end, and how
        # many bytes were behind it.
        self.header_bytes = 0
        self.header_tail = b""
        self.header_is_over = False
        self.behind_header = 0
        self.send_by = math.inf
        self.read_by = math.inf
        self.unread_bytes = 0
        # What `Response` needs to know of the request that is being handled: the headers if they are all it gets.
        self.plain_headers: CommonHeaders | None = None
        self.plain_headers_of_app = plain_headers
        self.refused = False
        self.request_log = self.access_logger if self.access_logger and self.access_logger.enabled else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time that the client has for its first request."""
        super().connection_made(transport)
        self.wire = self.transport
        self.send_by = self.in_time(self.settings.header_seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the transport."""
        self.wire = None
        super().connection_lost(exc)

    def in_time(self, seconds: float) -> float:
        """Return when `seconds` from now will be over, so that the next sweep is not later."""
        return self.clock() + seconds - SWEEP_SECONDS

    # What the client sends

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; nearly always that is one request without a body."""
        if (
            data.endswith(END_OF_HEADER)
            and not self.receives_body
            and self.header_bytes == 0
            and data.find(END_OF_HEADER) == len(data) - len(END_OF_HEADER)
            and len(data) <= self.max_header_bytes
        ):
            receive(self, data)
        elif not data:
            # aiohttp takes up again what it has put aside.
            if not self.gave_way:
                receive(self, data)
        elif self.receives_body:
            if self.body_may_arrive(data):
                self.receive_apart(data)
        elif self.header_is_over:
            if self.may_wait(data):
                self.receive_apart(data)
        else:
            self.header_arrives(data)

    def receive_apart(self, data: bytes) -> None:
        """Give `data` to aiohttp, what follows a request that closes the connection apart from it."""
        for piece in kept_apart(data):
            receive(self, piece)

    def header_arrives(self, data: bytes) -> None:
        """Take `data` that a header is in, or a part of one."""
        in_pieces = self.header_bytes > 0
        if not self.header_may_go_on(data):
            return
        # Behind the end of the header, by which the last piece of it may have been shorter.
        end = len(data) - self.behind_header
        header, rest = data[:end], data[end:]
        if rest and not self.may_wait(rest):
            # The handler runs all the same, and answers that way, unless it does not need the body.
            if not self.busy:
                receive(self, header)
        elif rest and in_pieces:
            receive(self, header)
            self.receive_apart(rest)
        else:
            self.receive_apart(data)

    def body_may_arrive(self, data: bytes) -> bool:
        """Return whether aiohttp shall have `data` of a body, or of a WebSocket."""
        if self.gave_way or not self.busy:
            return self.body_may_go_on(len(data)) and not self.gave_way
        # A WebSocket's frames are no body.
        if self.body is None or self.hold(len(data)):
            return True
        self.give_way()
        return False

    def may_wait(self, data: bytes) -> bool:
        """Return whether aiohttp shall have `data` from behind a header, whose request is not being handled yet."""
        if self.hold(len(data)):
            if self.busy:
                # What is sent behind a request that is being handled stays where it is until that has been answered.
                self.is_ahead = True
                if self.transport is not None:
                    self.transport.pause_reading()
            return True
        if self.busy:
            # Not reading the next request is all that is left; the one being handled is answered.
            self.close()
        else:
            self.gave_way = self.receives_body = True
        return False

    def body_may_go_on(self, size: int) -> bool:
        """Take `size` bytes more of a body after its answer, so that the client comes to read it, but not any number.

        Closing with unread data tells the client that the connection is broken; it may never see the answer then.
        """
        self.discarded_bytes += size
        if self.discarded_bytes > self.settings.max_body_bytes:
            self.force_close()
            return False
        return True

    def header_may_go_on(self, data: bytes) -> bool:
        """Start the time that a header may take, if it has just begun; refuse it if it is too large."""
        if self.header_bytes == 0 and not self.busy:
            self.send_by = self.in_time(self.settings.header_seconds)
        seen = self.header_tail + data
        before = self.header_bytes - len(self.header_tail)
        end = seen.find(END_OF_HEADER)
        # What comes after the end of the header may be as large as it likes, it is a body.
        self.header_is_over = end >= 0
        self.behind_header = len(seen) - end - len(END_OF_HEADER) if self.header_is_over else 0
        self.header_bytes = before + (end + len(END_OF_HEADER) if self.header_is_over else len(seen))
        self.header_tail = seen[1 - len(END_OF_HEADER) :]
        if self.header_bytes > self.max_header_bytes:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "malformed request: the header is too large")
            return False
        return True

    def request_begins(self, message: RawRequestMessage, payload: StreamReader) -> StreamReader:
        """Note that a request's header is complete and its handler about to run; return the body that this one reads.

        `payload` is the body as the client sends it.
        """
        REQUEST.set(next(request_count))
        if self.settings.log_requests:
            BEGAN.set(perf_counter())
        self.busy = True
        self.send_by = math.inf
        if self.header_bytes:
            self.header_bytes = 0
            self.header_tail = b""
            self.header_is_over = False
        self.plain_headers = (
            self.plain_headers_of_app
            if payload is EMPTY_PAYLOAD
            and not self.gave_way
            and message.version is HttpVersion11
            and not message.should_close
            and hdrs.ORIGIN not in message.headers
            else None
        )
        return payload if payload is EMPTY_PAYLOAD and not self.gave_way else self.body_begins(message, payload)

    def body_begins(self, message: RawRequestMessage, payload: StreamReader) -> StreamReader:
        """Start the time that the client has for its body; return what the handler reads."""
        if not payload.is_eof():
            self.receives_body = True
            self.discarded_bytes = 0
            self.send_by = self.in_time(self.settings.body_seconds)
            payload.on_eof(self.body_ends)
        # What was sent behind another request has not been counted.
        fits = not self.gave_way and (self.held_bytes > 0 or self.hold(payload.total_bytes))
        codings = codings_of(message.headers.getall(hdrs.CONTENT_ENCODING, ()))
        if fits and payload.is_eof() and not codings:
            return payload
        source = Decoded(payload, codings, self.settings.max_body_bytes, self.hold_decoded) if codings else payload
        self.body = Body(source, payload)
        if not fits:
            self.give_way()
        return self.body

    def hold(self, size: int) -> bool:
        """Count `size` bytes more in the memory for bodies, but not more than can be in it; return whether they fit.

        A handler that reads a large body in pieces has only some of them.
        """
        size = min(size, max(self.settings.max_body_bytes, READ_AHEAD_BYTES) - self.held_bytes)
        return size <= 0 or self.body_memory.take(self, size)

    def hold_decoded(self, size: int) -> bool:
        """Count `size` bytes of a decoded body too; return whether they fit."""
        return self.body_memory.take(self, size)

    def can_give_way(self) -> bool:
        """Return whether a body is being received."""
        return self.body is not None and self.receives_body and not self.gave_way

    def give_way(self) -> None:
        """Have the handler's reads answer 503, and drop the body: what was read, and what is still to come."""
        self.gave_way = self.receives_body = True
        self.body_memory.give_back(self)
        if self.body is not None:
            self.body.set_exception(unavailable())
            with contextlib.suppress(RuntimeError):
                # It cannot be read here if a handler is waiting, but then there is nothing.
                self.body.wire.read_nowait()

    def body_ends(self) -> None:
        """Note that the client has sent all of the body."""
        self.receives_body = False
        self.send_by = math.inf

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """Note that WebSocket frames follow instead of requests; they may take any time."""
        self.receives_body = True
        self.send_by = math.inf
        self.body_memory.give_back(self)
        self.read_ahead()
        super().set_parser(parser, data_received_cb)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Have the client go on sending, unless it sends the next request already."""
        if not self.is_ahead:
            super().resume_reading(resume_parser)

    def read_ahead(self) -> None:
        """Read what the client has sent behind a request that has been answered."""
        if self.is_ahead:
            self.is_ahead = False
            self.resume_reading(resume_parser=False)

    # What the client reads

    def resume_writing(self) -> None:
        """Note that the client has read enough for more to be sent."""
        super().resume_writing()
        self.read_by = math.inf

    def log_access(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        time: float | None,  # noqa: ARG002  # uvloop's clock counts whole milliseconds.
    ) -> None:
        """Note that a request has been answered, and log it."""
        self.busy = False
        if self.held_bytes or self.body is not None:
            self.forget_body(request, response)
        if self.header_bytes and not self.header_is_over:
            # The next one has begun meanwhile.
            self.send_by = self.in_time(self.settings.header_seconds)
        if self.request_log is not None and not self.refused:
            self.request_log.log(request, response, 0.0)

    def forget_body(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let go of the body of a `request` that has been answered.

        aiohttp keeps both until the next request comes, and an error that was raised keeps what was read until then.
        """
        # There is no public way.
        request._read_bytes = request._post = None
        if isinstance(response, BaseException):
            response.__traceback__ = response.__context__ = response.__cause__ = None
        if self.body is not None:
            self.body.refusal = None
            self.body = None
        self.body_memory.give_back(self)
        self.read_ahead()

    # The end

    async def start(self) -> None:
        """Handle requests until the connection is closed."""
        try:
            await super().start()
        finally:
            self.body_memory.give_back(self)

    def unfinished(self) -> bool:
        """Return whether the client has something to expect: a request under way, or a part of a response."""
        return self.wire is not None and (self.busy or self.header_bytes > 0 or self.wire.get_write_buffer_size() > 0)

    def late(self, now: float) -> bool:
        """Return whether the client has not kept to its time; `cut_off_slow_clients` asks every so often."""
        if self.wire is None:
            return False
        unread = self.wire.get_write_buffer_size()
        if unread == 0:
            self.read_by = math.inf
        elif unread < self.unread_bytes or self.read_by == math.inf:
            # A large response may take as long as it needs, if only the client goes on reading.
            self.read_by = self.in_time(self.settings.body_seconds)
        self.unread_bytes = unread
        return now > min(self.send_by, self.read_by)

    def cut_off(self) -> None:
        """Close the connection of a client that is late."""
        if self.wire is not None and (self.busy or self.receives_body or self.clock() > self.read_by):
            self.wire.abort()
        else:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT)
        self.send_by = self.read_by = math.inf

    def refuse(self, status: HTTPStatus, reason: str = "") -> None:
        """Answer `status` to a request that is not complete, and close."""
        self.refused = True
        number = next(request_count)
        if reason:
            details = {"status": status.value, "request_id": f"{PROCESS_ID}-{number}"}
            logger.warning(reason, extra={"details": details})
        if self.transport is not None:
            head = self.common.head(Response(status=status.value), 0)
            self.transport.write(b"%b%d\r\n\r\n" % (head, number))
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
        gone = self.transport is None or self.transport.is_closing()
        if not readable or isinstance(exc, (web.RequestPayloadError, LineTooLong)):
            status = HTTPStatus.BAD_REQUEST
            logger.warning("malformed request: %s", first_line(exc), extra={"details": {"status": status}})
        elif gone and isinstance(exc, ConnectionError):
            logger.info("the client has closed the connection before its request was answered")
        else:
            # aiohttp does not pass on a TimeoutError, and means it to be a 504.
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            logger.error("a handler failed", exc_info=exc or True, extra={"details": failed(request)})
        if request.writer.output_size > 0:
            raise ConnectionError("A part of the response has been sent already")
        text = f"{status}: {HTTPStatus(status).phrase}\nrequest id: {request_id()}\n"
        response = Response(text=text, status=status)
        response.routed = readable
        response.common = self.common
        response.force_close()
        return response


def kept_apart(data: bytes) -> list[bytes]:
    """Return `data` in pieces, so that nothing is behind a request that closes the connection (RFC 9112, section 9.6).

    It is one piece if there is no such request. An end of a header in a body does no harm.
    """
    pieces: list[bytes] = []
    begin = header = 0
    for _ in range(MOST_KEPT_APART):
        end = data.find(END_OF_HEADER, header) + len(END_OF_HEADER)
        if not header < end < len(data):
            break
        text = data[header:end].lower()
        if b"close" in text or b"http/1.0" in text:
            pieces.append(data[begin:end])
            begin = end
        header = end
    return [*pieces, data[begin:]] if pieces else [data]


def first_line(error: BaseException | None) -> str:
    """Return the first line of what `error` says, cut short: it may quote what the client has sent."""
    return str(error).partition("\n")[0][:200]


def failed(request: web.BaseRequest) -> dict[str, str]:
    """Return what a log line says about the `request` whose handler failed."""
    return {"method": request.method, "path": request.rel_url.raw_path[:MOST_CHARACTERS]}
