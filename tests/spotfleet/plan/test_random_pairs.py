"""Random pairs of settings: what the plan says against the decisions that a launch and the embedded AWS go by.

Each pair renders ten templates, so this is with the slow tests that need no engine. The seed is printed on a failure.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotfleet.plan import notices, plan
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.configurations import Configuration, NoConfigurationError
from spotfleet.plan.refused import as_deployed
from spotfleet.stacks import living_changes, replacements
from spotfleet.stacks.replacements import Version
from tests.support.planned import configuration

pytestmark = pytest.mark.matrix

# What a machine is launched from, and what a task is: each with the values that are drawn.
OF_MACHINES: dict[str, list[Any]] = {
    "root_volume_gib": [30, 40],
    "detailed_monitoring": [False, True],
    "reserved_memory_mib": [200, 250],
    "instance_types": [["t3.micro", "t3.small"], ["t3.small"]],
    "on_demand_base": [0, 1],
    "availability_zones": [2, 3],
    "cpu_credits": ["unlimited", "standard"],
}
OF_TASKS: dict[str, list[Any]] = {
    "task_memory_mib": [200, 256],
    "stop_timeout_seconds": [20, 30],
    "environment_variables": [{}, {"LOG_LEVEL": "info"}],
    "cors_origins": ["*", "https://example.com"],
}
OF_NEITHER: dict[str, list[Any]] = {
    "max_machines": [6, 8],
    "idle_timeout_seconds": [60, 75],
    "vpc_cidr": ["10.0.0.0/16", "10.9.0.0/16"],
    "load_balancer_scheme": ["internet-facing", "internal"],
    "egress": ["nat_instance", "nat_gateway"],
    "health_check_interval_seconds": [10, 15],
    "deregistration_delay_seconds": [20, 30],
    "log_retention_days": [7, 14],
    "min_healthy_percent": [50, 0],
    "alarms": [False, True],
}
VALUES = OF_MACHINES | OF_TASKS | OF_NEITHER
SETTINGS = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in VALUES.items()})


def read(own: dict[str, Any]) -> Configuration | None:
    """Return the environment with these settings, or None where a launch refuses them."""
    try:
        return configuration(**own)
    except NoConfigurationError:
        return None


def values(configuration_: Configuration, keys: dict[str, list[Any]]) -> list[Any]:
    """Return what these settings are."""
    return [getattr(configuration_.settings, key) for key in keys]


@settings(max_examples=25, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(was=SETTINGS, now=SETTINGS)
def test_a_plan_is_what_the_decisions_say(was: dict[str, Any], now: dict[str, Any]) -> None:
    before, after = read(was), read(now)
    if before is None or after is None or before.settings is None or after.settings is None:
        return
    made = plan.make(before, after)
    changed = {(stack.layer, one.resource): one for stack in made.stacks for one in stack.changed}

    # The hook's own comparison of two templates, with what other stacks give the same on both sides.
    for layer, version in after.stacks.items():
        old = before.stacks[layer]
        texts = [
            {name: value for name, value in one.parameters.items() if isinstance(value, str)} for one in (old, version)
        ]
        found = replacements.replacements(layer, Version(old.template, texts[0]), Version(version.template, texts[1]))
        for one in found:
            assert changed[layer, one.resource].does is Does.REPLACED

    said = list(living_changes.refusals(as_deployed(before.settings), after.settings, "dev"))
    assert list(made.refusals[: len(said)]) == said

    rolled = {roll.what for roll in made.rolls}
    assert ("machines" in rolled) >= (values(before, OF_MACHINES) != values(after, OF_MACHINES))
    idle: dict[str, list[Any]] = {"idle_timeout_seconds": []}
    same = values(before, OF_TASKS | idle) == values(after, OF_TASKS | idle)
    assert ("tasks" in rolled) >= (not same)

    refused = any(roll.refused is None or roll.refused[-1] > 0 for roll in made.rolls)
    assert not refused or made.noticed.what == notices.REFUSED
    for roll in made.rolls:
        if not roll.stands_still:
            assert roll.seconds
            assert roll.seconds[0] <= roll.seconds[1] <= roll.seconds[2]
