"""What tasks may reach follows the security groups and routes of their machines (rule N1)."""

from collections.abc import Callable

from spotfleet.local import controller
from spotfleet.local.api import embedded_aws, outgoing_rules
from spotfleet.local.backchannel import changes


class OutgoingTraffic(controller.Controller):
    """Keeps the routers of the tasks' networks as EC2 says; it asks only after something has changed."""

    name = "outgoing-traffic"

    def __init__(
        self,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        prepare: Callable[[str], None] = outgoing_rules.prepare,
        keep: Callable[[], None] = outgoing_rules.keep,
    ) -> None:
        self.interval = controller.pace()
        self._regions = regions
        self._prepare = prepare
        self._keep = keep
        self._seen: changes.Version | None = None

    def step(self) -> None:
        """Carry a change of machines, groups or routes over to the routers."""
        version = changes.version()
        if version is not None and version == self._seen:
            return
        for region in self._regions():
            self._prepare(region)
        self._keep()
        self._seen = version
