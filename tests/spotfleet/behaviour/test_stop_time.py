"""From SIGTERM to SIGKILL: the worked example of rule E16."""

import pytest

from spotfleet.behaviour.stop_time import stop_seconds


@pytest.mark.parametrize(
    ("stop_timeout", "agent", "seconds"),
    [
        (None, "10s", 10),
        (45, "10s", 45),
        (None, "1m30s", 90),
        (None, "", 30),
        (None, "soon", 30),
        (None, "0s", 30),
    ],
)
def test_the_agent_says_how_long_where_the_container_does_not(
    stop_timeout: int | None, agent: str, seconds: int
) -> None:
    assert stop_seconds(stop_timeout, {"ECS_CONTAINER_STOP_TIMEOUT": agent}) == seconds
