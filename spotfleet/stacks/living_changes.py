"""Which changes of settings tear a living environment apart, and the safe way to each: decisions only.

A launch goes layer by layer, from the network up, so what a layer gives up must not be used by a later one any more.
What cannot change in place, CloudFormation replaces: a second VPC or load balancer beside the one in use
("Update requires: Replacement" in https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from spotfleet.settings.environment import Settings, service_settings

FIRST_SERVICE = "service"


@dataclass(frozen=True)
class Deployed:
    """What an environment is now, as far as CloudFormation tells; None is what it does not tell."""

    vpc_cidr: str | None = None
    subnet_host_bits: int | None = None
    availability_zones: int | None = None
    ipv6: bool | None = None
    load_balancer_scheme: str | None = None
    # Zones that load balancer and machines use, each by its layer.
    used_zones: dict[str, int] = field(default_factory=dict)
    # There is an HTTPS listener, and the services' rules are on it.
    has_https: bool | None = None
    answers_https: bool | None = None
    idle_timeout_seconds: int | None = None
    cpu_architecture: str | None = None
    listener_priorities: dict[str, int] = field(default_factory=dict)
    # By service: so many of its newest images the repository has to keep, so that the one that runs is among them.
    needed_images: dict[str, int] = field(default_factory=dict)
    # By layer: the id of the machine image that its machines start from.
    machine_images: dict[str, str] = field(default_factory=dict)


def elsewhere(environment: str) -> str:
    """Return the way to a change that an environment does not survive."""
    return (
        f"launch a second environment, a copy of config/{environment} with the new value, move over to it, and delete "
        f"{environment}"
    )


def refusals(deployed: Deployed, settings: Settings, environment: str) -> Iterator[str]:
    """Yield each change that must not be launched: setting, both values, what would happen, and the safe way."""
    way = elsewhere(environment)
    yield from _network(deployed, settings, way)
    yield from _zones(deployed, settings)
    scheme = deployed.load_balancer_scheme
    if scheme and scheme != settings.load_balancer_scheme:
        yield (
            f"load_balancer_scheme {scheme} -> {settings.load_balancer_scheme}: the load balancer would be replaced by "
            f"one with another name, and nothing answers until every service is updated; {way}"
        )
    yield from _https(deployed, settings)
    was, now = deployed.cpu_architecture, settings.cpu_architecture
    if was and was != now:
        yield (
            f"cpu_architecture {was} -> {now}: the machines would be replaced while the services' images are still for "
            f"{was}, which {now} machines cannot run; {way}, or delete the services, then machines.yaml, and "
            "launch"
        )
    yield from _priorities(deployed, settings)
    for service, needed in deployed.needed_images.items():
        if settings.kept_images < needed:
            yield (
                f"kept_images -> {settings.kept_images}: the image that {service} runs is no. {needed} from the "
                f"newest, so the repository would delete it, and no new machine could start it; keep {needed} or more, "
                f"or release {service} anew first"
            )


def _network(deployed: Deployed, settings: Settings, way: str) -> Iterator[str]:
    was, now = deployed.vpc_cidr, settings.vpc_cidr
    if was and was != now:
        yield (
            f"vpc_cidr {was} -> {now}: a VPC keeps its network, so a second one would be made, with load balancer and "
            f"machines left in the first; {way}"
        )
    bits, wanted = deployed.subnet_host_bits, settings.subnet_host_bits
    if bits and bits != wanted:
        yield (
            f"subnet_host_bits {bits} -> {wanted}: subnets keep their size, and new ones would overlap those in use; "
            f"{way}"
        )
    if deployed.ipv6 and not settings.ipv6:
        yield (
            "ipv6 true -> false: the subnets' IPv6 networks are in use by load balancer and machines, so they cannot "
            f"go; {way}"
        )


def _zones(deployed: Deployed, settings: Settings) -> Iterator[str]:
    was, now = deployed.availability_zones, settings.availability_zones
    if not was or now >= was:
        return
    using = {layer: zones for layer, zones in deployed.used_zones.items() if zones > now}
    if using:
        yield (
            f"availability_zones {was} -> {now}: the network would lose its subnets in {was - now} zones under "
            f"{' and '.join(sorted(using))}; first launch with availability_zones {was} and used_zones {now}, then "
            f"with availability_zones {now}"
        )


def _https(deployed: Deployed, settings: Settings) -> Iterator[str]:
    wanted = bool(settings.certificate_arn or settings.hosted_zone_id)
    if deployed.has_https and deployed.answers_https and not wanted:
        yield (
            "HTTPS on -> off (certificate_arn, hosted_zone_id): the listener with the services' rules would go, and "
            "HTTP answer 404 until each service is updated; first launch with HTTPS and leave_https true, then without "
            "both. Browsers that heard Strict-Transport-Security (hsts_max_age_days) go on asking by HTTPS"
        )
    if deployed.has_https is False and settings.leave_https and wanted:
        yield "leave_https false -> true: there is no HTTPS to leave; launch without leave_https"


def _priorities(deployed: Deployed, settings: Settings) -> Iterator[str]:
    services = {name or FIRST_SERVICE: own for name, own in service_settings(settings).items()}
    wanted = {name: own.listener_priority for name, own in services.items() if own.kind == "web"}
    holders = {priority: name for name, priority in deployed.listener_priorities.items()}
    taken = {*wanted.values(), *holders}
    free = (number for number in range(1, 50_001) if number not in taken)
    for name, priority in wanted.items():
        holder = holders.get(priority, name)
        if holder != name and holder in wanted:
            was = deployed.listener_priorities.get(name)
            yield (
                f"listener_priority of {name} {was or 'none'} -> {priority}: that is still the one of {holder}, and "
                f"the load balancer takes none twice, so a service fails and rolls back; first launch with "
                f"{next(free)} for {name}, which is free, then with {priority}"
            )


def remarks(deployed: Deployed, settings: Settings) -> Iterator[str]:
    """Yield what a launch will do that people may notice, and that nothing is wrong with."""
    was, now = deployed.idle_timeout_seconds, settings.idle_timeout_seconds
    if was and now > was:
        yield (
            f"idle_timeout_seconds {was} -> {now}: the load balancer is changed before the tasks, which close idle "
            f"connections after {was + 15} s, so until they are replaced a request can be answered with 502; to avoid "
            f'it launch with environment_variables {{KEEPALIVE_SECONDS: "{now + 15}"}} first'
        )
