"""The settings of the layer vpc."""

from typing import Literal

from pydantic import Field, field_validator

from spotfleet.facts import aws_names, instance_types
from spotfleet.settings import networks, shown
from spotfleet.settings.section import HTTPS_PORT, Port, Section, refuse, require

ANY_BUCKET = "*"


class NetworkSettings(Section):
    """The layer vpc."""

    vpc_cidr: str = Field(
        description="IPv4 network of the VPC, such as 10.0.0.0/16; private is best. AWS takes 100.64.0.0/10 and public "
        "ranges too: from inside, the internet's own hosts of such a range are out of reach, and which ranges can be "
        "added to the VPC by hand later depends on it "
        "(https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html)"
    )
    subnet_host_bits: int = Field(ge=5, le=13, description="each subnet has 2 to the power of this many addresses")
    availability_zones: int = Field(ge=2, le=3, description="number of zones")
    used_zones: int = Field(
        default=0,
        ge=0,
        le=3,
        description="zones that load balancer and machines use, the first ones; 0: all. To give up a zone, launch "
        "with fewer used_zones, and then with fewer availability_zones",
    )
    egress: Literal["nat_instance", "nat_gateway", "nat_gateway_per_zone", "endpoints"] = Field(
        description="way out of the private subnets: one small machine that recovers by itself, one NAT gateway, one "
        "per zone, or none but private endpoints of the AWS services that the machines need"
    )
    nat_instance_type: str = Field(
        default="t4g.nano", description="arm64 type of the machine, with egress nat_instance, such as t4g.nano"
    )
    ipv6: bool = Field(
        default=False,
        description="IPv6 addresses for load balancer and machines, which leave through an egress-only gateway, except "
        "with egress endpoints; containers keep to IPv4",
    )
    outgoing_ports: list[Port] = Field(
        default=[HTTPS_PORT],
        max_length=20,
        description="TCP ports outside of the VPC that machines and tasks may connect to, such as [443, 587]; 443 is "
        "needed for AWS itself. Within the VPC every TCP port is open",
    )
    flow_logs: Literal["disabled", "rejected", "all"] = Field(
        default="disabled", description="which connections in the VPC are logged, kept for log_retention_days"
    )
    foreign_buckets: list[str] = Field(
        default=[],
        max_length=50,
        description="buckets of other accounts, in the same region, that machines and tasks may reach beside the "
        'account\'s own, such as [partner-data]; ["*"]: any bucket',
    )

    @field_validator("foreign_buckets")
    @classmethod
    def _check_foreign_buckets(cls, names: list[str]) -> list[str]:
        for name in names:
            valid = name == ANY_BUCKET or aws_names.is_bucket(name)
            require(valid, f'must hold names of buckets such as partner-data, or be ["*"], not {shown.text(name)}')
        require(ANY_BUCKET not in names or len(names) == 1, 'must not name buckets beside "*", which is any')
        return names

    @field_validator("outgoing_ports")
    @classmethod
    def _check_outgoing_ports(cls, ports: list[int]) -> list[int]:
        require(HTTPS_PORT in ports, f"must hold {HTTPS_PORT}, by which machines reach AWS")
        require(len(set(ports)) == len(ports), "must not name a port twice")
        return ports

    @field_validator("vpc_cidr")
    @classmethod
    def _check_vpc_cidr(cls, cidr: str) -> str:
        refuse(networks.problem_of_vpc(cidr))
        return cidr

    @field_validator("nat_instance_type")
    @classmethod
    def _check_nat_instance_type(cls, name: str) -> str:
        known = instance_types.is_known(name) and instance_types.architecture(name) == "arm64"
        known = known and instance_types.exists(name)
        require(known, "must be an arm64 type such as t4g.nano")
        return name
