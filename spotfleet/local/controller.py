"""What a controller is: one of the loops that make the embedded AWS behave.

A controller is one loop over "what AWS says" and "what is". It is a subclass of `Controller`:

    class Balancer(Controller):
        name = "balancer"       # short, for log and status
        interval = 1.0          # real seconds from the end of one step to the start of the next; see host/clock.py

        def step(self) -> None:     # look at both sides, do what is missing; raise when that fails
        def close(self) -> None:    # end what the controller started; called when the server stops, and only then

`step` must be idempotent and must not rely on memory alone: after an exception the supervisor makes a new object with
the class's `__init__` (no arguments: give clients and other parts as defaults, for tests) and goes on with that; it
finds what its predecessor left, such as a running process. Waiting inside a step stalls only that controller: each has
a thread of its own. A controller calls the embedded AWS through spotfleet.local.api.clients, over HTTP:
embedded_aws.regions() says where.

Add the class to `classes()` in spotfleet/local/daemon/server.py and it runs with `spotfleet serve`.
"""

from spotfleet.local.host import clock


class Controller:
    """One loop over what AWS says and what is; see the module's documentation."""

    name = "controller"
    interval = 1.0

    def step(self) -> None:
        """Look at both sides and do what is missing."""
        raise NotImplementedError

    def close(self) -> None:
        """End what the controller, or the one before it, started."""


def pace() -> float:
    """Return an interval for a controller that asks AWS much: five of AWS's seconds, from half a real one to two."""
    return min(max(clock.seconds(5), 0.5), 2.0)
