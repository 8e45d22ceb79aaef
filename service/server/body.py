"""A request's body as its handler reads it: decoded only when it is read, and refused where it is too much."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import ParamSpec, TypeVar

from aiohttp import StreamReader, hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.compression_utils import (
    HAS_BROTLI,
    HAS_ZSTD,
    BrotliDecompressor,
    ZSTDDecompressor,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# What is decoded at once; other requests get their turn in between.
PIECE_BYTES = 64 * 1024
# RFC 9110, section 8.4.1.3: x-gzip is another name of gzip.
CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
CODINGS |= {"br": "br"} if HAS_BROTLI else {}
CODINGS |= {"zstd": "zstd"} if HAS_ZSTD else {}
# What a decompressor is given at once. It copies what is behind the end of its data, and there may be many ends.
WINDOW_BYTES = 4096
MOST_WINDOWS = 64
# RFC 1950, section 2.2: the low bits of a zlib header's first byte. Some clients send "deflate" without that header.
ZLIB_METHOD = 8
ZLIB_METHOD_BITS = 0xF


def codings_of(lines: Iterable[str]) -> list[str]:
    """Return the content codings that the `lines` of Content-Encoding name, in the order they were applied."""
    names = (name.strip().lower() for line in lines for name in line.split(","))
    return [name for name in names if name not in ("", "identity")]


class Body(StreamReader):
    """A body that can be refused at any time, while its handler waits for it or before.

    `source` is what the handler reads, `wire` what the client sends; both are the same unless it has to be decoded.
    """

    def __init__(self, source: StreamReader, wire: StreamReader) -> None:
        # Not that of StreamReader: nothing is kept here, `source` does all of it.
        self.source = source
        self.wire = wire
        self.refusal: BaseException | None = None
        self.waiting: asyncio.Timeout | None = None
        self.total_bytes = source.total_bytes

    def __repr__(self) -> str:
        return f"<Body {self.source!r}>"

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:  # noqa: ARG002
        """Have every read raise `exc`, also one that is waiting; the first that is set counts."""
        if self.refusal is None:
            self.refusal = exc
            if self.waiting is not None:
                self.waiting.reschedule(0)

    def exception(self) -> BaseException | None:
        """Return what reads raise."""
        return self.refusal or self.source.exception()

    async def reading(
        self, read: Callable[Arguments, Awaitable[Result]], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Return what `read` returns. Raises the refusal, as soon as there is one."""
        if self.refusal is not None:
            raise self.refusal
        try:
            async with asyncio.timeout(None) as self.waiting:
                return await read(*args, **kwargs)
        except TimeoutError:
            if self.refusal is None:
                raise
            raise self.refusal from None
        finally:
            self.waiting = None
            self.total_bytes = self.source.total_bytes

    async def read(self, n: int = -1) -> bytes:
        """Return up to `n` bytes, all of them if it is negative."""
        return await self.reading(self.source.read, n)

    async def readany(self) -> bytes:
        """Return what is there, at least something unless the body is over."""
        return await self.reading(self.source.readany)

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        """Return all up to the `separator`."""
        return await self.reading(self.source.readuntil, separator, max_size=max_size)

    async def readchunk(self) -> tuple[bytes, bool]:
        """Return what is there, and whether it ends a chunk of the transfer encoding."""
        return await self.reading(self.source.readchunk)

    async def wait_eof(self) -> None:
        """Wait until the client has sent all."""
        await self.reading(self.wire.wait_eof)

    def read_nowait(self, n: int = -1) -> bytes:
        """Return up to `n` bytes of what has been read from the connection."""
        if self.refusal is not None:
            raise self.refusal
        return self.source.read_nowait(n)

    def unread_data(self, data: bytes) -> None:
        """Have the next read return `data` first."""
        self.source.unread_data(data)

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the client has sent all."""
        self.wire.on_eof(callback)

    def is_eof(self) -> bool:
        """Return whether the client has sent all; never, once it has been refused."""
        return self.refusal is None and self.wire.is_eof()

    def at_eof(self) -> bool:
        """Return whether all has been read."""
        return self.source.at_eof()

    @property
    def total_raw_bytes(self) -> int:
        """How many bytes the client has sent."""
        return self.wire.total_bytes

    def get_read_buffer_limits(self) -> tuple[int, int]:
        """Return how many bytes may wait to be read until the client has to wait, and until it may go on."""
        return self.source.get_read_buffer_limits()

    def set_read_chunk_size(self, n: int) -> None:
        """Let `n` bytes wait to be read."""
        self.source.set_read_chunk_size(n)


class NoFlowControl(BaseProtocol):
    """For a reader that is filled only when it is read, and so never too full."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Do nothing."""


