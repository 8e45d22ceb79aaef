"""What a living environment does not survive is refused with the safe way, and what it does survive is not."""

import re
from dataclasses import replace
from typing import Any

import pytest

from spotfleet.settings.environment import Settings
from spotfleet.stacks.living_changes import Deployed, refusals, remarks
from tests.support import sample_project
from tests.support.projects import ROOT
from tools.settings_page import settings_of

DEV = settings_of("dev", sample_project.SAMPLE / "config").model_dump()
HTTPS = {"domain_name": "app.example.com", "hosted_zone_id": "Z0123456789ABC"}
API: dict[str, Any] = {"listener_priority": 90, "max_tasks": 1}
# The environment dev as it is launched.
LAUNCHED = Deployed(
    vpc_cidr="10.0.0.0/16",
    subnet_host_bits=12,
    availability_zones=2,
    ipv6=False,
    load_balancer_scheme="internet-facing",
    used_zones={"load-balancer": 2, "machines": 2},
    has_https=False,
    answers_https=False,
    idle_timeout_seconds=60,
    cpu_architecture="x86_64",
    listener_priorities={"service": 100},
    needed_images={"service": 1},
)
THREE_ZONES = replace(LAUNCHED, availability_zones=3, used_zones={"load-balancer": 3, "machines": 3})
SECURE = replace(LAUNCHED, has_https=True, answers_https=True)


def found(deployed: Deployed, **changes: object) -> list[str]:
    return list(refusals(deployed, Settings.model_validate(DEV | changes), "dev"))


UNSAFE: list[tuple[Deployed, dict[str, Any], str]] = [
    (LAUNCHED, {"vpc_cidr": "10.5.0.0/16"}, "vpc_cidr 10.0.0.0/16 -> 10.5.0.0/16: a VPC keeps its network"),
    (LAUNCHED, {"subnet_host_bits": 11}, "subnet_host_bits 12 -> 11: subnets keep their size"),
    (
        THREE_ZONES,
        {},
        "availability_zones 3 -> 2: the network would lose its subnets in 1 zones under load-balancer and "
        "machines; first launch with availability_zones 3 and used_zones 2, then with availability_zones 2",
    ),
    (replace(THREE_ZONES, used_zones={"load-balancer": 2, "machines": 3}), {}, "in 1 zones under machines;"),
    (replace(LAUNCHED, ipv6=True), {}, "ipv6 true -> false"),
    (
        LAUNCHED,
        {"load_balancer_scheme": "internal"},
        "load_balancer_scheme internet-facing -> internal: the load balancer would be replaced",
    ),
    (
        LAUNCHED,
        {"cpu_architecture": "arm64", "instance_types": ["t4g.micro"]},
        "cpu_architecture x86_64 -> arm64: the machines would be replaced while the services' images",
    ),
    (SECURE, {}, "first launch with HTTPS and leave_https true, then without both"),
    (LAUNCHED, {**HTTPS, "leave_https": True}, "there is no HTTPS to leave"),
    (
        replace(LAUNCHED, listener_priorities={"service": 100, "api": 90}),
        {"listener_priority": 90, "services": {"api": {**API, "listener_priority": 100}}},
        "listener_priority of service 100 -> 90: that is still the one of api",
    ),
    (
        replace(LAUNCHED, listener_priorities={"service": 100, "api": 90}),
        {"listener_priority": 90, "services": {"api": {**API, "listener_priority": 80}}},
        "first launch with 1 for service, which is free, then with 90",
    ),
    # A new service at the number that another one leaves in the same launch.
    (
        LAUNCHED,
        {"listener_priority": 50, "services": {"api": {**API, "listener_priority": 100}}},
        "api none -> 100",
    ),
    (
        replace(LAUNCHED, needed_images={"service": 4}),
        {"kept_images": 3},
        "kept_images -> 3: the image that service runs is no. 4 from the newest",
    ),
]


@pytest.mark.parametrize(("deployed", "changes", "words"), UNSAFE)
def test_what_tears_an_environment_apart_is_refused_with_the_safe_way(
    deployed: Deployed, changes: dict[str, object], words: str
) -> None:
    refused = found(deployed, max_machines=8, **changes)
    assert any(words in text for text in refused), refused
    assert all("\n" not in text for text in refused)


