"""The routers of tasks follow what EC2 says of groups and routes (rule N1)."""

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.behaviour.outgoing_traffic import NEVER_OUTSIDE
from spotfleet.local.api import clients, outgoing_rules
from spotfleet.local.host import task_networks
from spotfleet.local.host.task_networks import Rules
from tests.support.answers import Answer, answering

ANYWHERE = "0.0.0.0/0"
HTTPS = Rules([(6, 443, 443, ANYWHERE)], NEVER_OUTSIDE)
NOTHING = Rules([], NEVER_OUTSIDE)


class Ec2:
    """What EC2 answers of one machine in each of two subnets, whose table is their VPC's main one."""

    def __init__(self) -> None:
        self.ports = {"sg-1": [443]}
        self.state, self.tag = "running", "aws:autoscaling:groupName"
        self.ways_out = {"subnet-1": True, "subnet-2": True}

    def describe_instances(self, InstanceIds: Sequence[str] = ("i-1", "i-2")) -> Answer:  # noqa: N803  # as AWS has it
        machine: Answer = {"SecurityGroups": [{"GroupId": name} for name in self.ports], "VpcId": "vpc-1"}
        machine |= {"State": {"Name": self.state}, "Tags": [{"Key": self.tag, "Value": "machines"}]}
        machines = [{**machine, "InstanceId": name, "SubnetId": name.replace("i-", "subnet-")} for name in InstanceIds]
        return {"Reservations": [{"Instances": machines}]}

    def describe_security_groups(self, GroupIds: list[str]) -> Answer:  # noqa: N803  # as AWS has it
        if not set(GroupIds) <= self.ports.keys():
            raise ClientError({"Error": {"Code": "InvalidGroup.NotFound", "Message": ""}}, "DescribeSecurityGroups")
        return {"SecurityGroups": [{"IpPermissionsEgress": list(map(egress, self.ports[name]))} for name in GroupIds]}

    def missing(self, GroupIds: list[str]) -> Answer:  # noqa: N803  # as AWS has it
        raise ClientError(
            {"Error": {"Code": "InvalidGroup.NotFound", "Message": GroupIds[0]}}, "DescribeSecurityGroups"
        )

    def describe_subnets(self, Filters: list[dict[str, Any]]) -> Answer:  # noqa: N803  # as AWS has it
        assert Filters == [{"Name": "vpc-id", "Values": ["vpc-1"]}]
        return {"Subnets": [{"SubnetId": subnet} for subnet in self.ways_out]}

    def describe_route_tables(self, **_filters: object) -> Answer:
        tables = [
            {"Associations": [{"SubnetId": subnet, "Main": False}], "Routes": [route(leads)]}
            for subnet, leads in self.ways_out.items()
        ]
        return {"RouteTables": tables}


def egress(port: int) -> Answer:
    """Return a rule that lets a port out."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": ANYWHERE}]}


def route(leads: bool) -> Answer:
    """Return a default route, or one that another network has."""
    return {"DestinationCidrBlock": ANYWHERE if leads else "192.0.2.0/24", "State": "active", "NatGatewayId": "nat-1"}


class Networks:
    """What the engine would be told."""

    def __init__(self) -> None:
        self.rules: dict[str, Rules] = {}
        self.busy = False

    def ensure(self, name: str, rules: Rules) -> bool:
        self.rules[name] = rules
        return True

    def set_rules(self, name: str, rules: Rules) -> None:
        self.rules[name] = rules

    def remove(self, name: str) -> bool:
        if not self.busy:
            del self.rules[name]
        return not self.busy


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Ec2:
    answers = Ec2()
    client = answering("ec2", answers)
    monkeypatch.setattr(clients, "client", lambda *_arguments: client)
    monkeypatch.setattr(outgoing_rules, "_origins", {})
    return answers


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    made = Networks()
    for name in ("ensure", "set_rules", "remove"):
        monkeypatch.setattr(task_networks, name, getattr(made, name))
    return made


def join(number: int = 1) -> str | None:
    """Let a machine's task join its network."""
    return outgoing_rules.network_for("000000000000", "eu-west-1", f"i-{number}")


def test_a_task_joins_the_network_of_its_machines_groups(ec2: Ec2, networks: Networks) -> None:
    name = join()
    assert networks.rules == {name: HTTPS}
    assert join(2) == name
    ec2.ports["sg-2"] = [5432]
    other = join()
    assert other != name
    assert networks.rules[str(other)].allowed == [(6, 443, 443, ANYWHERE), (6, 5432, 5432, ANYWHERE)]


@pytest.mark.usefixtures("ec2")
def test_a_network_is_there_before_the_first_task(networks: Networks) -> None:
    outgoing_rules.prepare("eu-west-1")
    assert list(networks.rules.values()) == [HTTPS]
    assert networks.rules.keys() == {join()}


@pytest.mark.parametrize(("state", "tag"), [("terminated", "aws:autoscaling:groupName"), ("running", "Name")])
def test_machines_that_have_no_tasks_have_no_network(ec2: Ec2, networks: Networks, state: str, tag: str) -> None:
    ec2.state, ec2.tag = state, tag
    outgoing_rules.prepare("eu-west-1")
    assert networks.rules == {}


def test_running_tasks_follow_a_changed_group(ec2: Ec2, networks: Networks) -> None:
    name = join()
    ec2.ports["sg-1"] = [443, 6379]
    outgoing_rules.keep()
    assert networks.rules[str(name)].allowed == [(6, 443, 443, ANYWHERE), (6, 6379, 6379, ANYWHERE)]


def test_without_a_way_out_of_one_of_the_zones_nothing_leaves(ec2: Ec2, networks: Networks) -> None:
    name = join(1), join(2)
    ec2.ways_out["subnet-2"] = False
    outgoing_rules.keep()
    assert networks.rules == {name[0]: NOTHING}


def test_a_subnet_that_is_gone_cuts_no_task_off(ec2: Ec2, networks: Networks) -> None:
    name = join(1), join(2)
    del ec2.ways_out["subnet-2"]
    outgoing_rules.keep()
    assert networks.rules == {name[0]: HTTPS}
    ec2.ways_out.clear()
    outgoing_rules.keep()
    assert networks.rules == {name[0]: NOTHING}


def test_a_network_goes_with_its_groups_once_it_is_empty(ec2: Ec2, networks: Networks) -> None:
    join()
    ec2.ports.clear()
    networks.busy = True
    outgoing_rules.keep()
    assert list(networks.rules.values()) == [NOTHING]
    networks.busy = False
    outgoing_rules.keep()
    assert not networks.rules
    outgoing_rules.keep()


def test_a_group_that_nobody_knows_lets_nothing_out(ec2: Ec2, networks: Networks) -> None:
    ec2.describe_security_groups = ec2.missing  # type: ignore[method-assign]
    name = join()
    assert networks.rules == {name: NOTHING}


def test_where_the_engine_can_have_no_router_a_task_joins_none(
    ec2: Ec2, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_networks, "ensure", lambda *_arguments: False)
    assert join() is None
    assert (ec2.ports, networks.rules) == ({"sg-1": [443]}, {})
