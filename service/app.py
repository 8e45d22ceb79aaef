"""The application: handlers, their routes, CORS, and the headers that every response gets."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import PrefixedSubAppResource

from service import handlers
from service.cors import allow_cors
from service.current import request_id
from service.lifecycle import LIFECYCLE, Lifecycle
from service.logs import HEALTH_PATH
from service.response import REQUEST_ID_HEADER, CommonHeaders, Response
from service.settings import Settings

COMMON_HEADERS = web.AppKey("common_headers", CommonHeaders)


def create_app(settings: Settings) -> web.Application:
    """Build the application that `settings` describe."""
    app = web.Application(client_max_size=settings.max_body_bytes)
    app[LIFECYCLE] = Lifecycle()
    app.router.add_get(HEALTH_PATH, healthcheck)
    app.router.add_routes(handlers.ROUTES)
    allow_cors(app, settings)
    add_common_headers(app, CommonHeaders(settings.content_security_policy, app[LIFECYCLE]))
    return app


async def healthcheck(request: web.Request) -> web.StreamResponse:
    """Answer 503 while the service is stopping, whatever the health check of `handlers` would say."""
    if request.app[LIFECYCLE].draining:
        return Response(text="Draining", status=503, headers={hdrs.CACHE_CONTROL: "no-store"})
    return await handlers.healthcheck(request)


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
