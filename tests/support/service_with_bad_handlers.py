"""The service with handlers of every kind, most of them bad: `python -m tests.support.service_with_bad_handlers`."""

import asyncio
import logging
import sys
import time

from aiohttp import BodyPartReader, web

from service.server.response import Response
from tests.sample import handlers
from tests.sample.__main__ import main


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


async def upload_in_pieces(request: web.Request) -> web.StreamResponse:
    """Read the body without keeping it."""
    return Response(text=str(sum([len(piece) async for piece in request.content.iter_chunked(1000)])))


async def upload_in_lines(request: web.Request) -> web.StreamResponse:
    """Count the lines of the body."""
    return Response(text=str(len([line async for line in request.content])))


async def upload_in_chunks(request: web.Request) -> web.StreamResponse:
    """Count the chunks of the body's transfer encoding."""
    return Response(text=str(sum([ends async for _, ends in request.content.iter_chunks()])))


async def upload_form(request: web.Request) -> web.StreamResponse:
    """Read the body as a form."""
    form = await request.post()
    return Response(text=",".join(f"{name}={len(str(value))}" for name, value in form.items()))


async def upload_json(request: web.Request) -> web.StreamResponse:
    """Read the body as JSON."""
    return Response(text=str(len(await request.json())))


async def upload_parts(request: web.Request) -> web.StreamResponse:
    """Read the body as parts, each as a whole."""
    sizes = []
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            sizes.append(len(await part.read(decode=True)))
    return Response(text=str(sizes))


async def upload_and_wait(request: web.Request) -> web.StreamResponse:
    """Read the body and keep it for a while."""
    body = await request.read()
    await asyncio.sleep(1)
    return Response(text=str(len(body)))


async def wait_and_upload(request: web.Request) -> web.StreamResponse:
    """Read the body after a while."""
    await asyncio.sleep(0.3)
    return Response(text=str(len(await request.read())))


async def forever_upload(_: web.Request) -> web.StreamResponse:
    """Never read the body, and never answer."""
    await asyncio.sleep(3600)
    return Response()


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


async def forever(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(3600)
    return Response()


async def thread(_: web.Request) -> web.StreamResponse:
    """Hang in a thread, which nothing can end."""
    await asyncio.to_thread(time.sleep, 3600)
    return Response()


async def no_connection(_: web.Request) -> web.StreamResponse:
    """Fail as when another service is gone."""
    raise ConnectionResetError("the database is gone")


async def too_late(_: web.Request) -> web.StreamResponse:
    """Fail as when another service takes too long."""
    raise TimeoutError("the database is slow")


async def large(_: web.Request) -> web.StreamResponse:
    """Answer more than sockets and their buffers hold."""
    return Response(body=bytes(LARGE_BYTES))


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer as much in pieces, each when the client has read enough."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(LARGE_BYTES // 65536):
        await response.write(bytes(65536))
    return response


async def half(request: web.Request) -> web.StreamResponse:
    """Fail after a part of the response."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"half")
    raise RuntimeError("half of it is out")


async def websocket(request: web.Request) -> web.StreamResponse:
    """Send back what arrives."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


LARGE_BYTES = 16 * 1024 * 1024

handlers.ROUTES += [
    web.get("/fail", fail),
    web.get("/slow", slow),
    web.get("/wait", wait),
    web.post("/upload", upload),
    web.post("/upload-in-pieces", upload_in_pieces),
    web.post("/upload-in-lines", upload_in_lines),
    web.post("/upload-in-chunks", upload_in_chunks),
    web.post("/upload-form", upload_form),
    web.post("/upload-json", upload_json),
    web.post("/upload-parts", upload_parts),
    web.post("/upload-and-wait", upload_and_wait),
    web.post("/wait-and-upload", wait_and_upload),
    web.post("/forever-upload", forever_upload),
    web.get("/log", log),
    web.get("/plain", plain),
    web.get("/split", split),
    web.get("/forever", forever),
    web.get("/thread", thread),
    web.get("/no-connection", no_connection),
    web.get("/too-late", too_late),
    web.get("/large", large),
    web.get("/stream", stream),
    web.get("/half", half),
    web.get("/websocket", websocket),
]

if __name__ == "__main__":
    sys.exit(main())
