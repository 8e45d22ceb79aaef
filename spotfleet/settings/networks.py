"""Which network a VPC may have, and what its subnets have room for."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from spotfleet.settings import shown

# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html: /16 to /28, private, shared (100.64.0.0/10) or
# publicly routable. A /24 is the smallest that six subnets of the size that load balancers need fit into.
LARGEST_PREFIX, SMALLEST_PREFIX = 16, 24
# Why no VPC of this project may have an address of these.
RESERVED = {
    "0.0.0.0/8": "stands for the network itself",
    "127.0.0.0/8": "is each machine's own",
    "169.254.0.0/16": "is link-local: a machine's metadata and a task's credentials are there",
    "172.17.0.0/16": "is Docker's own on each machine, which then would not find the load balancer",
    "224.0.0.0/4": "is for multicast",
    "240.0.0.0/4": "is reserved",
}
# Six subnets, as many as three zones have, need eight equal parts of the VPC's network.
SUBNET_SLOT_BITS = 3
# https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html: addresses of a subnet that AWS keeps.
KEPT_BY_AWS = 5
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html: a load balancer
# takes subnets of a /27 or larger, with so many free addresses.
LOAD_BALANCER_HOST_BITS = 5
LOAD_BALANCER_ADDRESSES = 8
# Services with an interface endpoint, and with it an address in each private subnet, see
# templates/parts/interface_endpoints.yaml.j2.
ENDPOINTS = 11


@dataclass(frozen=True)
class Subnets:
    """What the private subnets, one in each zone, are to hold."""

    host_bits: int
    zones: int
    has_endpoints: bool
    has_load_balancer: bool

    @property
    def machines(self) -> int:
        """Return how many machines fit into all of them when they are spread evenly."""
        taken = KEPT_BY_AWS + (ENDPOINTS if self.has_endpoints else 0)
        taken += LOAD_BALANCER_ADDRESSES if self.has_load_balancer else 0
        return self.zones * max(0, (1 << self.host_bits) - taken)


def problem_of_vpc(cidr: str) -> str | None:
    """Say what is wrong with the network of a VPC, or None."""
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        return f"must be an IPv4 network such as 10.0.0.0/16; {error}"
    if str(network) != cidr:
        return f"must be written as {network}"
    if not LARGEST_PREFIX <= network.prefixlen <= SMALLEST_PREFIX:
        return f"must have a prefix from /{LARGEST_PREFIX} to /{SMALLEST_PREFIX}"
    for reserved, reason in RESERVED.items():
        if network.overlaps(IPv4Network(reserved)):
            return f"must be outside {reserved}, which {reason}"
    return None


def problems_of_subnets(vpc: str, subnets: Subnets, machines: int) -> Iterator[tuple[str, str]]:
    """Yield the setting of the network that is wrong, and what would be right, so that all of it has an address."""
    prefix = IPv4Network(vpc).prefixlen
    most_bits = 32 - prefix - SUBNET_SLOT_BITS
    if subnets.host_bits > most_bits:
        yield "subnet_host_bits", f"must be at most {most_bits}, so that six subnets fit a /{prefix} network"
    elif subnets.machines < machines:
        yield (
            "subnet_host_bits",
            f"must be more: the private subnets have room for {subnets.machines} machines and not for max_machines "
            f"({machines}), as AWS keeps {KEPT_BY_AWS} addresses of each, an internal load balancer takes "
            f"{LOAD_BALANCER_ADDRESSES} and egress endpoints {ENDPOINTS}",
        )


def problem_of_sources(texts: list[str]) -> str | None:
    """Say what is wrong with a list of networks whose requests a security group lets in, or None."""
    seen = set()
    for text in texts:
        network = _network(text)
        if network is None:
            return f"must hold networks such as 203.0.113.0/24, not {shown.text(text)}"
        if network in seen:
            return f"must not name a network twice, as {text}"
        seen.add(network)
    return None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network that a text in CIDR notation stands for, or None."""
    try:
        network = ip_network(text)
    except ValueError:
        return None
    # What else Python takes: an address alone, a netmask in place of the prefix, and a zone of this machine.
    return network if text.endswith(f"/{network.prefixlen}") and "%" not in text else None
