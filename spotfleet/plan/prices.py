"""List prices of eu-west-1 in US dollars, and what an environment costs each month when nothing happens in it.

Without tax, free tier, traffic and everything else that is paid by use.
"""

from collections.abc import Collection
from dataclasses import dataclass

from spotfleet.behaviour.fleet_mix import Distribution
from spotfleet.facts import instance_types
from spotfleet.settings.environment import Settings
from spotfleet.settings.service import ServiceSettings

DATE = "2026-11-23"
PRICING_PAGES = "https://aws.amazon.com/pricing/"
HOURS = 730  # of a month

# Per hour.
MACHINE = {
    "t3.micro": 0.0114,
    "t3a.micro": 0.0102,
    "t3.small": 0.0228,
    "t4g.nano": 0.0046,
    "t4g.micro": 0.0092,
}
SPOT_DISCOUNT = 0.55  # of these types, as the Spot Instance Advisor had it in July 2025
LOAD_BALANCER = 0.0252
NAT_GATEWAY = 0.048
INTERFACE_ENDPOINT = 0.011  # in each zone
PUBLIC_ADDRESS = 0.005
# Per month.
VOLUME_GIB = 0.088
ALARM = 0.10
DASHBOARD = 3.00
FIREWALL = 5.00
FIREWALL_RULE = 1.00
METRIC = 0.30
SECRET = 0.40
KEY = 1.00
# By use.
NAT_GATEWAY_GB = 0.048
ENDPOINT_GB = 0.01
LOG_GB = 0.57
INFREQUENT_LOG_GB = 0.285
BUCKET_GB = 0.023
CAPACITY_UNIT_HOUR = 0.008
FIREWALL_MILLION = 0.60

UNCHECKED = "from memory, to be checked"


@dataclass(frozen=True)
class Source:
    """Where a price is from, and of which date."""

    what: str
    dollars: float
    unit: str
    source: str


SOURCES = [
    *(
        Source(f"machine {name}", MACHINE[name], "hour", source)
        for name, source in {
            "t3.micro": "test data in the AWS Price List's format, September 2026",
            "t3a.micro": "table of a third party, not dated",
            "t3.small": "table of a third party, not dated",
            "t4g.nano": "half of t4g.micro's",
            "t4g.micro": "a quarter of t4g.medium's, not dated",
        }.items()
    ),
    *(
        Source(f"CPU above the baseline of {family}, unlimited", dollars, "vCPU and hour", "AWS's price page of EC2")
        for family, dollars in instance_types.SURPLUS_VCPU_HOUR.items()
    ),
    Source("load balancer", LOAD_BALANCER, "hour", "bill, May 2026"),
    Source("capacity unit of it", CAPACITY_UNIT_HOUR, "hour", "test data, not dated; uncertain"),
    Source("NAT gateway", NAT_GATEWAY, "hour", "extract of the AWS Price List, 2026-09-25"),
    Source("traffic through it", NAT_GATEWAY_GB, "GB", "extract of the AWS Price List, 2026-09-25"),
    Source("interface endpoint, in each zone", INTERFACE_ENDPOINT, "hour", "derived from bills, not dated"),
    Source("traffic through it", ENDPOINT_GB, "GB", "copy of AWS's PrivateLink pricing page, not dated"),
    Source("public IPv4 address", PUBLIC_ADDRESS, "hour", "AWS Pricing API, July 2026"),
    Source("gp3 volume", VOLUME_GIB, "GiB and month", "estimate, not dated; uncertain"),
    Source("alarm", ALARM, "month", UNCHECKED),
    Source("dashboard", DASHBOARD, "month", UNCHECKED),
    Source("custom metric", METRIC, "month", UNCHECKED),
    Source("firewall", FIREWALL, "month", UNCHECKED),
    Source("rule of it", FIREWALL_RULE, "month", UNCHECKED),
    Source("requests that it looks at", FIREWALL_MILLION, "million", UNCHECKED),
    Source("secret of Secrets Manager", SECRET, "month", UNCHECKED),
    Source("KMS key", KEY, "month", UNCHECKED),
    Source("log entries written", LOG_GB, "GB", UNCHECKED),
    Source("log entries written, infrequent access", INFREQUENT_LOG_GB, "GB", "half of the above"),
    Source("objects in a bucket", BUCKET_GB, "GB and month", UNCHECKED),
]

# How many of each the templates have; a test counts them.
ENDPOINTS = 10
FIREWALL_RULES = 3
LOAD_BALANCER_ALARMS = 2  # and one of a certificate that Certificate Manager renews
MACHINE_ALARMS = 2  # and one each of the capacity provider and of CPU credits
WEB_ALARMS, WORKER_ALARMS = 5, 2  # and one of no running task, unless the service may be at zero
NAT_INSTANCE_ALARMS = 2
NAT_INSTANCE_GIB = 8
DETAILED_METRICS = 7  # of a machine


