"""The application: handlers, their routes, CORS, and the headers that every response gets."""

from aiohttp import hdrs, web

from service import handlers
from service.server.common_headers import add_common_headers
from service.server.cors import allow_cors
from service.server.lifecycle import LIFECYCLE, Lifecycle
from service.server.logs import HEALTH_PATH
from service.server.response import CommonHeaders, Response
from service.settings import Settings


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
