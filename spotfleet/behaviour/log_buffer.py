"""What of a burst of a container's output is lost before it gets to its log: decisions only (rule M5).

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LogConfiguration.html
https://docs.docker.com/engine/logging/configure/#configure-the-delivery-mode-of-log-messages-from-container-to-log-driver
"""

import re

from spotfleet.behaviour.record import Record

# Since 25 June 2025, unless the account's defaultLogDriverMode says otherwise.
DEFAULT_MODE = "non-blocking"
DEFAULT_BYTES = 10 * 1024 * 1024
UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
SIZE = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)


def buffer_bytes(options: Record) -> int | None:
    """Return how many bytes wait for the log service at most; None where the application waits for it instead.

    `options` are those of a container's log configuration.
    """
    if options.get("mode", DEFAULT_MODE) != "non-blocking":
        return None
    found = SIZE.fullmatch(str(options.get("max-buffer-size", "")))
    return int(found[1]) * UNITS[found[2].lower()] if found else DEFAULT_BYTES


def is_kept(waiting: int, line: int, buffer: int | None) -> bool:
    """Return whether a line of so many bytes finds room beside those that wait: in a full buffer the new one is lost.

    Docker keeps one that is larger than its whole buffer if nothing else waits.
    """
    return buffer is None or not waiting or waiting + line <= buffer
