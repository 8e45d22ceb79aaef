"""The web service: two handlers, CORS on every route, one port."""

import json
import os

import aiohttp_cors
from aiohttp import web

PORT = 5000
NO_CACHE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}


async def healthcheck(_: web.Request) -> web.Response:
    """Answer the load balancer's health check, never from a cache."""
    return web.Response(text=json.dumps("Healthy"), headers=NO_CACHE)


async def hello_world(_: web.Request) -> web.Response:
    """Answer the page that shows the fleet at work."""
    return web.Response(text="<h1>HELLO WORLD</h1>", content_type="text/html")


def create_app(cors_origins: str = "*") -> web.Application:
    """Build the application.

    `cors_origins`: comma-separated origins that browsers may call from, `*` for any. Credentials are never allowed
    for `*`: that would let any site act as the user.
    """
    app = web.Application()
    app.router.add_get("/healthcheck", healthcheck)
    app.router.add_get("/", hello_world)
    allow_cors(app, [origin.strip() for origin in cors_origins.split(",") if origin.strip()])
    return app


def allow_cors(app: web.Application, origins: list[str]) -> None:
    """Let browsers on `origins` call every route of `app`."""
    options = {
        origin: aiohttp_cors.ResourceOptions(allow_credentials=origin != "*", expose_headers="*", allow_headers="*")
        for origin in origins
    }
    cors = aiohttp_cors.setup(app, defaults=options)
    for route in list(app.router.routes()):
        cors.add(route)


if __name__ == "__main__":
    # 0.0.0.0: inside a container the published port arrives on its own interface.
    web.run_app(create_app(os.environ.get("CORS_ORIGINS", "*")), host="0.0.0.0", port=PORT)  # noqa: S104
