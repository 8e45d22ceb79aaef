"""Which other sites may call the service from a browser, by way of aiohttp-cors."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp_cors import CorsConfig, ResourceOptions
from aiohttp_cors.abc import AbstractRouterAdapter

from service.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OptionsByOrigin = dict[str, ResourceOptions]


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
    cors = CorsConfig(app, router_adapter=RouterAdapter(app.router, options))
    resources = list(app.router.resources())
    answered_already = {resource.canonical for resource in resources if hdrs.METH_OPTIONS in methods_of(resource)}
    for resource in resources:
        if resource.canonical not in answered_already:
            cors.add(resource)


class RouterAdapter(AbstractRouterAdapter):
    """Tells aiohttp-cors of aiohttp's routes: all have the same options, and OPTIONS is answered for all.

    The adapter that comes with aiohttp-cors takes neither views of aiohttp's own, nor handlers for any method, nor
    one path with a method here and another there; and it looks up options per route at every request.
    """

    def __init__(self, router: web.UrlDispatcher, options: OptionsByOrigin) -> None:
        self.router = router
        self.options = options

    def is_cors_enabled_on_request(self, request: web.Request) -> bool:  # noqa: ARG002
        """Return whether aiohttp-cors has to look at the response: always, for a page may read errors as well."""
        return True

    def is_preflight_request(self, request: web.Request) -> bool:
        """Return whether a browser asks for permission; the answer to that has its headers already."""
        return (
            request.method == hdrs.METH_OPTIONS
            and hdrs.ORIGIN in request.headers
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        )

    def set_config_for_routing_entity(self, routing_entity: web.AbstractResource, config: OptionsByOrigin) -> None:
        """Do nothing: no resource has options of its own."""

    def get_non_preflight_request_config(self, request: web.Request) -> OptionsByOrigin:  # noqa: ARG002
        """Return the options by origin, for whatever request."""
        return self.options

    async def get_preflight_request_config(
        self,
        preflight_request: web.Request,
        origin: str,  # noqa: ARG002  # Theirs; it is looked up in the options by them.
        requested_method: str,
    ) -> OptionsByOrigin:
        """Return the options by origin. Raises KeyError if the path has no handler for `requested_method`."""
        if not {requested_method, hdrs.METH_ANY} & await self.methods(preflight_request):
            raise KeyError(requested_method)
        return self.options

    async def methods(self, request: web.Request) -> set[str]:
        """Return the methods that the path of `request` has handlers for; two resources may have the same path."""
        found: set[str] = set()
        for resource in self.router.resources():
            _, allowed = await resource.resolve(request)
            if allowed:
                found |= methods_of(resource)
        return found

    def add_preflight_handler(
        self,
        routing_entity: web.AbstractResource,
        handler: Handler,
        webview: bool = False,  # noqa: ARG002
    ) -> None:
        """Have OPTIONS answered: a preflight by aiohttp-cors's `handler`, anything else as it would be without CORS.

        That is the handler for any method, if there is one, or else the list of the methods.
        """
        any_method = next((route.handler for route in routing_entity if takes_any_method(route)), None)

        async def options(request: web.Request) -> web.StreamResponse:
            if self.is_preflight_request(request):
                response = await handler(request)
                response.headers[hdrs.VARY] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
                return response
            if any_method:
                return await any_method(request)
            return web.Response(status=204, headers={hdrs.ALLOW: ",".join(sorted(await self.methods(request)))})

        if isinstance(routing_entity, web.StaticResource):
            routing_entity.set_options_route(options)
        elif isinstance(routing_entity, web.Resource):
            # Not add_route, which refuses to put a method beside a handler for any.
            routing_entity.register_route(web.ResourceRoute(hdrs.METH_OPTIONS, options, routing_entity))


def methods_of(resource: web.AbstractResource) -> set[str]:
    """Return the methods that `resource` has handlers for; "*" is any."""
    methods: set[str] = set()
    for route in resource:
        if route.method == hdrs.METH_ANY and is_view(route):
            methods |= {method for method in hdrs.METH_ALL if hasattr(route.handler, method.lower())}
        else:
            methods.add(route.method)
    return methods


def takes_any_method(route: web.AbstractRoute) -> bool:
    """Return whether one function handles every method; a view takes only those that it has functions for."""
    return route.method == hdrs.METH_ANY and not is_view(route)


def is_view(route: web.AbstractRoute) -> bool:
    """Return whether `route` leads to a class with a function per method."""
    return isinstance(route.handler, type) and issubclass(route.handler, web.View)
