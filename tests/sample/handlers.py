"""The pages of the tests' own service, in the place of those in service/handlers.py, which are the user's to change."""

import json

from aiohttp import web

from service.server.response import Response

NO_CACHE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}


async def healthcheck(_: web.Request) -> web.StreamResponse:
    """Answer the load balancer's health check, never from a cache."""
    return Response(text=json.dumps("Healthy"), headers=NO_CACHE)


async def hello_world(_: web.Request) -> web.StreamResponse:
    """Answer the page that shows the fleet at work."""
    return Response(text="<h1>HELLO WORLD</h1>", content_type="text/html")


ROUTES = [web.get("/", hello_world)]
