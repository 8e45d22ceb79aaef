"""The pages in BlackSheep."""

from blacksheep import Application, Content, Response

from bench.peers import HEALTHY, NO_CACHE, PAGE

app = Application()
app.use_cors(allow_methods="*", allow_origins="*", allow_headers="*")
UNCACHED = [(name.encode(), value.encode()) for name, value in NO_CACHE.items()]


@app.router.get("/healthcheck")
async def healthcheck() -> Response:
    """Answer the health check."""
    return Response(200, UNCACHED, Content(b"text/plain; charset=utf-8", HEALTHY.encode()))


@app.router.get("/")
async def page() -> Response:
    """Answer the page."""
    return Response(200, None, Content(b"text/html; charset=utf-8", PAGE.encode()))
