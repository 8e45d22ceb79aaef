"""docs/settings.md, and the prices in it."""

import re
from typing import Any

import pytest
import yaml

from spotfleet.facts import instance_types
from spotfleet.plan import prices
from spotfleet.settings.environment import Settings, service_settings
from spotfleet.settings.problems import find_problems
from tests.support import sample_project
from tests.support.changed import changed
from tools.settings_page import PAGE, ROOT, costs, page, settings_of

CONFIG = sample_project.SAMPLE / "config"
EXAMPLES = [
    example
    for file in (ROOT / "README.md", PAGE)
    for example in re.findall(r"```yaml\n(.*?)```", file.read_text(), re.S)
]


def floor(environment: str) -> list[prices.Line]:
    """Return the lines of an environment's bill that the page has."""
    settings = settings_of(environment, CONFIG)
    return prices.floor(settings, service_settings(settings).values())


def test_page_is_what_the_schema_and_the_prices_make_of_it() -> None:
    # The bills are those of the settings as we ship them, which are the sample's.
    assert PAGE.read_text() == page(CONFIG), "run: python -m tools.settings_page"


def test_page_has_every_setting() -> None:
    text = PAGE.read_text()
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []


def test_prices_belong_to_settings() -> None:
    assert costs().keys() <= Settings.model_fields.keys()


def test_development_costs_at_most_50_dollars_and_is_private() -> None:
    assert prices.total(floor("dev")) <= 50
    # In private subnets, whatever the way out.
    assert changed().parameters("machines")["PrivateSubnetIds"]._argument.endswith("::PrivateSubnetIds")


def test_every_price_has_a_source() -> None:
    constants = {name: value for name, value in vars(prices).items() if name.isupper()}
    amounts = {value for value in constants.values() if isinstance(value, float)}
    amounts |= {*prices.MACHINE.values(), *instance_types.SURPLUS_VCPU_HOUR.values()}
    assert amounts - {prices.SPOT_DISCOUNT} == {one.dollars for one in prices.SOURCES}
    assert all(one.source for one in prices.SOURCES)


def test_development_takes_the_cheapest_way_out() -> None:
    development = settings_of("dev", CONFIG)
    ways = ("nat_instance", "nat_gateway", "nat_gateway_per_zone", "endpoints")
    bills = {way: prices.total(prices.egress(way, development.availability_zones)) for way in ways}
    assert min(bills, key=lambda way: bills[way]) == development.egress


def test_prices_count_what_the_templates_have() -> None:
    network = changed(egress="endpoints", alarms=True, web_application_firewall=True)
    endpoints = network.of_type("vpc", "AWS::EC2::VPCEndpoint").values()
    assert sum(endpoint["VpcEndpointType"] == "Interface" for endpoint in endpoints) == prices.ENDPOINTS
    assert len(network.properties("load-balancer", "Firewall")["Rules"]) == prices.FIREWALL_RULES
    instance = changed()
    assert len(instance.of_type("vpc", "AWS::CloudWatch::Alarm")) == prices.NAT_INSTANCE_ALARMS
    (volume,) = instance.properties("vpc", "NatInstance")["BlockDeviceMappings"]
    assert volume["Ebs"]["VolumeSize"] == prices.NAT_INSTANCE_GIB


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_tasks": 0},
        {"scheduled_scaling": [{"schedule": "cron(0 20 ? * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}]},
        {"hosted_zone_id": "Z0123456789ABCDEFGHIJ", "domain_name": "example.com"},
        {"machine_scaling": "cpu", "min_machines": 2, "machine_cpu_target_percent": 20},
        {"instance_types": ["m7i.large"]},
        {"cpu_credits": "standard", "requests_per_task": 600},
        {"kind": "worker"},
        {"kind": "worker", "min_tasks": 0},
    ],
)
def test_alarms_are_counted_as_the_templates_have_them(settings: dict[str, Any]) -> None:
    environment = changed(alarms=True, **settings)
    stacks = ("load-balancer", "machines", "service")
    made = sum(len(environment.of_type(stack, "AWS::CloudWatch::Alarm")) for stack in stacks)
    given = Settings.model_validate(settings_of("dev", CONFIG).model_dump() | settings)
    assert made == prices.alarms(given, service_settings(given).values())


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid_settings_of_development(example: str) -> None:
    assert find_problems(settings_of("dev", CONFIG).model_dump() | yaml.safe_load(example)) == {}


def test_readme_names_the_price_of_development() -> None:
    assert f"{prices.total(floor('dev')):.2f} $ a month" in (ROOT / "README.md").read_text()
