"""The service's application: pages, methods, CORS and headers, through aiohttp's test client."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient

from service import app as service_app
from service import handlers as shipped_handlers
from service.app import create_app
from service.server.lifecycle import LIFECYCLE
from service.server.response import Response
from service.server.server import connection_factory
from service.settings import Settings
from tests.sample import handlers

Client = TestClient[web.Request, web.Application]
AiohttpClient = Callable[[web.Application], Awaitable[Client]]

SITE = "https://shop.example"
OTHER_SITE = "https://other.example"
PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-Token"}


@pytest.fixture(autouse=True)
def sample_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service have the tests' own pages."""
    monkeypatch.setattr(service_app, "handlers", handlers)


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(create_app(Settings()))


@pytest.fixture
async def client_of_one_site(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(create_app(Settings(cors_origins=(SITE,))))


def test_the_pages_in_the_service_make_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_app, "handlers", shipped_handlers)
    assert callable(shipped_handlers.healthcheck)
    create_app(Settings())


async def test_page(client: Client) -> None:
    response = await client.get("/")
    assert response.status == 200
    assert await response.text() == "<h1>HELLO WORLD</h1>"
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_health_check_is_not_cached(client: Client) -> None:
    response = await client.get("/healthcheck")
    assert response.status == 200
    assert await response.text() == '"Healthy"'
    assert response.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


async def test_health_check_fails_while_draining(aiohttp_client: AiohttpClient) -> None:
    app = create_app(Settings())
    client = await aiohttp_client(app)
    app[LIFECYCLE].draining = True
    response = await client.get("/healthcheck")
    assert response.status == 503
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize("path", ["/", "/healthcheck", "/unknown"])
async def test_every_response_closes_its_connection_while_draining(aiohttp_client: AiohttpClient, path: str) -> None:
    app = create_app(Settings())
    client = await aiohttp_client(app)
    assert "Connection" not in (await client.get(path)).headers
    app[LIFECYCLE].draining = True
    assert (await client.get(path)).headers["Connection"] == "close"


async def test_unknown_path(client: Client) -> None:
    assert (await client.get("/unknown")).status == 404


async def test_wrong_method_names_the_right_ones(client: Client) -> None:
    response = await client.post("/")
    assert response.status == 405
    assert response.headers["Allow"] == "GET,HEAD,OPTIONS"


async def test_head_has_the_headers_of_get_and_no_body(client: Client) -> None:
    response = await client.head("/")
    assert response.status == 200
    assert response.headers["Content-Length"] == "20"
    assert await response.read() == b""


async def test_options_without_origin_names_the_methods(client: Client) -> None:
    response = await client.options("/")
    assert response.status == 204
    assert response.headers["Allow"] == "GET,HEAD,OPTIONS"


