"""A load balancer with deletion protection stays, whoever deletes it; MiniStack keeps the attribute only.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
"""

from collections.abc import Callable

from ministack.services import alb

from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response

PROTECTED = {"Key": "deletion_protection.enabled", "Value": "true"}


def refusal_of(arn: str) -> str:
    """Return what AWS says to the deletion of a load balancer that is protected; nothing for any other resource."""
    is_protected = PROTECTED in (alb._lb_attrs.get(arn) or [])
    return f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled" if is_protected else ""


@extends(alb._ACTION_MAP, "DeleteLoadBalancer")
def refusing_what_is_protected(original: Callable[[Record], Response], parameters: Record) -> Response:
    """Delete a load balancer unless it is protected."""
    words = refusal_of(alb._p(parameters, "LoadBalancerArn"))
    return alb._error("OperationNotPermitted", words) if words else original(parameters)
