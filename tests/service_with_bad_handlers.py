"""The service with handlers that fail, wait, read a body or log: `python -m tests.service_with_bad_handlers`."""

import asyncio
import logging
import sys

from aiohttp import web

from service import handlers
from service.__main__ import main
from service.response import Response


async def fail(_: web.Request) -> web.StreamResponse:
    """Fail with what must not reach the client."""
    raise RuntimeError("the password is hunter2")


async def slow(_: web.Request) -> web.StreamResponse:
    """Take longer than a client may take for its header or its body in these tests."""
    await asyncio.sleep(1.6)
    return Response(text="slow")


async def wait(_: web.Request) -> web.StreamResponse:
    """Take half a second."""
    await asyncio.sleep(0.5)
    return Response(text="waited")


async def upload(request: web.Request) -> web.StreamResponse:
    """Read the body."""
    body = await request.read()
    return Response(text=str(len(body)))


async def log(_: web.Request) -> web.StreamResponse:
    """Log a line of its own, with a line break in it."""
    logging.getLogger("shop").warning("two\nlines")
    return Response(text="logged")


async def plain(_: web.Request) -> web.StreamResponse:
    """Answer with aiohttp's own class, a cookie and a header."""
    response = web.Response(text="plain", headers={"X-Mine": "1", "Content-Security-Policy": "default-src 'self'"})
    response.set_cookie("a", "b")
    return response


async def split(_: web.Request) -> web.StreamResponse:
    """Answer with a header that would smuggle in another one."""
    return Response(text="split", headers={"X-Mine": "1\r\nSet-Cookie: a=b"})


handlers.ROUTES += [
    web.get("/fail", fail),
    web.get("/slow", slow),
    web.get("/wait", wait),
    web.post("/upload", upload),
    web.get("/log", log),
    web.get("/plain", plain),
    web.get("/split", split),
]

if __name__ == "__main__":
    sys.exit(main())
