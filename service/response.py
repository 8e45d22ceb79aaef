"""A response that is cheap to send, and the headers that every response carries."""

import re
import time
from email.utils import formatdate
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from service.current import PROCESS_ID, REQUEST
from service.settings import Settings

REQUEST_ID_HEADER = "X-Request-Id"
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
STATUSES_WITHOUT_BODY = {204, 304}
# How many different heads (status, headers, length of the body) are kept for one second.
MOST_HEADS = 256


class CommonHeaders:
    """The headers that every response carries."""

    def __init__(self, content_security_policy: str) -> None:
        self.headers = {
            "Content-Security-Policy": content_security_policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        self.second = 0
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
        second = int(time.time())
        if second != self.second or len(self.heads) >= MOST_HEADS:
            self.second = second
            self.heads.clear()
        key = (response.status, response.reason, length, response.stays_open, *response.headers.items())
        head = self.heads.get(key)
        if head is None:
            head = self.heads[key] = self.serialise(response, length)
        return head

    def serialise(self, response: "Response", length: int) -> bytes:
        """Return what `head` returns, made anew."""
        headers = response.headers.copy()
        self.add_to(headers)
        headers[hdrs.CONTENT_LENGTH] = str(length)
        headers[hdrs.DATE] = formatdate(self.second, usegmt=True)
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

    common = CommonHeaders(Settings.content_security_policy)
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
        """Run the application's on_response_prepare signals, aiohttp-cors among them."""
        if self.answered is not None:
            return request.writer
        stays_open = request.keep_alive
        if (
            type(self.body) is not bytes
            or (stays_open and request.version is not HttpVersion11)
            or self.status in STATUSES_WITHOUT_BODY
            or self.needs_more
        ):
            return await super().prepare(request)
        self.answered = request
        finish = getattr(request.protocol, "finish_plainly", None)
        if self.routed and isinstance(request, web.Request) and not (finish and finish(request, self)):
            for app in request.match_info.apps:
                for receiver in app.on_response_prepare:
                    await receiver(request, self)
        # force_close() may have been called by the handler, or by a signal.
        self.stays_open = stays_open and not self.closes
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send head and body with one write. Raises ConnectionError if the client is gone."""
        request = self.answered
        if request is None:
            await super().write_eof(data)
            return
        if self.sent_bytes:
            return
        protocol = request.protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has closed the connection")
        body = self.body
        if not isinstance(body, bytes):
            raise TypeError("A signal has changed the body to something that is not bytes")
        head = self.common.head(self, len(body))
        if request.method == hdrs.METH_HEAD:
            body = b""
        message = b"%b%d\r\n\r\n%b" % (head, REQUEST.get(), body)
        transport.write(message)
        self.sent_bytes = request.writer.output_size = len(message)
        if protocol.writing_paused:
            # The client reads more slowly than the service writes.
            await request.writer.drain()
