"""Writes docs/settings.md from the schema of the settings and the prices: `python -m tools.settings_page`."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from spotfleet.facts import instance_types
from spotfleet.plan import prices
from spotfleet.plan.prices import Line, egress, floor, spot, total, volume
from spotfleet.settings.environment import SECTIONS, Settings, service_settings
from spotfleet.settings.sceptre import SceptreSettings
from spotfleet.settings.section import Section

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "settings.md"
ZONES = (2, 3)


def costs() -> dict[str, str]:
    """Return what each setting that costs something costs per month."""
    ways = ("nat_instance", "nat_gateway", "nat_gateway_per_zone", "endpoints")
    return {
        "availability_zones": f"a public address of the load balancer: {dollars(prices.PUBLIC_ADDRESS * prices.HOURS)}",
        "egress": "; ".join(
            f"{way} {' / '.join(dollars(total(egress(way, zones))) for zones in ZONES)}" for way in ways
        )
        + f" in 2 / 3 zones; a GB through a NAT gateway {dollars(prices.NAT_GATEWAY_GB, 3)}, through endpoints "
        f"{dollars(prices.ENDPOINT_GB)}",
        "flow_logs": f"{dollars(prices.INFREQUENT_LOG_GB, 3)} per GB",
        "certificate_arn": "nothing",
        "access_logs": f"{dollars(prices.BUCKET_GB, 3)} per GB kept",
        "web_application_firewall": f"{dollars(prices.FIREWALL + prices.FIREWALL_RULES * prices.FIREWALL_RULE)}, and "
        f"{dollars(prices.FIREWALL_MILLION)} per million requests",
        "web_application_firewall_logging": f"{dollars(prices.LOG_GB)} per GB",
        "log_kms_key_arn": f"{dollars(prices.KEY)} for the key",
        "container_insights": f"{dollars(prices.METRIC)} per metric, dozens of them",
        "alarms": _alarms(),
        "dashboard": f"{dollars(prices.DASHBOARD)} per service",
        "instance_types": "on-demand: "
        + ", ".join(f"{name} {dollars(hourly * prices.HOURS)}" for name, hourly in prices.MACHINE.items())
        + f"; Spot about {prices.SPOT_DISCOUNT:.0%} less",
        "cpu_credits": "unlimited: nothing below the baseline on average over a day; each vCPU above it "
        + ", ".join(f"{family} {dollars(price)}" for family, price in instance_types.SURPLUS_VCPU_HOUR.items())
        + " per hour",
        "metric_resolution_seconds": "60: nothing; 20: metrics and alarms of high resolution, at CloudWatch's price, "
        "which is not known here",
        "root_volume_gib": f"{dollars(prices.VOLUME_GIB, 3)} per GiB and machine",
        "detailed_monitoring": f"{dollars(prices.DETAILED_METRICS * prices.METRIC)} per machine",
        "secrets": f"{dollars(prices.SECRET)} per secret of Secrets Manager; standard SSM parameters nothing",
        "log_retention_days": f"{dollars(prices.LOG_GB)} per GB written",
    }


def _alarms() -> str:
    """Say what alarms cost, of machines with a capacity provider and CPU credits."""
    web, worker = ((count + 1) * prices.ALARM for count in (prices.WEB_ALARMS, prices.WORKER_ALARMS))
    first = (prices.LOAD_BALANCER_ALARMS + prices.MACHINE_ALARMS + 2) * prices.ALARM + web
    return f"{dollars(first)} with one service, {dollars(web)} for a further one, {dollars(worker)} for a worker"


def page(config: Path = ROOT / "config") -> str:
    """Return the text of docs/settings.md, with the bills of the environments dev and prod of this configuration."""
    chapters = [INTRODUCTION, *(_chapter(section) for section in SECTIONS)]
    shown = [name for name in ("dev", "prod") if (config / name).is_dir()]
    bills = [_bill(environment, settings_of(environment, config)) for environment in shown]
    chapters += [_services(), _requirements(), *bills, _sources(), _chapter(SceptreSettings)]
    return "\n\n".join(chapters) + "\n"


INTRODUCTION = f"""# Settings

Every setting of `config/<environment>/config.yaml`. This page is written by `python -m tools.settings_page` from
`spotfleet/settings/`, which also checks each launch. A setting without a default has to be there; what each of the
two shipped environments says is in its file. Text arrives as it is written, whatever quotes, `${{…}}` or YAML it holds;
only `{{{{` and `{{%` are Jinja's, which takes them as text between `{{% raw %}}` and `{{% endraw %}}`.

