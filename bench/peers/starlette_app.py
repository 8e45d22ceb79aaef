"""The pages in Starlette."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from bench.peers import HEALTHY, NO_CACHE, PAGE


async def healthcheck(_: Request) -> PlainTextResponse:
    """Answer the health check."""
    return PlainTextResponse(HEALTHY, headers=NO_CACHE)


async def page(_: Request) -> HTMLResponse:
    """Answer the page."""
    return HTMLResponse(PAGE)


app = Starlette(
    routes=[Route("/healthcheck", healthcheck), Route("/", page)],
    middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["*"])],
)