class Decoded(StreamReader):
    """Decodes what `wire` receives, a piece at a time and only when somebody reads.

    A read raises HTTPUnsupportedMediaType unless `codings` is one that can be decoded, HTTPRequestEntityTooLarge for
    more than `limit` bytes, HTTPServiceUnavailable if `hold` does not allow a piece, and RequestPayloadError for what
    is not in that coding.
    """

    def __init__(self, wire: StreamReader, codings: list[str], limit: int, hold: Callable[[int], bool]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(NoFlowControl(loop), PIECE_BYTES, loop=loop)
        self.wire = wire
        self.codings = codings
        self.limit = limit
        self.hold = hold
        self.received_bytes = 0
        self.decoder: Decoder | None = None

    async def _wait(self, func_name: str) -> None:  # noqa: ARG002
        """Put a piece into the buffer; StreamReader waits with this method wherever it finds the buffer empty."""
        if len(self.codings) != 1 or self.codings[0] not in CODINGS:
            # RFC 9110, section 15.5.16. Codings one inside another serve nobody but who wants a body to explode.
            raise web.HTTPUnsupportedMediaType(headers={hdrs.ACCEPT_ENCODING: ", ".join(CODINGS)})
        piece = await self.next_piece()
        if not piece:
            self.feed_eof()
            return
        if self.total_bytes + len(piece) > self.limit:
            raise web.HTTPRequestEntityTooLarge(self.limit)
        if not self.hold(len(piece)):
            raise unavailable()
        self.feed_data(piece)
        # However much it expands to: others are served meanwhile.
        await asyncio.sleep(0)

    async def next_piece(self) -> bytes:
        """Return the next piece, empty at the end."""
        while True:
            received = b""
            if self.decoder is None or not self.more_to_decode():
                received = await self.wire.readany()
                if not received:
                    self.check_end()
                    return b""
                self.received_bytes += len(received)
            if piece := self.decode(received):
                return piece
            # Much that decodes to little is no reason to read for ever. What cannot be compressed grows a little.
            if self.received_bytes > 2 * self.limit + PIECE_BYTES:
                raise web.HTTPRequestEntityTooLarge(self.limit)
            await asyncio.sleep(0)

    def more_to_decode(self) -> bool:
        """Return whether the decoder has more in it."""
        return self.decoder is not None and self.decoder.data_available

    def decode(self, received: bytes) -> bytes:
        """Return the next piece of what has been `received`. Raises RequestPayloadError if it cannot be decoded."""
        if self.decoder is None:
            self.decoder = decoder_of(CODINGS[self.codings[0]], received[0])
        try:
            return self.decoder.decompress_sync(received, max_length=PIECE_BYTES)
        except Exception as error:
            # Each coding's library has errors of its own.
            raise self.broken() from error

    def check_end(self) -> None:
        """Raise RequestPayloadError if the body ends too early."""
        if isinstance(self.decoder, Inflater) and not self.decoder.is_over():
            raise self.broken()

    def broken(self) -> web.RequestPayloadError:
        """Return what is raised for a body that is not in its coding."""
        return web.RequestPayloadError(f"the body is not {self.codings[0]}")


class Inflater:
    """Decodes gzip and deflate, also of several parts one after the other (RFC 1952, section 2.2).

    aiohttp's own does not tell whether a gzip body has been cut off.
    """

    def __init__(self, window_bits: int) -> None:
        self.window_bits = window_bits
        self.part = zlib.decompressobj(window_bits)
        self.waiting = memoryview(b"")
        # Whether the last piece was as large as it might be: then there may be more that needs no more input.
        self.is_full = False

    @property
    def data_available(self) -> bool:
        """Whether there may be another piece without more input."""
        return self.is_full or len(self.waiting) > 0

    def is_over(self) -> bool:
        """Return whether the input ended where a part ended."""
        return self.part.eof and not self.data_available

    def decompress_sync(self, data: bytes, max_length: int) -> bytes:
        """Return the next piece, at most `max_length` bytes. Raises zlib.error."""
        if data:
            self.waiting = memoryview(bytes(self.waiting) + data)
        pieces: list[bytes] = []
        for _ in range(MOST_WINDOWS):
            if max_length == 0 or not self.data_available:
                break
            if self.part.eof:
                self.part = zlib.decompressobj(self.window_bits)
            window = self.waiting[:WINDOW_BYTES]
            piece = self.part.decompress(window, max_length)
            left = self.part.unused_data if self.part.eof else self.part.unconsumed_tail
            self.waiting = self.waiting[len(window) - len(left) :]
            self.is_full = len(piece) == max_length and not self.part.eof
            max_length -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


Decoder = Inflater | BrotliDecompressor | ZSTDDecompressor


def decoder_of(coding: str, first_byte: int) -> Decoder:
    """Return a new decoder."""
    if coding == "br":
        return BrotliDecompressor()
    if coding == "zstd":
        return ZSTDDecompressor()
    if coding == "gzip":
        return Inflater(16 + zlib.MAX_WBITS)
    return Inflater(zlib.MAX_WBITS if first_byte & ZLIB_METHOD_BITS == ZLIB_METHOD else -zlib.MAX_WBITS)


def unavailable() -> web.HTTPServiceUnavailable:
    """Return what is answered when there is no memory for a body."""
    return web.HTTPServiceUnavailable(headers={hdrs.RETRY_AFTER: "1"})
