"""What is known of the request that is being handled, wherever in its handler one asks."""

import secrets
from contextvars import ContextVar

# The number of the request, 0 outside of one.
REQUEST: ContextVar[int] = ContextVar("request", default=0)
# When its handler was called, in seconds of time.perf_counter; kept only if requests are logged.
BEGAN: ContextVar[float] = ContextVar("began", default=0.0)

# Unique without asking the operating system for randomness at every request: a start of the process, and a number.
PROCESS_ID = secrets.token_hex(6)


def request_id() -> str:
    """Return the id of the request, which its response, its line in the log and every line of its handler carry."""
    return f"{PROCESS_ID}-{REQUEST.get()}"
