"""Sends requests to an environment's service with hey, and prints what happened."""

import re

from spotfleet.local.host import console, packages
from spotfleet.local.host.console import Failure, say

# Enough to fill any service that a laptop holds; more only measures hey.
MOST_PER_SECOND = 10_000
MOST_SECONDS = 3600
# Connections; each sends its next request when it has the answer to the last one.
MOST_CONNECTIONS = 100
OUR_OWN = re.compile(r"^https?://127\.0\.0\.1:\d+/")


def command(url: str, per_second: int, seconds: int) -> list[str]:
    """Return the command that sends so many requests per second, for so long, to a load balancer on this machine.

    Raises Failure when the numbers are out of bounds, or when the address is not on this machine.
    """
    if not 1 <= per_second <= MOST_PER_SECOND or not 1 <= seconds <= MOST_SECONDS:
        raise Failure(f"Load is from 1 to {MOST_PER_SECOND} requests per second, for 1 to {MOST_SECONDS} seconds.")
    if not OUR_OWN.match(url):
        raise Failure(f"Load is sent to this machine only, not to {url}.")
    connections = min(per_second, MOST_CONNECTIONS)
    return ["hey", "-z", f"{seconds}s", "-c", str(connections), "-q", f"{per_second / connections:g}", url]


def ensure_installed() -> None:
    """Make sure that there is a hey; raises Failure with the command to run where we may not install it."""
    packages.ensure("hey", "hey (it sends the load)")


def send(url: str, per_second: int, seconds: int) -> int:
    """Send the load, print hey's report, and return its exit code."""
    line = command(url, per_second, seconds)
    ensure_installed()
    say(f"Sending {per_second} requests per second to {url} for {seconds} s ...")
    return console.run(line, "sending")
