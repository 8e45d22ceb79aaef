"""Whether the service is on its way out."""

from aiohttp import web


class Lifecycle:
    """Tells the handlers and the replies that the service has been asked to stop."""

    draining = False


LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
