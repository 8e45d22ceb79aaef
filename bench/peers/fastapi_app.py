"""The pages in FastAPI."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, PlainTextResponse

from bench.peers import HEALTHY, NO_CACHE, PAGE

app = FastAPI()
app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["*"])


@app.get("/healthcheck", response_class=PlainTextResponse)
async def healthcheck() -> PlainTextResponse:
    """Answer the health check."""
    return PlainTextResponse(HEALTHY, headers=NO_CACHE)


@app.get("/", response_class=HTMLResponse)
async def page() -> HTMLResponse:
    """Answer the page."""
    return HTMLResponse(PAGE)
