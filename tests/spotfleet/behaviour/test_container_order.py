"""In which order the containers of a task start and stop."""

from typing import Any

import pytest

from spotfleet.behaviour import container_order
from spotfleet.behaviour.container_health import Health
from spotfleet.behaviour.container_order import Condition, Dependency, Seen

CHECK = {"command": ["CMD", "/up"]}


def container(name: str, needs: dict[str, str] | None = None, **more: object) -> dict[str, Any]:
    """Return a container definition that waits for others."""
    waits = [{"containerName": other, "condition": condition} for other, condition in (needs or {}).items()]
    return {"name": name, "dependsOn": waits} | more


def test_containers_start_after_those_that_they_wait_for() -> None:
    definitions = [
        container("web", {"migration": "SUCCESS", "proxy": "HEALTHY"}),
        container("migration"),
        container("proxy", links=["cache:redis"]),
        container("cache"),
    ]
    assert container_order.waves(definitions) == [["migration", "cache"], ["proxy"], ["web"]]
    assert container_order.links(definitions[2]) == [("cache", "redis")]


def test_a_link_is_a_start_unless_the_definition_says_more() -> None:
    linked = container("web", {"proxy": "HEALTHY"}, links=["proxy", "cache"])
    assert container_order.dependencies(linked) == [
        Dependency("proxy", Condition.HEALTHY),
        Dependency("cache", Condition.START),
    ]


@pytest.mark.parametrize(
    ("condition", "seen", "met"),
    [
        ("START", Seen(), True),
        ("START", Seen(1), True),
        ("COMPLETE", Seen(), False),
        ("COMPLETE", Seen(1), True),
        ("SUCCESS", Seen(), False),
        ("SUCCESS", Seen(0), True),
        ("SUCCESS", Seen(1), None),
        ("HEALTHY", Seen(), False),
        ("HEALTHY", Seen(health=Health.UNHEALTHY), False),
        ("HEALTHY", Seen(health=Health.HEALTHY), True),
        ("HEALTHY", Seen(0, Health.HEALTHY), None),
    ],
)
def test_a_condition_is_met_or_not_yet_or_never(condition: str, seen: Seen, met: bool | None) -> None:
    assert container_order.is_met(Condition(condition), seen) is met


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        ([container("web"), container("proxy", {"web": "START"})], []),
        ([container("web", {"job": "SUCCESS"}), container("job", essential=False)], []),
        ([container("web", {"other": "START"})], ["no container of the task"]),
        ([container("web", {"job": "DONE"}), container("job")], ["DONE is none of START, COMPLETE, SUCCESS, HEALTHY"]),
        ([{"name": "web", "dependsOn": [{"containerName": "web"}]}], ["needs containerName and condition"]),
        ([{"name": "web", "dependsOn": [{"condition": "START"}]}], ["needs containerName and condition"]),
        ([{"name": "web", "dependsOn": None, "links": None}], []),
        ([container("web", {"job": "COMPLETE"}), container("job")], ["essential"]),
        ([container("web", {"proxy": "HEALTHY"}), container("proxy")], ["no health check"]),
        ([container("web", {"proxy": "HEALTHY"}), container("proxy", healthCheck=CHECK)], []),
        ([container("web", {"proxy": "START"}), container("proxy", links=["web"])], ["wait for each other"]),
    ],
)
def test_ecs_takes_no_order_that_cannot_be(definitions: list[dict[str, Any]], words: list[str]) -> None:
    found = list(container_order.problems(definitions))
    assert len(found) == len(words)
    assert all(word in problem for word, problem in zip(words, found, strict=True))
