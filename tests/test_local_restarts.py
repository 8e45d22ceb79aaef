"""When a container that has ended is started again in its task."""

import socket
from typing import Any

import pytest

from local import restarts
from local.restarts import Policy, may_restart, policy_of

MINUTE = Policy(enabled=True, ignored_exit_codes=(0, 3), attempt_period=60)


@pytest.mark.parametrize(
    ("policy", "exit_code", "ran", "restarted"),
    [
        (MINUTE, 1, 60, True),
        (MINUTE, 137, 70, True),
        # Too soon: its task ends, so that a deployment that cannot work fails.
        (MINUTE, 1, 59.9, False),
        (MINUTE, 0, 600, False),
        (MINUTE, 3, 600, False),
        (Policy(enabled=True), 0, 300, True),
        (Policy(enabled=True), 1, 299, False),
        (Policy(), 1, 600, False),
    ],
)
def test_a_container_that_has_run_long_enough_is_restarted(
    policy: Policy, exit_code: int, ran: float, restarted: bool
) -> None:
    assert may_restart(policy, exit_code, ran) is restarted


@pytest.mark.parametrize(
    ("definition", "policy"),
    [
        ({}, Policy()),
        ({"restartPolicy": {"enabled": False}}, Policy()),
        ({"restartPolicy": {"Enabled": "true"}}, Policy(enabled=True)),
        ({"restartPolicy": {"enabled": True, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60}}, MINUTE),
        ({"restartPolicy": {"Enabled": True, "IgnoredExitCodes": [0, 3], "RestartAttemptPeriod": "60"}}, MINUTE),
    ],
)
def test_a_policy_is_read_as_the_api_and_as_templates_write_it(definition: dict[str, Any], policy: Policy) -> None:
    assert policy_of(definition) == policy


def test_the_moments_of_docker_have_more_digits_than_those_of_python() -> None:
    assert restarts.moment("2026-01-02T03:04:05.123456789Z") == pytest.approx(1767323045.123456)


def test_a_chosen_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", restarts.free_port())) as listener:
        assert listener.getsockname()[1] > 0