Prices are list prices of eu-west-1 in US dollars per month of {prices.HOURS} hours, without tax and free tier, as they
were known on {prices.DATE}: [each one's source](#where-the-prices-are-from) is below, and some were
never looked up. Compare with {prices.PRICING_PAGES} before you rely on them. A setting without a price
costs nothing by itself."""


def dollars(amount: float, digits: int = 2) -> str:
    """Write an amount of money."""
    return f"{amount:.{digits}f} $"


def settings_of(environment: str, config: Path = ROOT / "config") -> Settings:
    """Return the settings of an environment, without Sceptre."""
    values: dict[str, Any] = {}
    for file in (config / "config.yaml", config / environment / "config.yaml"):
        text = jinja2.Template(file.read_text()).render(environment_variable={}, stack_group_path=environment)
        values |= yaml.safe_load(text)
    return Settings.model_validate(values)


def _chapter(section: type[Section]) -> str:
    title = (section.__doc__ or "").partition("\n")[0].rstrip(".")
    lines = [f"## {title}", "", "| setting | value | default | costs per month | what it is |", "|---|---|---|---|---|"]
    schema = section.model_json_schema()
    cost = costs()
    for name, field in section.model_fields.items():
        default = "" if field.is_required() else _yaml(field.get_default())
        value = _value(schema["properties"][name])
        lines.append(f"| `{name}` | {value} | {default} | {cost.get(name, '')} | {field.description} |")
    return "\n".join(lines)


def _value(schema: dict[str, Any]) -> str:
    """Say in words what a value may be."""
    schema = next((choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"), schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"boolean": "`true`, `false`", "string": "text", "array": "list", "object": "map", "number": "number"}
    if schema.get("type") != "integer":
        return kind.get(schema.get("type", "object"), "map")
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return "number"


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n")
    return f"`{text.strip()}`"


def _services() -> str:
    return f"""## Further services

`services`: {Settings.model_fields["services"].description}. Each needs a `listener_priority` of its own:

```yaml
services:
  api:
    path_pattern: /api/*
    listener_priority: 90
    max_tasks: 3
max_machines: 7
```

`config/<environment>/api.yaml` is a copy of `service.yaml` whose first line says `service = "api"`."""


def _requirements() -> str:
    return """## Instance types by attributes

```yaml
instance_types: []
instance_requirements: {min_vcpus: 2, max_vcpus: 4, min_memory_gib: 4, max_memory_gib: 8}
```"""


def _bill(environment: str, settings: Settings) -> str:
    lines = floor(settings, service_settings(settings).values())
    rows = [f"| {line.what} | {line.dollars:.2f} |" for line in [*lines, Line("**together**", total(lines))]]
    first = settings.instance_types[0]
    more = dollars(spot(first) + volume(settings))
    return "\n".join(
        [
            f"## What `{environment}` costs when nobody uses it",
            "",
            "| | $ per month |",
            "|---|---:|",
            *rows,
            "",
            *_surplus(settings),
            f"Each further Spot machine, {first} with its volume: {more}. Traffic, logs, custom metrics and the load "
            f"balancer's capacity units ({dollars(prices.CAPACITY_UNIT_HOUR, 3)} per hour) come on top.",
        ]
    )


def _surplus(settings: Settings) -> list[str]:
    """Say what CPU credits add to an environment's bill, idle and at worst."""
    first = settings.instance_types[0]
    if settings.cpu_credits != "unlimited" or not instance_types.is_burstable(first):
        return []
    most = prices.most_surplus(first)
    words = (
        f"Surplus CPU credits (`cpu_credits: unlimited`) add nothing to it: idle machines stay below their baseline, "
        f"{instance_types.baseline_percent(first)} % of each vCPU of a {first}, and earn back what their start used. "
        "A machine that ends before it has is billed for that: two vCPUs for a minute are "
        f"{dollars(2 / 60 * instance_types.surplus_dollars(first), 4)}. "
        f"At worst, with every vCPU busy all month, they add {dollars(most)} for each {first}"
    )
    if settings.egress == "nat_instance":
        nat = settings.nat_instance_type
        words += f", and {dollars(prices.most_surplus(nat))} for the NAT instance"
    return [f"{words}. `cpu_credits: standard` bills none and slows down instead.", ""]


def _sources() -> str:
    rows = [f"| {one.what} | {one.dollars:g} per {one.unit} | {one.source} |" for one in prices.SOURCES]
    return "\n".join(
        [
            "## Where the prices are from",
            "",
            "| | $ | source |",
            "|---|---|---|",
            *rows,
            "",
            f"Spot machines: {prices.SPOT_DISCOUNT:.0%} less, as the Spot Instance Advisor had it in July 2025.",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
