"""The baseline: an application equivalent to the article's, for comparison only. It is not what the fleet runs.

It has the article's faults on purpose (any origin with credentials, no limits, no end to speak of); ARTICLE_ACCESS_LOG
turns aiohttp's access log on, which the article's way of starting leaves silent, and ARTICLE_UVLOOP runs the same code
on uvloop.
"""

import json
import logging
import os

import aiohttp_cors
from aiohttp import web

UNCACHED = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}


async def healthcheck(_: web.Request) -> web.Response:
    """Answer the health check."""
    return web.Response(text=json.dumps("Healthy"), headers=UNCACHED)


async def page(_: web.Request) -> web.Response:
    """Answer the page."""
    return web.Response(text="<h1>HELLO WORLD</h1>", content_type="text/html")


def application() -> web.Application:
    """Build the application."""
    app = web.Application()
    app.router.add_get("/healthcheck", healthcheck)
    app.router.add_get("/", page)
    any_origin = aiohttp_cors.ResourceOptions(allow_credentials=True, expose_headers="*", allow_headers="*")
    cors = aiohttp_cors.setup(app, defaults={"*": any_origin})
    for route in list(app.router.routes()):
        cors.add(route)
    return app


if __name__ == "__main__":
    if os.environ.get("ARTICLE_ACCESS_LOG"):
        logging.basicConfig(level=logging.INFO)
    print("Starting service")
    loop = None
    if os.environ.get("ARTICLE_UVLOOP"):
        import uvloop

        loop = uvloop.new_event_loop()
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "5000"))  # noqa: S104
    web.run_app(application(), host=host, port=port, loop=loop)
