"""What the service stands on in aiohttp and no page of aiohttp's documents: when one of these moves, this names it.

aiohttp is pinned; whoever takes a newer one sees here, before anything fails under load, what has to be looked at.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import EMPTY_PAYLOAD, http, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_urldispatcher import PrefixedSubAppResource
from aiohttp_cors import CorsConfig


def found(path: str) -> Any:  # noqa: ANN401  # a function, a class or a value
    """Return what a path such as web.RequestHandler.set_parser leads to in aiohttp."""
    module, *names = path.split(".")
    thing = importlib.import_module(f"aiohttp.{module}")
    for name in names:
        thing = getattr(thing, name)
    return thing


# Functions that the service overrides or calls, with the parameters that it gives or gets.
FUNCTIONS = [
    # service/server/connection.py
    ("web.RequestHandler.connection_made", "transport"),
    ("web.RequestHandler.connection_lost", "exc"),
    ("web.RequestHandler.data_received", "data"),
    ("web.RequestHandler.set_parser", "parser data_received_cb"),
    ("web.RequestHandler.resume_reading", "resume_parser"),
    ("web.RequestHandler.resume_writing", ""),
    ("web.RequestHandler.log_access", "request response time"),
    ("web.RequestHandler.handle_error", "request status exc message"),
    ("web.RequestHandler.force_close", ""),
    # service/server/response.py, common_headers.py
    ("web.Response.set_cookie", "name value expires domain max_age path secure httponly version samesite partitioned"),
    ("web.Response.enable_compression", "force strategy"),
    ("web.Response.enable_chunked_encoding", "chunk_size"),
    ("web.Response.force_close", ""),
    # service/server/body.py
    ("streams.StreamReader.on_eof", "callback"),
    ("streams.StreamReader.is_eof", ""),
    # service/server/cors.py
    ("web.Resource.register_route", "route"),
]
# The same, of which the service awaits the result.
COROUTINES = [
    ("web.RequestHandler.start", ""),
    ("web.Response.prepare", "request"),
    ("web.Response.write_eof", "data"),
    ("web.AppRunner.shutdown", ""),
    ("abc.AbstractStreamWriter.drain", ""),
]
PROPERTIES = [
    *(f"web.Response.{name}" for name in ("body_length", "cookies", "keep_alive", "prepared")),
    "base_protocol.BaseProtocol.writing_paused",
    "abc.AbstractAccessLogger.enabled",
    "web.UrlMappingMatchInfo.apps",
]
ATTRIBUTES = ["http.WebSocketReader", "http_exceptions.LineTooLong", "compression_utils"]


def parameters(function: Callable[..., Any]) -> str:
    return " ".join(name for name in inspect.signature(function).parameters if name != "self")


@pytest.mark.parametrize(("path", "expected"), FUNCTIONS)
def test_a_function_takes_what_it_took(path: str, expected: str) -> None:
    assert parameters(found(path)) == expected
    assert not inspect.iscoroutinefunction(found(path)), "whoever calls it does not wait for it"


@pytest.mark.parametrize(("path", "expected"), COROUTINES)
def test_a_coroutine_takes_what_it_took(path: str, expected: str) -> None:
    assert parameters(found(path)) == expected
    assert inspect.iscoroutinefunction(found(path))


@pytest.mark.parametrize("path", PROPERTIES)
def test_a_property_is_one(path: str) -> None:
    assert isinstance(found(path), property)


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_a_name_is_there(path: str) -> None:
    assert found(path)


def test_a_connections_settings_have_their_names() -> None:
    given = {"keepalive_timeout", "max_line_size", "max_field_size", "access_log", "access_log_class", "logger"}
    assert given <= inspect.signature(web.RequestHandler.__init__).parameters.keys()
    assert inspect.signature(web.RequestHandler.__init__).parameters["manager"]


async def test_a_server_makes_its_requests_by_a_function_that_can_be_replaced() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    assert runner.server is not None
    made = inspect.signature(runner.server.request_factory).parameters
    assert list(made)[:5] == ["message", "payload", "protocol", "writer", "task"]
    assert runner.server.connections == []
    await runner.cleanup()


def test_a_raw_request_can_be_made_again_with_another_path() -> None:
    assert {"path", "url", "version", "should_close", "headers"} <= set(dir(http.RawRequestMessage))
    assert callable(http.RawRequestMessage._replace)


def test_no_body_is_one_object() -> None:
    """service/server/connection.py asks by identity whether a request has a body."""
    assert EMPTY_PAYLOAD.is_eof()
    assert type(EMPTY_PAYLOAD).__name__ == "EmptyStreamReader"


def test_a_protocol_lets_its_transport_go() -> None:
    assert "transport" in BaseProtocol.__slots__
    assert {"log", "enabled"} <= set(dir(AbstractAccessLogger))
    assert issubclass(PrefixedSubAppResource, web.AbstractResource)


async def test_aiohttp_cors_adds_one_signal_the_last() -> None:
    """service/server/common_headers.py takes it out again, to ask it only where there is an Origin."""
    app = web.Application()
    before = len(app.on_response_prepare)
    CorsConfig(app)
    assert len(app.on_response_prepare) == before + 1
