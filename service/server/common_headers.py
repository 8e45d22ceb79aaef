"""The headers that every response gets, in one signal."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import PrefixedSubAppResource

from service.server.context import request_id
from service.server.lifecycle import LIFECYCLE
from service.server.response import REQUEST_ID_HEADER, CommonHeaders, Response

COMMON_HEADERS = web.AppKey("common_headers", CommonHeaders)


def add_common_headers(app: web.Application, common: CommonHeaders) -> None:
    """Have every response of `app` carry the `common` headers, and close its connection where that has to be.

    It has to be while the service stops, and if the client is still sending a body that nobody has waited for. Does it
    in one signal with aiohttp-cors, and asks aiohttp-cors only about the requests that have an Origin: most have none.
    """
    lifecycle = app[LIFECYCLE]
    add_cors_headers = app.on_response_prepare.pop()

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        # aiohttp-cors fails if a handler has allowed an origin itself.
        if hdrs.ORIGIN in request.headers and hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in response.headers:
            await add_cors_headers(request, response)
        closes = lifecycle.draining or not request.content.is_eof()
        if closes:
            response.force_close()
        if isinstance(response, Response) and response.answered is not None:
            response.common = common
        else:
            common.add_to(response.headers)
            response.headers.pop(hdrs.SERVER, None)
            response.headers[REQUEST_ID_HEADER] = request_id()
            # The answer to a WebSocket's handshake says "upgrade" there.
            if closes and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
                response.headers[hdrs.CONNECTION] = "close"

    app.on_response_prepare.append(finish)
    app[COMMON_HEADERS] = common


def plain_headers(app: web.Application) -> CommonHeaders | None:
    """Return the headers of plain responses, those to which the signals of `app` add nothing else, or None.

    There are none in an application with signals or sub-applications of its own.
    """
    signals_are_ours = len(app.on_response_prepare) == 1
    has_inner = any(isinstance(resource, PrefixedSubAppResource) for resource in app.router.resources())
    return app[COMMON_HEADERS] if signals_are_ours and not has_inner else None
