"""What the health checks of container definitions say of a task (rule E3)."""

from typing import Any

import pytest

from spotfleet.behaviour import container_health
from spotfleet.behaviour.container_health import Check, Container, Health

GOOD, BAD, OPEN = Health.HEALTHY, Health.UNHEALTHY, Health.UNKNOWN


def test_what_a_definition_does_not_say_is_as_on_aws() -> None:
    bare = {"healthCheck": {"command": ["CMD-SHELL", "true"]}}
    assert container_health.check_of(bare) == Check(("CMD-SHELL", "true"), 30, 5, 3, 0)
    full = {"command": ["CMD", "/up"], "interval": 5, "timeout": 2, "retries": 10, "startPeriod": 300}
    assert container_health.check_of({"healthCheck": full}) == Check(("CMD", "/up"), 5, 2, 10, 300)
    assert container_health.check_of({"name": "web"}) is None


@pytest.mark.parametrize(
    ("check", "count"),
    [
        (None, 0),
        ({"command": ["CMD", "/up"], "interval": 5, "timeout": 60, "retries": 1, "startPeriod": 0}, 0),
        ({"command": ["CMD", "/up"], "interval": "5", "timeout": "soon"}, 1),
        ({"command": ["/up"]}, 1),
        ({"command": ["CMD-SHELL"]}, 1),
        ({"command": []}, 1),
        ({"command": ["CMD", "/up"], "interval": 4, "timeout": 61, "retries": 0, "startPeriod": 301}, 4),
    ],
)
def test_ecs_takes_numbers_in_its_limits(check: dict[str, Any] | None, count: int) -> None:
    assert len(list(container_health.problems({"healthCheck": check}))) == count


@pytest.mark.parametrize(
    ("essential", "health"),
    [
        ([GOOD, GOOD], GOOD),
        ([GOOD, BAD], BAD),
        ([OPEN, BAD], BAD),
        ([GOOD, OPEN], OPEN),
        ([], OPEN),
    ],
)
def test_essential_containers_decide_on_a_task(essential: list[Health], health: Health) -> None:
    others = [Container(BAD, essential=False), Container(GOOD, essential=False)]
    assert container_health.of_task([*map(Container, essential), *others]) == health


@pytest.mark.parametrize(
    ("containers", "checked", "passes"),
    [
        ([Container(OPEN)], True, False),
        ([Container(GOOD), Container(OPEN, checked=False)], True, True),
        ([Container(GOOD), Container(BAD)], True, False),
        ([Container(OPEN, checked=False), Container(BAD, essential=False)], False, True),
    ],
)
def test_the_scheduler_waits_for_the_essential_containers_that_are_checked(
    containers: list[Container], checked: bool, passes: bool
) -> None:
    assert (container_health.is_checked(containers), container_health.passes(containers)) == (checked, passes)