@pytest.mark.parametrize(
    ("deployed", "changes"),
    [
        (LAUNCHED, {}),
        (Deployed(), {"vpc_cidr": "10.5.0.0/16", "cpu_architecture": "arm64", "instance_types": ["t4g.micro"]}),
        (LAUNCHED, {"availability_zones": 3}),
        (LAUNCHED, {"ipv6": True}),
        (replace(LAUNCHED, ipv6=True), {"ipv6": True}),
        # A template that nobody may read.
        (replace(LAUNCHED, ipv6=None), {}),
        (replace(THREE_ZONES, used_zones={"load-balancer": 2, "machines": 2}), {}),
        # A network without what stands on it.
        (replace(THREE_ZONES, used_zones={}), {}),
        (THREE_ZONES, {"availability_zones": 3, "used_zones": 2}),
        (LAUNCHED, HTTPS),
        (SECURE, HTTPS),
        (SECURE, {**HTTPS, "leave_https": True}),
        (replace(SECURE, answers_https=False), {**HTTPS, "leave_https": True}),
        (replace(SECURE, answers_https=False), {}),
        (LAUNCHED, {"egress": "nat_gateway", "root_volume_gib": 40, "kept_images": 2, "min_machines": 0}),
        (LAUNCHED, {"listener_priority": 90}),
        (replace(LAUNCHED, listener_priorities={"service": 100, "api": 90}), {"services": {"api": API}}),
        # What is deployed and no longer in the settings is for a person to delete; AWS refuses the number then.
        (replace(LAUNCHED, listener_priorities={"service": 100}), {"listener_priority": 90}),
        (replace(LAUNCHED, needed_images={"service": 3}), {"kept_images": 3}),
    ],
)
def test_what_lands_in_place_is_not_refused(deployed: Deployed, changes: dict[str, object]) -> None:
    assert found(deployed, **{"max_machines": 8, **changes}) == []


def test_the_readme_says_what_is_refused_and_the_way() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = [
        row.split(" | ")
        for row in readme.partition("| change | what a launch does | the way |")[2].split("\n\n")[0].splitlines()
    ]
    refusing = {row[0]: row[2] for row in rows if len(row) == 3 and row[1].startswith("refuses")}
    named = {
        name: way
        for change, way in refusing.items()
        for name in re.findall(r"`(\w+)`|(HTTPS)", change)
        for name in filter(None, name)
    }
    refused: dict[str, str] = {}
    for deployed, changes, _ in UNSAFE:
        for text in found(deployed, max_machines=8, **changes):
            refused[text.split()[0]] = text
    # A mistake in the way itself rather than a change of what runs.
    del refused["leave_https"]
    assert named.keys() == refused.keys()
    for name, way in named.items():
        assert all(setting in refused[name] for setting in re.findall(r"`(\w+)", way)), name
        assert ("second environment" in way) == ("second environment" in refused[name]), name


def test_every_unsafe_change_is_named_at_once() -> None:
    assert len(found(LAUNCHED, vpc_cidr="10.5.0.0/16", load_balancer_scheme="internal")) == 2


def test_a_free_priority_is_neither_deployed_nor_wanted() -> None:
    deployed = replace(LAUNCHED, listener_priorities={"service": 1, "api": 2})
    (text, other) = found(
        deployed, listener_priority=2, max_machines=8, services={"api": {**API, "listener_priority": 1}}
    )
    assert "first launch with 3 for service" in text
    # Another one, so that both take their new numbers with the second launch.
    assert "first launch with 4 for api" in other
    parked = {"listener_priority": 3, "services": {"api": {**API, "listener_priority": 4}}}
    assert found(deployed, max_machines=8, **parked) == []
    between = replace(deployed, listener_priorities={"service": 3, "api": 4})
    swapped = {"listener_priority": 2, "services": {"api": {**API, "listener_priority": 1}}}
    assert found(between, max_machines=8, **swapped) == []


def test_a_longer_idle_timeout_is_said_before_the_load_balancer_has_it() -> None:
    settings = Settings.model_validate(DEV | {"idle_timeout_seconds": 120})
    (text,) = remarks(LAUNCHED, settings)
    assert 'environment_variables {KEEPALIVE_SECONDS: "135"} first' in text
    assert list(remarks(LAUNCHED, Settings.model_validate(DEV | {"idle_timeout_seconds": 30}))) == []
    assert list(remarks(Deployed(), settings)) == []
