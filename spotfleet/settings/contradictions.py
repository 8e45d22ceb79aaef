"""Which settings do not go together, and what would."""

from collections.abc import Iterator

from spotfleet.facts import aws_names, instance_types, regions
from spotfleet.settings import networks
from spotfleet.settings.environment import Settings, defaults, service_settings
from spotfleet.settings.section import HTTPS_PORT
from spotfleet.settings.service_contradictions import (
    contradictions_between_services,
    contradictions_of_a_service,
    contradictions_on_the_machines,
)


def contradictions(settings: Settings, has_first_service: bool) -> Iterator[tuple[str, str]]:
    """Yield each setting that does not go with another one, and what would."""
    yield from _contradictions_of_the_network(settings)
    yield from _contradictions_of_the_load_balancer(settings)
    yield from _contradictions_of_the_machines(settings)
    services = service_settings(settings)
    for name, service in services.items():
        prefix = f"services.{name}." if name else ""
        own = settings.services[name] if name else {}
        for key, should in contradictions_of_a_service(settings, service, own):
            # A further service is only to blame for what it says itself.
            if not name or key in own:
                yield f"{prefix}{key}", should
    yield from contradictions_between_services(settings, services)
    running = {name: service for name, service in services.items() if name or has_first_service}
    yield from contradictions_on_the_machines(settings, running)


def _contradictions_of_the_network(settings: Settings) -> Iterator[tuple[str, str]]:
    subnets = networks.Subnets(
        settings.subnet_host_bits,
        settings.availability_zones,
        has_endpoints=settings.egress == "endpoints",
        has_load_balancer=settings.load_balancer_scheme == "internal",
    )
    if settings.used_zones == 1 or settings.used_zones > settings.availability_zones:
        yield (
            "used_zones",
            f"must be 0, for all, or from 2, as a load balancer needs two, to availability_zones "
            f"({settings.availability_zones})",
        )
    if settings.egress == "endpoints" and settings.outgoing_ports != [HTTPS_PORT]:
        yield "outgoing_ports", f"must be [{HTTPS_PORT}] with egress endpoints, which lead nowhere else"
    yield from networks.problems_of_subnets(settings.vpc_cidr, subnets, settings.max_machines)


def _contradictions_of_the_load_balancer(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _settings_of_the_load_balancer_without_use(settings)
    if settings.hosted_zone_id and not settings.domain_name:
        yield "domain_name", "must be given with hosted_zone_id, which gets its records"
    if settings.domain_name and not (settings.hosted_zone_id or settings.certificate_arn):
        yield "domain_name", "needs hosted_zone_id, or certificate_arn where the domain's records are not in Route 53"
    if aws_names.foreign_arns([settings.certificate_arn], regions.partition(settings.region)):
        yield "certificate_arn", f"must be in the partition {regions.partition(settings.region)} of {settings.region}"
    elif settings.certificate_arn and settings.certificate_arn.split(":")[3] != settings.region:
        yield "certificate_arn", f"must be a certificate in {settings.region}, the load balancer's region"
    requested = settings.domain_name and not settings.certificate_arn
    if requested and len(settings.domain_name) > aws_names.LONGEST_CERTIFIED_DOMAIN:
        yield (
            "domain_name",
            f"must have at most {aws_names.LONGEST_CERTIFIED_DOMAIN} characters without certificate_arn",
        )
    partition = regions.partition(settings.region)
    own = ("permissions_boundary_arn", "log_kms_key_arn")
    foreign = [key for key in own if aws_names.foreign_arns([getattr(settings, key)], partition)]
    if aws_names.foreign_arns(settings.machine_policy_arns, partition):
        foreign.append("machine_policy_arns")
    for key in foreign:
        yield key, f"must be in the partition {partition} of {settings.region}"
    is_elsewhere = settings.log_kms_key_arn and settings.log_kms_key_arn.split(":")[3] != settings.region
    if is_elsewhere and "log_kms_key_arn" not in foreign:
        yield "log_kms_key_arn", f"must be a key in {settings.region}, the region of the log groups"


def _settings_of_the_load_balancer_without_use(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.leave_https and not (settings.hosted_zone_id or settings.certificate_arn):
        yield "leave_https", "is not used without HTTPS, which certificate_arn or hosted_zone_id bring"
    if settings.access_logs_bucket and not settings.access_logs:
        yield "access_logs_bucket", "is not used while access_logs is false"
    changed = settings.counted_firewall_rules != defaults()["counted_firewall_rules"]
    if changed and not settings.web_application_firewall:
        yield "counted_firewall_rules", "is not used while web_application_firewall is false"
    if settings.web_application_firewall_logging != "disabled" and not settings.web_application_firewall:
        yield "web_application_firewall_logging", "is not used while web_application_firewall is false"
    if settings.alarm_email and not settings.alarms:
        yield "alarm_email", "is not used while alarms is false"


def _contradictions_of_the_machines(settings: Settings) -> Iterator[tuple[str, str]]:
    wanted = settings.instance_requirements
    if bool(settings.instance_types) == bool(wanted):
        yield "instance_types", "must name at least one type, or none with instance_requirements"
    if wanted and (wanted.max_vcpus < wanted.min_vcpus or wanted.max_memory_gib < wanted.min_memory_gib):
        yield "instance_requirements", "must not have a maximum below its minimum"

    foreign = [n for n in settings.instance_types if instance_types.architecture(n) != settings.cpu_architecture]
    if foreign:
        yield "instance_types", f"must be of cpu_architecture {settings.cpu_architecture}, not {', '.join(foreign)}"

    types = {"instance_types": settings.instance_types}
    if settings.egress == "nat_instance":
        types["nat_instance_type"] = [settings.nat_instance_type]
    for key, names in types.items():
        if missing := instance_types.missing_in(settings.region, names):
            yield (
                key,
                f"must be of types that EC2 has in {settings.region}; of {', '.join(missing)} it has none there, as "
                f"{instance_types.data_of_regions()} has it",
            )

    if settings.max_machines <= settings.min_machines:
        yield "max_machines", f"must be more than min_machines ({settings.min_machines}), to replace one by a new one"
