"""Logs as one JSON object per line on standard output, where the container's log driver picks them up."""

import asyncio
import json
import logging
import sys
import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from time import perf_counter

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from multidict import istr

from service.server.client_address import forwarded_for, other_side
from service.server.context import BEGAN, REQUEST, request_id
from service.server.response import Response
from service.settings import Settings

HEALTH_PATH = "/healthcheck"
# Of what a client has made up, this much gets into a line.
MOST_CHARACTERS = 1000
TRACE_ID = istr("X-Amzn-Trace-Id")
FORWARDED_FOR = istr("X-Forwarded-For")
# How JSON writes bytes of a header or a path that are not UTF-8; no other program reads that.
SURROGATE = "\\ud"


def configure_logging(level: str) -> None:
    """Send every logger's lines of `level` and above to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"details": {…}}` adds fields to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if REQUEST.get():
            line["request_id"] = request_id()
        line |= getattr(record, "details", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str)
        return text if SURROGATE not in text else whole_characters(text)


def whole_characters(line: str) -> str:
    """Return a `line` of JSON with a question mark for each byte that was not UTF-8."""
    text = json.dumps(json.loads(line), ensure_ascii=False)
    return json.dumps(json.loads(text.encode(errors="replace")))


def timestamp(seconds: float) -> str:
    """Return `seconds` since 1970 as UTC, such as 2026-01-31T12:00:00.123Z."""
    whole = int(seconds)
    return f"{date_and_time(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=2)
def date_and_time(seconds: int) -> str:
    """Return `seconds` since 1970 as UTC; most lines of a busy service fall into the same second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class LineBuffer:
    """Collects lines and writes those of one turn of the event loop at once: under load, one system call for many."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Have `line` written when the event loop has finished what it is at."""
        if not self.lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self.lines.append(line)

    def flush(self) -> None:
        """Write what has been collected."""
        text = "".join(self.lines)
        self.lines.clear()
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            # Nobody reads the log any more; the service still serves.
            return


def request_log(settings: Settings) -> type[AbstractAccessLogger]:
    """Return the class that logs requests as `settings` ask for.

    aiohttp makes one object of it per connection and gives it nothing of ours, hence a class per settings.
    """
    buffer = LineBuffer()
    wanted = settings.log_requests and logging.getLevelNamesMapping()[settings.log_level] <= logging.INFO

    class RequestLog(AbstractAccessLogger):
        """Logs one line per request."""

        # The other side of the connection.
        peer = ""

        @property
        def enabled(self) -> bool:
            """Return whether requests are logged at all; if not, aiohttp does not even take the time."""
            return wanted

        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002
            """Log `request`, answered with `response`. `time` is not used: uvloop's clock counts whole milliseconds."""
            path = request.rel_url.raw_path
            if path == HEALTH_PATH and not settings.log_health_checks:
                return
            # A request that could not be read has its line already.
            if not isinstance(response, Response) or response.routed:
                lines = request.headers.getall(FORWARDED_FOR, None)
                client = forwarded_for(lines, settings.trusted_proxies) if lines else ""
                if not client:
                    client = self.peer = self.peer or other_side(request.remote)
                buffer.add(request_line(request, response, path, client, perf_counter() - BEGAN.get()))

    return RequestLog


def request_line(request: web.BaseRequest, response: web.StreamResponse, path: str, client: str, seconds: float) -> str:
    """Return the line for one request. The query is left out: it may hold what must not be in a log.

    Put together by hand, because json.dumps takes five times as long.
    """
    line = (
        f'{{"time": "{timestamp(time.time())}", "level": "info", "logger": "request", "message": "request", '
        f'"request_id": "{request_id()}", "trace_id": {quoted(request.headers.get(TRACE_ID, "")[:MOST_CHARACTERS])}, '
        f'"client": {quoted(client[:MOST_CHARACTERS])}, "method": "{request.method}", '
        f'"path": {quoted(path[:MOST_CHARACTERS])}, '
        f'"status": {response.status}, "bytes": {response.body_length}, "duration_ms": {seconds * 1000:.3f}}}\n'
    )
    return line if SURROGATE not in line else whole_characters(line) + "\n"
