"""What the security groups of a machine let out, and what its routes lead anywhere (rule N1).

https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from spotfleet.behaviour.record import Record

ANYWHERE = "0.0.0.0/0"
# https://www.iana.org/assignments/protocol-numbers
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
ALL_PROTOCOLS = "-1"
ALL_PORTS = -1
WITH_PORTS = {6, 17}
HIGHEST_PORT = 65535
# No gateway to the internet carries packets to these: they are a VPC's, another network's, or a machine's own.
# https://www.iana.org/assignments/iana-ipv4-special-registry
NEVER_OUTSIDE = [
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("224.0.0.0/4", "240.0.0.0/4"),
]


@dataclass(frozen=True)
class Passage:
    """Packets that are let out: their IP protocol, their ports from and to, both 0 for any, and where they go."""

    protocol: int
    first_port: int
    last_port: int
    network: str


def passages(permissions: Iterable[Record], *, has_way_out: bool) -> list[Passage]:
    """Return what leaves a machine for the internet, by the egress rules of all its groups together.

    `permissions` are those of DescribeSecurityGroups. IPv6 is left out, which containers do not speak, and so are
    groups and prefix lists as destinations. Without a default route nothing leaves, whatever the groups say.
    """
    if not has_way_out:
        return []
    return sorted({found for permission in permissions for found in _passages(permission)}, key=_order)


def _passages(permission: Record) -> Iterator[Passage]:
    name = str(permission["IpProtocol"])
    protocol = 0 if name == ALL_PROTOCOLS else PROTOCOLS.get(name) or int(name)
    first, last = _ports(protocol, permission)
    if protocol == PROTOCOLS["icmp"] and permission.get("FromPort", ALL_PORTS) != ALL_PORTS:
        # One type of ICMP, which the filter cannot tell from another.
        return
    if protocol in WITH_PORTS and permission.get("ToPort") == 0:
        # Port 0 alone, at which nobody listens.
        return
    for item in permission.get("IpRanges", []):
        yield Passage(protocol, first, last, str(ip_network(item["CidrIp"], strict=False)))


def _ports(protocol: int, permission: Record) -> tuple[int, int]:
    first, last = permission.get("FromPort", ALL_PORTS), permission.get("ToPort", ALL_PORTS)
    if protocol not in WITH_PORTS or first == ALL_PORTS or (first <= 1 and last >= HIGHEST_PORT):
        return 0, 0
    return max(first, 1), last


def _order(passage: Passage) -> tuple[str, int, int, int]:
    return passage.network, passage.protocol, passage.first_port, passage.last_port
