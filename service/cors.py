"""Which other sites may call the service from a browser, by way of aiohttp-cors."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp_cors import CorsConfig, ResourceOptions
from aiohttp_cors.urldispatcher_router_adapter import ResourcesUrlDispatcherRouterAdapter

from service.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def allow_cors(app: web.Application, settings: Settings) -> None:
    """Let browsers on the settings' origins call every route that `app` has by now.

    "*" is any origin, without the user's cookies; origins that are listed may send them.
    """
    options = {
        origin: ResourceOptions(
            allow_credentials=origin != "*", expose_headers="*", allow_headers="*", max_age=settings.cors_max_age
        )
        for origin in settings.cors_origins
    }
    cors = CorsConfig(app, defaults=options, router_adapter=RouterAdapter(app.router, options))
    for route in list(app.router.routes()):
        cors.add(route)


class RouterAdapter(ResourcesUrlDispatcherRouterAdapter):
    """aiohttp-cors's adapter to aiohttp's routes, for the same options on every route.

    That makes it quicker than the one it replaces. It also answers OPTIONS that is no preflight.
    """

    def __init__(self, router: web.UrlDispatcher, options: dict[str, ResourceOptions]) -> None:
        super().__init__(router, options)
        self.options = options

    def is_cors_enabled_on_request(self, request: web.Request) -> bool:
        """Return whether aiohttp-cors has to look at the response: not if the path or the method is unknown."""
        return request.match_info.http_exception is None

    def is_preflight_request(self, request: web.Request) -> bool:
        """Return whether the request goes to the handler of `add_preflight_handler`, which adds its headers itself."""
        return request.method == hdrs.METH_OPTIONS

    def get_non_preflight_request_config(self, _: web.Request) -> dict[str, ResourceOptions]:
        """Return the options by origin, for whatever request."""
        return self.options

    def add_preflight_handler(
        self,
        routing_entity: web.Resource | web.StaticResource | web.ResourceRoute,
        handler: Handler,
        webview: bool = False,  # noqa: ARG002
    ) -> None:
        """Have OPTIONS answered: a preflight by aiohttp-cors's `handler`, anything else with the methods allowed."""

        async def options(request: web.Request) -> web.StreamResponse:
            if hdrs.ORIGIN in request.headers and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
                response = await handler(request)
                response.headers[hdrs.VARY] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
                return response
            return web.Response(status=204, headers={hdrs.ALLOW: ",".join(sorted(methods(request)))})

        super().add_preflight_handler(routing_entity, options)


def methods(request: web.Request) -> set[str]:
    """Return the methods that the path of `request` has handlers for."""
    resource = request.match_info.route.resource
    return set() if resource is None else {route.method for route in resource}
