"""What EC2 says that machines' traffic may leave by, security groups and routes, kept by the routers of the tasks."""

import hashlib
import threading
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from spotfleet.behaviour.outgoing_traffic import ANYWHERE, NEVER_OUTSIDE, passages
from spotfleet.local.api import clients
from spotfleet.local.api.clients import Client, pages
from spotfleet.local.backchannel.scaling_activities import DEFAULT_ACCOUNT
from spotfleet.local.host import task_networks
from spotfleet.local.host.task_networks import Rules

# Without a group there is no rule that lets anything out.
NOTHING = Rules([], list(NEVER_OUTSIDE))
ALIVE = ("pending", "running")
# Machines of a fleet have it; a NAT instance has none.
GROUP_TAG = "aws:autoscaling:groupName"
NOT_FOUND = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound")


@dataclass(frozen=True)
class Origin:
    """Where traffic comes from: the machines of an account and region with the same groups, and their subnets."""

    account: str
    region: str
    groups: tuple[str, ...]
    vpc: str
    subnets: frozenset[str]

    @property
    def network(self) -> str:
        """The name of the network of these machines' tasks, whatever their subnets."""
        alike = (self.account, self.region, self.groups)
        return task_networks.name_of(hashlib.sha256(repr(alike).encode()).hexdigest()[:8])


_origins: dict[str, Origin] = {}
_lock = threading.Lock()


def network_for(account: str, region: str, instance_id: str) -> str | None:
    """Return the network that a machine's tasks join, with rules that hold; None where the engine can have none."""
    origin = _with_known_subnets(_origin(account, region, instance_id))
    return origin.network if task_networks.ensure(origin.network, rules_of(origin) or NOTHING) else None


def prepare(region: str) -> None:
    """Make the networks of a region's fleet while its machines boot, so that no task waits for a router."""
    for reservation in pages(clients.client("ec2", region), "describe_instances", "Reservations"):
        for machine in reservation["Instances"]:
            if machine["State"]["Name"] in ALIVE and any(tag["Key"] == GROUP_TAG for tag in machine.get("Tags", [])):
                network_for(DEFAULT_ACCOUNT, region, machine["InstanceId"])


def keep() -> None:
    """Let every router follow what EC2 says now, and remove the networks whose security groups are gone."""
    with _lock:
        origins = list(_origins.values())
    for origin in origins:
        rules = rules_of(origin)
        task_networks.set_rules(origin.network, rules or NOTHING)
        if rules is None and task_networks.remove(origin.network):
            with _lock:
                _origins.pop(origin.network, None)


def _origin(account: str, region: str, instance_id: str) -> Origin:
    ec2 = clients.client("ec2", region, account)
    machine = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    groups = tuple(sorted(group["GroupId"] for group in machine["SecurityGroups"]))
    return Origin(account, region, groups, machine["VpcId"], frozenset([machine["SubnetId"]]))


def _with_known_subnets(origin: Origin) -> Origin:
    with _lock:
        known = _origins.get(origin.network, origin)
        _origins[origin.network] = replace(origin, subnets=origin.subnets | known.subnets)
        return _origins[origin.network]


def rules_of(origin: Origin) -> Rules | None:
    """Return what leaves for the internet from there, or None when its security groups are gone."""
    ec2 = clients.client("ec2", origin.region, origin.account)
    try:
        groups = ec2.describe_security_groups(GroupIds=list(origin.groups))["SecurityGroups"]
    except ClientError as error:
        if error.response["Error"]["Code"] in NOT_FOUND:
            return None
        raise
    permissions = [item for group in groups for item in group.get("IpPermissionsEgress", [])]
    # One network for all zones: where one of them has no way out, none has here. Those that are gone do not count.
    subnets = sorted(origin.subnets & _subnets(ec2, origin.vpc))
    has_way_out = bool(subnets) and all(_has_way_out(ec2, origin.vpc, subnet) for subnet in subnets)
    allowed = passages(permissions, has_way_out=has_way_out)
    found = [(item.protocol, item.first_port, item.last_port, item.network) for item in allowed]
    return Rules(found, list(NEVER_OUTSIDE))


def _subnets(ec2: Client, vpc: str) -> set[str]:
    found = pages(ec2, "describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    return {subnet["SubnetId"] for subnet in found}


def _has_way_out(ec2: Client, vpc: str, subnet: str) -> bool:
    """Return whether a subnet's route table, its own or else the VPC's main one, has a default route."""
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    own = [table for table in tables if any(item.get("SubnetId") == subnet for item in table["Associations"])]
    main = [table for table in tables if any(item.get("Main") for item in table["Associations"])]
    return any(
        route.get("DestinationCidrBlock") == ANYWHERE and route.get("State", "active") == "active"
        for table in [*own, *main][:1]
        for route in table.get("Routes", [])
    )
