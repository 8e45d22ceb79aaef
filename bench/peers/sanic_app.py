"""The pages in Sanic: `python -m bench.peers.sanic_app`, on HOST and PORT of the environment."""

import os

from sanic import HTTPResponse, Request, Sanic
from sanic.response import html, text

from bench.peers import HEALTHY, NO_CACHE, PAGE

app = Sanic("bench", configure_logging=False)


@app.get("/healthcheck")
async def healthcheck(_: Request) -> HTTPResponse:
    """Answer the health check."""
    return text(HEALTHY, headers=NO_CACHE)


@app.get("/")
async def page(_: Request) -> HTTPResponse:
    """Answer the page."""
    return html(PAGE)


@app.on_response  # type: ignore[untyped-decorator]
async def allow_any_origin(request: Request, response: HTTPResponse) -> None:
    """Let any site read the answer; Sanic itself has no CORS."""
    if "origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"


if __name__ == "__main__":
    app.run(os.environ["HOST"], int(os.environ["PORT"]), single_process=True, access_log=False, motd=False)
