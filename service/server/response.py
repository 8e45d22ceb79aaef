"""A response that is cheap to send, and the headers that every response carries."""

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from service.server.context import PROCESS_ID, REQUEST
from service.server.lifecycle import Lifecycle
from service.settings import Settings

REQUEST_ID_HEADER = "X-Request-Id"
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
STATUSES_WITHOUT_BODY = {204, 304}
# How many different heads (status, headers, length of the body) are kept for one second.
MOST_HEADS = 256


class CommonHeaders:
    """The headers that every response carries."""

    def __init__(self, content_security_policy: str, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle
        self.headers = {
            "Content-Security-Policy": content_security_policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        self.next_second = 0
        self.heads: dict[tuple[object, ...], bytes] = {}

    def add_to(self, headers: CIMultiDict[str]) -> None:
        """Add them to `headers`; those that a handler has set itself win."""
        for name, value in self.headers.items():
            headers.setdefault(name, value)
        # Which origin is allowed depends on who asks: a cache must not give one site the answer to another.
        if hdrs.ORIGIN.lower() not in headers.get(hdrs.VARY, "").lower():
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        # The scripts that may read the other headers may read the request id too, to tell it in an error report.
        if (exposed := headers.get(hdrs.ACCESS_CONTROL_EXPOSE_HEADERS)) is not None:
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(filter(None, (exposed, REQUEST_ID_HEADER)))

    def head(self, response: "Response", length: int) -> bytes:
        """Return the status line and the headers of `response`, from the store if an equal one was sent this second.

        It ends where the number of the request belongs. Raises ValueError for a line break in a header.
        """
        if time.time() >= self.next_second:
            self.next_second = int(time.time()) + 1
            self.heads.clear()
        key = (response.status, response.reason, length, response.stays_open, *response.headers.items())
        head = self.heads.get(key)
        if head is None:
            head = self.serialise(response, length)
            if len(self.heads) < MOST_HEADS:
                self.heads[key] = head
        return head

    def serialise(self, response: "Response", length: int) -> bytes:
        """Return what `head` returns, made anew."""
        headers = response.headers.copy()
        self.add_to(headers)
        headers[hdrs.CONTENT_LENGTH] = str(length)
        headers[hdrs.DATE] = formatdate(self.next_second - 1, usegmt=True)
        if not response.stays_open:
            headers[hdrs.CONNECTION] = "close"
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any(CONTROL_CHARACTERS.search(line) for line in lines):
            raise ValueError("a header of the response holds a line break or another control character")
        lines.append(f"{REQUEST_ID_HEADER}: {PROCESS_ID}-")
        return "\r\n".join(lines).encode()


class Response(web.Response):
    """`web.Response`, written in one piece with a head that is serialised once a second instead of once a request.

    What it cannot send that way (cookies, compression, streams, keep-alive on HTTP/1.0) it leaves to `web.Response`.
    """

    common = CommonHeaders(Settings.content_security_policy, Lifecycle())
    # Set by what this class leaves to web.Response, and by force_close().
    needs_more = False
    closes = False
    # A request that could not be read has no route, hence no application whose signals could run.
    routed = True
    answered: web.BaseRequest | None = None
    stays_open: bool | None = None
    sent_bytes = 0

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies to set."""
        self.needs_more = True
        return super().cookies

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:  # noqa: ANN401
        """Set a cookie; `attributes` as in `web.Response`."""
        self.needs_more = True
        super().set_cookie(name, value, **attributes)

    def enable_compression(self, force: bool | web.ContentCoding | None = None, strategy: int | None = None) -> None:
        """Have the body compressed if the client accepts it."""
        self.needs_more = True
        super().enable_compression(force, strategy)

    def enable_chunked_encoding(self, chunk_size: int | None = None) -> None:
        """Send the body in chunks."""
        self.needs_more = True
        super().enable_chunked_encoding(chunk_size)

    def force_close(self) -> None:
        """Have the connection closed after this response."""
        self.closes = True
        super().force_close()

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open after this response; None as long as that is not known."""
        return super().keep_alive if self.stays_open is None else self.stays_open

    @property
    def prepared(self) -> bool:
        """Whether it is too late to change status and headers."""
        return self.sent_bytes > 0 or super().prepared

    @property
    def body_length(self) -> int:
        """How many bytes were sent; aiohttp counts the head in."""
        return self.sent_bytes or super().body_length

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Run the application's on_response_prepare signals, aiohttp-cors among them, and send head and body at once.

        Raises ConnectionError if the client is gone.
        """
        if self.answered is not None:
            return None
        body = self.body
        if type(body) is not bytes or self.needs_more or self.status in STATUSES_WITHOUT_BODY:
            return await super().prepare(request)
        protocol = request.protocol
        # The connection knows of a request to which no signal would add anything; they are a 30th of what it costs.
        common: CommonHeaders | None = getattr(protocol, "plain_headers", None)
        if common is not None and not common.lifecycle.draining:
            self.answered = request
            self.common = common
            self.stays_open = not self.closes
        else:
            stays_open = request.keep_alive
            if stays_open and request.version is not HttpVersion11:
                return await super().prepare(request)
            self.answered = request
            body = await self.run_signals(request)
            # force_close() may have been called by the handler, or by a signal.
            self.stays_open = stays_open and not self.closes
        try:
            head = self.common.head(self, len(body))
        except ValueError as error:
            head, body = self.become_error(request, error)
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has closed the connection")
        message = b"%b%d\r\n\r\n%b" % (head, REQUEST.get(), b"" if request.method == hdrs.METH_HEAD else body)
        transport.write(message)
        # Whoever fails from now on must not answer as well.
        self.sent_bytes = request.writer.output_size = len(message)
        return None

    async def run_signals(self, request: web.BaseRequest) -> bytes:
        """Run the signals of the applications that the request's route belongs to; return the body."""
        if self.routed and isinstance(request, web.Request):
            for app in request.match_info.apps:
                for receiver in app.on_response_prepare:
                    await receiver(request, self)
        if not isinstance(self.body, bytes):
            raise TypeError("A signal has changed the body to something that is not bytes")
        return self.body

    def become_error(self, request: web.BaseRequest, error: ValueError) -> tuple[bytes, bytes]:
        """Become what a client hears of a handler that has failed, for a header holds what cannot be sent."""
        instead = request.protocol.handle_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, error)
        self.set_status(instead.status)
        # A page that may read other answers may read this one.
        kept = {name: value for name, value in self.headers.items() if is_for_cors(name, value)}
        self.headers.clear()
        self.headers.update(instead.headers)
        self.headers.update(kept)
        self.stays_open = False
        body = instead.body if isinstance(instead, Response) and isinstance(instead.body, bytes) else b""
        return self.common.head(self, len(body)), body

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until the client has read enough, if it reads more slowly than the service writes."""
        request = self.answered
        if request is None:
            await super().write_eof(data)
        elif request.protocol.writing_paused:
            await request.writer.drain()


def is_for_cors(name: str, value: str) -> bool:
    """Return whether a header tells a browser who may read the response, and can be sent."""
    return name.startswith("Access-Control-") and not CONTROL_CHARACTERS.search(value)
