"""What tasks may reach follows the security groups and routes of their machines (rule N1)."""

from collections.abc import Callable

from spotfleet.local import controller
from spotfleet.local.api import outgoing_rules
from spotfleet.local.backchannel import changes


class OutgoingTraffic(controller.Controller):
    """Keeps the routers of the tasks' networks as EC2 says; it asks only after something has changed."""

    name = "outgoing-traffic"

    def __init__(self, keep: Callable[[], None] = outgoing_rules.keep) -> None:
        self.interval = controller.pace()
        self._keep = keep
        self._seen: changes.Version | None = None

    def step(self) -> None:
        """Carry a change of groups or routes over to the routers."""
        version = changes.version()
        if version is None or version != self._seen:
            self._keep()
            self._seen = version
