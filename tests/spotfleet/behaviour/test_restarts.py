"""When a container that has ended is started again in its task (rule E17)."""

from typing import Any

import pytest

from spotfleet.behaviour.restarts import Policy, may_restart, policy_of

MINUTE = Policy(enabled=True, ignored_exit_codes=(0, 3), attempt_period=60)


def test_the_worked_example() -> None:
    """Period 60: an exit at 70 s restarts in the same task, one 30 s after that ends it."""
    assert may_restart(MINUTE, 1, 70)
    assert not may_restart(MINUTE, 1, 30)


@pytest.mark.parametrize(
    ("policy", "exit_code", "ran", "restarted"),
    [
        (MINUTE, 1, 60, True),
        (MINUTE, 137, 70, True),
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
