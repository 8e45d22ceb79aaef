"""Route 53: the zone that a template names is there."""

from collections.abc import Callable

from ministack.services import (
    route53,
)
from ministack.services.cloudformation import provisioners

from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record
from spotfleet.local.emulator.resource_types.base import Resource


@extends(provisioners._RESOURCE_HANDLERS["AWS::Route53::RecordSet"], "create")
def with_hosted_zone(
    original: Callable[..., Resource], logical_id: str, properties: Record, stack_name: str
) -> Resource:
    """Make the zone that a record names: the user has it on AWS, and here nobody could make one with the same id."""
    zone_id = properties["HostedZoneId"]
    name = route53._normalise_name(properties["Name"]).partition(".")[2]
    with route53._lock:
        if zone_id not in route53._zones:
            zone = {"id": zone_id, "name": name, "caller_reference": zone_id}
            route53._zones[zone_id] = zone | {"comment": "", "private": False, "vpcs": []}
            route53._records[zone_id] = route53._default_records(name)
    return original(logical_id, properties, stack_name)