@pytest.mark.parametrize("path", ["/", "/healthcheck", "/unknown"])
async def test_security_headers(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "X-Request-Id" in headers
    assert "Server" not in headers


async def test_any_origin_is_allowed_without_credentials(client: Client) -> None:
    headers = (await client.get("/", headers={"Origin": SITE})).headers
    assert headers["Access-Control-Allow-Origin"] == SITE
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Vary"] == "Origin"
    assert "X-Request-Id" in headers["Access-Control-Expose-Headers"]


async def test_responses_vary_by_origin_even_without_one(client: Client) -> None:
    headers = (await client.get("/")).headers
    assert headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in headers


async def broken(_: web.Request) -> web.StreamResponse:
    """Fail."""
    raise RuntimeError


async def busy(_: web.Request) -> web.StreamResponse:
    """Answer as a handler does that cannot."""
    raise web.HTTPServiceUnavailable


async def read(request: web.Request) -> web.StreamResponse:
    """Read the body."""
    return Response(text=str(len(await request.read())))


async def bad_header(_: web.Request) -> web.StreamResponse:
    """Answer what cannot be sent."""
    return Response(text="a", headers={"X": "a\r\nb"})


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/unknown", {}, b"", 404),
        ("OPTIONS", "/unknown", {}, b"", 404),
        ("POST", "/busy", {}, b"", 405),
        ("GET", "/broken", {}, b"", 500),
        ("GET", "/bad-header", {}, b"", 500),
        ("GET", "/busy", {}, b"", 503),
        ("POST", "/read", {"Content-Encoding": "gzip"}, gzip.compress(bytes(Settings.max_body_bytes + 1)), 413),
        ("POST", "/read", {"Content-Encoding": "rot13"}, b"a", 415),
        ("POST", "/read", {"Content-Encoding": "gzip"}, b"a", 400),
    ],
)
async def test_a_page_that_may_read_answers_may_read_errors(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    routes = {"/broken": broken, "/bad-header": bad_header, "/busy": busy}
    monkeypatch.setattr(
        handlers, "ROUTES", [web.post("/read", read), *(web.get(path, handler) for path, handler in routes.items())]
    )
    settings = Settings(cors_origins=(SITE,), log_requests=False)
    runner = web.AppRunner(create_app(settings), access_log=None)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(connection_factory(runner, settings), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
    async with ClientSession() as session:
        for origin, allowed in ((SITE, SITE), (OTHER_SITE, None)):
            async with session.request(method, url, headers={"Origin": origin, **headers}, data=body) as response:
                assert response.status == status
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert response.headers.get("Access-Control-Allow-Credentials") == ("true" if allowed else None)
                assert "Origin" in response.headers["Vary"]
    server.close()
    await runner.cleanup()


async def test_preflight_is_answered_and_cached(client: Client) -> None:
    response = await client.options("/", headers={"Origin": SITE, **PREFLIGHT})
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert response.headers["Access-Control-Allow-Methods"] == "GET"
    assert response.headers["Access-Control-Allow-Headers"] == "X-TOKEN"
    assert response.headers["Access-Control-Max-Age"] == "7200"
    assert "Origin" in response.headers["Vary"]


async def test_preflight_for_a_method_without_handler_is_refused(client: Client) -> None:
    headers = {"Origin": SITE, "Access-Control-Request-Method": "DELETE"}
    assert (await client.options("/", headers=headers)).status == 403


async def test_a_listed_origin_may_send_credentials(client_of_one_site: Client) -> None:
    headers = (await client_of_one_site.get("/", headers={"Origin": SITE})).headers
    assert headers["Access-Control-Allow-Origin"] == SITE
    assert headers["Access-Control-Allow-Credentials"] == "true"


async def test_another_origin_is_not_allowed(client_of_one_site: Client) -> None:
    response = await client_of_one_site.get("/", headers={"Origin": OTHER_SITE})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"] == "Origin"
    preflight = await client_of_one_site.options("/", headers={"Origin": OTHER_SITE, **PREFLIGHT})
    assert preflight.status == 403


class Basket(web.View):
    """A page of one's own as a class."""

    async def get(self) -> web.StreamResponse:
        """Answer GET."""
        return web.Response(text="view")


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer the method of the request."""
    return web.Response(text=request.method)


async def own_options(_: web.Request) -> web.StreamResponse:
    """Answer a preflight without the service's help."""
    return web.Response(text="own", headers={"Access-Control-Allow-Origin": "https://mine.example"})


@pytest.fixture
async def client_of_many_routes(
    aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Client:
    (tmp_path / "file").write_text("static")
    routes = [
        web.get("/two", echo),
        web.get("/between", echo),
        web.post("/two", echo),
        web.view("/view", Basket),
        web.route("*", "/any", echo),
        web.get("/own", echo),
        web.options("/own", own_options),
        web.static("/static", tmp_path),
        web.get("/{name}/variable", echo),
    ]
    monkeypatch.setattr(handlers, "ROUTES", routes)
    return await aiohttp_client(create_app(Settings()))


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/two", "GET", 200),
        ("/two", "POST", 200),
        ("/two", "PUT", 403),
        ("/view", "GET", 200),
        ("/view", "POST", 403),
        ("/any", "PROPFIND", 200),
        ("/static/file", "GET", 200),
        ("/static/file", "POST", 403),
        ("/a/variable", "GET", 200),
        ("/a/variable", "POST", 403),
    ],
)
async def test_preflight_of_every_kind_of_route(
    client_of_many_routes: Client, path: str, method: str, status: int
) -> None:
    headers = {"Origin": SITE, "Access-Control-Request-Method": method}
    response = await client_of_many_routes.options(path, headers=headers)
    assert response.status == status
    assert response.headers.getall("Access-Control-Allow-Methods", []) == ([method] if status == 200 else [])


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/two", "GET"), ("/view", "view"), ("/any", "GET"), ("/own", "GET"), ("/static/file", "static")],
)
async def test_every_kind_of_route_allows_other_sites(client_of_many_routes: Client, path: str, answer: str) -> None:
    response = await client_of_many_routes.get(path, headers={"Origin": SITE})
    assert await response.text() == answer
    assert response.headers["Access-Control-Allow-Origin"] == SITE


