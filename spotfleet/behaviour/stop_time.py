"""How long a container gets from SIGTERM to SIGKILL. Decisions only.

https://github.com/aws/amazon-ecs-agent/blob/master/README.md#environment-variables (rule E16)
"""

import re
from collections.abc import Mapping

# In seconds.
DEFAULT = 30
# The agent takes no less.
SHORTEST = 1

# As Go writes durations: 90s, 1m30s, 1h.
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def stop_seconds(stop_timeout: int | None, agent: Mapping[str, str]) -> int:
    """Return the container's stopTimeout, else what the machine's agent is set to, else 30 s."""
    if stop_timeout:
        return stop_timeout
    found = DURATION.fullmatch(agent.get("ECS_CONTAINER_STOP_TIMEOUT", ""))
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    configured = 3600 * hours + 60 * minutes + seconds
    return configured if configured >= SHORTEST else DEFAULT