@dataclass(frozen=True)
class Line:
    """One line of a monthly bill, in US dollars."""

    what: str
    dollars: float


def egress(way: str, zones: int, nat_instance_type: str = "t4g.nano") -> list[Line]:
    """Return what a way out of the private subnets costs without traffic."""
    if way == "nat_instance":
        return [
            Line(f"NAT instance, {nat_instance_type}", MACHINE[nat_instance_type] * HOURS),
            Line("its public address", PUBLIC_ADDRESS * HOURS),
            Line(f"its volume, {NAT_INSTANCE_GIB} GiB", NAT_INSTANCE_GIB * VOLUME_GIB),
            Line(f"its {NAT_INSTANCE_ALARMS} alarms", NAT_INSTANCE_ALARMS * ALARM),
        ]
    if way == "endpoints":
        return [Line(f"{ENDPOINTS} endpoints in {zones} zones", ENDPOINTS * zones * INTERFACE_ENDPOINT * HOURS)]
    gateways = zones if way == "nat_gateway_per_zone" else 1
    return [
        Line(f"NAT gateways: {gateways}", gateways * NAT_GATEWAY * HOURS),
        Line("their public addresses", gateways * PUBLIC_ADDRESS * HOURS),
    ]


def alarms(settings: Settings, services: Collection[ServiceSettings]) -> int:
    """Return how many alarms the load balancer, the machines and these services have."""
    renewed = bool(settings.hosted_zone_id and not settings.certificate_arn)
    credited = bool(settings.instance_types and settings.instance_types[0].startswith("t"))
    count = LOAD_BALANCER_ALARMS + renewed
    count += MACHINE_ALARMS + (settings.machine_scaling != "cpu") + credited
    return count + sum(map(service_alarms, services))


def service_alarms(service: ServiceSettings) -> int:
    """Return how many alarms a service has."""
    at_zero = 0 in (service.min_tasks, *(change.min_tasks for change in service.scheduled_scaling))
    return (WEB_ALARMS if service.kind == "web" else WORKER_ALARMS) + (not at_zero)


def floor(settings: Settings, services: Collection[ServiceSettings]) -> list[Line]:
    """Return what an environment costs when nobody uses it: its fewest machines, and all that is paid by the hour."""
    return bill(settings, settings.min_machines, services)


def bill(settings: Settings, machines: int, services: Collection[ServiceSettings]) -> list[Line]:
    """Return what an environment costs with so many machines all month: theirs, and all that is paid by the hour."""
    shares = Distribution(settings.on_demand_base, settings.on_demand_percent_above_base)
    on_demand = shares.on_demand(machines)
    first = settings.instance_types[0]
    lines = [
        Line("load balancer", LOAD_BALANCER * HOURS),
        *egress(settings.egress, settings.availability_zones, settings.nat_instance_type),
        Line(f"on-demand machines: {on_demand} {first}", on_demand * MACHINE[first] * HOURS),
        Line(f"Spot machines: {machines - on_demand} {first}", (machines - on_demand) * spot(first)),
        Line(f"volumes of the machines, {settings.root_volume_gib} GiB each", machines * volume(settings)),
    ]
    if settings.load_balancer_scheme == "internet-facing":
        zones = settings.availability_zones
        lines.insert(1, Line(f"its {zones} public addresses", zones * PUBLIC_ADDRESS * HOURS))
    if settings.detailed_monitoring:
        lines.append(Line("detailed monitoring of the machines", machines * DETAILED_METRICS * METRIC))
    if settings.web_application_firewall:
        lines.append(Line(f"firewall with {FIREWALL_RULES} rules", FIREWALL + FIREWALL_RULES * FIREWALL_RULE))
    if settings.alarms:
        count = alarms(settings, services)
        lines.append(Line(f"{count} alarms", count * ALARM))
    if settings.dashboard:
        count = len(services)
        lines.append(Line("dashboard" if count == 1 else f"{count} dashboards", count * DASHBOARD))
    return [line for line in lines if line.dollars]


def spot(instance_type: str) -> float:
    """Return what a Spot machine costs per month."""
    return MACHINE[instance_type] * (1 - SPOT_DISCOUNT) * HOURS


def volume(settings: Settings) -> float:
    """Return what a machine's root volume costs per month."""
    return settings.root_volume_gib * VOLUME_GIB


def most_surplus(instance_type: str) -> float:
    """Return what a machine with unlimited credits costs per month on top when all its vCPUs are busy all the time."""
    if not instance_types.is_burstable(instance_type):
        return 0
    vcpus = instance_types.cpu_units(instance_type) / instance_types.CPU_UNITS_PER_VCPU
    above = 1 - instance_types.baseline_percent(instance_type) / 100
    return vcpus * above * instance_types.surplus_dollars(instance_type) * HOURS


def total(lines: list[Line]) -> float:
    """Return the sum of a bill."""
    return sum(line.dollars for line in lines)