async def test_options_of_every_kind_of_route(client_of_many_routes: Client) -> None:
    async def allowed(path: str) -> str:
        return (await client_of_many_routes.options(path)).headers["Allow"]

    assert await allowed("/two") == "GET,HEAD,OPTIONS,POST"
    assert await allowed("/view") == "GET,OPTIONS"
    assert await allowed("/static/file") == "GET,HEAD,OPTIONS"
    assert await (await client_of_many_routes.options("/any")).text() == "OPTIONS"


async def test_options_from_another_site_is_answered_as_any_other_method(client_of_many_routes: Client) -> None:
    response = await client_of_many_routes.options("/any", headers={"Origin": SITE})
    assert await response.text() == "OPTIONS"
    assert response.headers["Access-Control-Allow-Origin"] == SITE


async def test_a_handler_of_ones_own_for_options_stays(client_of_many_routes: Client) -> None:
    response = await client_of_many_routes.options("/own", headers={"Origin": SITE, **PREFLIGHT})
    assert await response.text() == "own"
    assert response.headers["Access-Control-Allow-Origin"] == "https://mine.example"
    response = await client_of_many_routes.options("/own", headers={"Origin": SITE})
    assert response.headers["Access-Control-Allow-Origin"] == "https://mine.example"


async def answered_by(
    aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch, response: web.StreamResponse
) -> Client:
    """Return a client of the service with one handler more, at /mine, that answers `response`."""

    async def mine(_: web.Request) -> web.StreamResponse:
        return response

    monkeypatch.setattr(handlers, "ROUTES", [web.get("/mine", mine)])
    return await aiohttp_client(create_app(Settings()))


async def test_a_handlers_own_headers_win(aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"Content-Security-Policy": "default-src 'self'", "Vary": "Accept"}
    for response in (Response(text="a", headers=mine), web.Response(text="a", headers=mine)):
        client = await answered_by(aiohttp_client, monkeypatch, response)
        headers = (await client.get("/mine")).headers
        assert headers["Content-Security-Policy"] == "default-src 'self'"
        assert headers.getall("Vary") == ["Accept", "Origin"]


async def test_a_response_with_a_cookie(aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    response = Response(text="a")
    response.set_cookie("basket", "1")
    client = await answered_by(aiohttp_client, monkeypatch, response)
    answer = await client.get("/mine", headers={"Origin": SITE})
    assert answer.cookies["basket"].value == "1"
    assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert "Server" not in answer.headers


async def test_a_compressed_response(aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    response = Response(text="a" * 5000)
    response.enable_compression()
    client = await answered_by(aiohttp_client, monkeypatch, response)
    answer = await client.get("/mine", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert await answer.text() == "a" * 5000


async def test_a_response_without_body(aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await answered_by(aiohttp_client, monkeypatch, Response(status=204))
    answer = await client.get("/mine")
    assert answer.status == 204
    assert "Content-Length" not in answer.headers


async def test_equal_heads_are_serialised_once(aiohttp_client: AiohttpClient) -> None:
    """Two requests that differ in their Origin must not get each other's head."""
    client = await aiohttp_client(create_app(Settings()))
    for site in (SITE, OTHER_SITE, SITE):
        headers = (await client.get("/", headers={"Origin": site})).headers
        assert headers["Access-Control-Allow-Origin"] == site


@pytest.mark.parametrize("extra", ["nothing", "signal", "sub-application"])
async def test_signals_of_ones_own_hear_of_every_response(extra: str) -> None:
    app, heard = create_app(Settings()), []

    async def hear(request: web.Request, _response: web.StreamResponse) -> None:
        heard.append(request.path)

    if extra == "signal":
        app.on_response_prepare.append(hear)
    elif extra == "sub-application":
        inner = web.Application()
        inner.router.add_get("/page", handlers.hello_world)
        inner.on_response_prepare.append(hear)
        app.add_subapp("/inner", inner)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    factory = connection_factory(runner, Settings(log_requests=False))
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    path = "/inner/page" if extra == "sub-application" else "/"
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
    async with ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    server.close()
    await runner.cleanup()
    assert heard == ([] if extra == "nothing" else [path])
