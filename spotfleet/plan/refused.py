"""Which changes a launch refuses, each with the safe way: what the hook !safe_changes says, of two configurations."""

from collections.abc import Iterable

from spotfleet.plan.changes import Change
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.configurations import Configuration
from spotfleet.settings.environment import Settings, service_settings
from spotfleet.stacks import living_changes, replacements
from spotfleet.stacks.living_changes import FIRST_SERVICE, Deployed
from spotfleet.stacks.replacements import Replacement


def as_deployed(settings: Settings) -> Deployed:
    """Return what the environment would be with these settings; which images the repository has is left open."""
    zones = settings.used_zones or settings.availability_zones
    has_https = bool(settings.certificate_arn or settings.hosted_zone_id)
    return Deployed(
        vpc_cidr=settings.vpc_cidr,
        subnet_host_bits=settings.subnet_host_bits,
        availability_zones=settings.availability_zones,
        ipv6=settings.ipv6,
        load_balancer_scheme=settings.load_balancer_scheme,
        used_zones={"load-balancer": zones, "machines": zones},
        has_https=has_https,
        answers_https=has_https and not settings.leave_https,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        cpu_architecture=settings.cpu_architecture,
        listener_priorities={
            name or FIRST_SERVICE: service.listener_priority for name, service in service_settings(settings).items()
        },
    )


def refusals(
    before: Configuration, after: Configuration, changes: Iterable[Change], deployed: Deployed | None = None
) -> list[str]:
    """Return why a launch is refused, in one line each; `deployed` is what AWS tells, where it was asked."""
    is_now = deployed or (as_deployed(before.settings) if before.settings else None)
    if after.settings is None or is_now is None:
        return []
    found = list(living_changes.refusals(is_now, after.settings, after.environment))
    replaced = [
        Replacement(one.layer, one.resource, one.kind, what.path, what.before, what.after)
        for one in changes
        if one.does is Does.REPLACED
        for what in one.properties[:1]
        # A reference to what is replaced, in its stack or another, is no cause: the hook names the other one.
        if what.before != what.after and not what.after.endswith("(new)")
    ]
    spoken = [text.split()[0] for text in found]
    return found + list(replacements.refusals(replaced, spoken, living_changes.elsewhere(after.environment)))


def remarks(before: Configuration, after: Configuration, deployed: Deployed | None = None) -> list[str]:
    """Return what people may notice of a launch that nothing is wrong with."""
    is_now = deployed or (as_deployed(before.settings) if before.settings else None)
    if after.settings is None or is_now is None:
        return []
    return list(living_changes.remarks(is_now, after.settings))
