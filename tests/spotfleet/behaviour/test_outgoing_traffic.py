"""What security groups and routes let out (rule N1)."""

from typing import Any

import pytest

from spotfleet.behaviour.outgoing_traffic import Passage, passages


def permission(protocol: str, *ports: int, to: str = "0.0.0.0/0") -> dict[str, Any]:
    """Return a rule as DescribeSecurityGroups tells it."""
    limits = dict(zip(("FromPort", "ToPort"), ports, strict=False))
    return {"IpProtocol": protocol, **limits, "IpRanges": [{"CidrIp": to}], "Ipv6Ranges": [], "UserIdGroupPairs": []}


def test_a_port_is_let_out_to_the_network_of_its_rule() -> None:
    found = passages(
        [permission("tcp", 443, 443), permission("udp", 5000, 5999, to="203.0.113.0/24")], has_way_out=True
    )
    assert found == [Passage(6, 443, 443, "0.0.0.0/0"), Passage(17, 5000, 5999, "203.0.113.0/24")]


def test_rules_of_several_groups_add_up_and_each_counts_once() -> None:
    found = passages(
        [permission("tcp", 443, 443), permission("6", 443, 443), permission("tcp", 25, 25)], has_way_out=True
    )
    assert found == [Passage(6, 25, 25, "0.0.0.0/0"), Passage(6, 443, 443, "0.0.0.0/0")]


@pytest.mark.parametrize(
    ("rule", "passage"),
    [
        (permission("-1"), Passage(0, 0, 0, "0.0.0.0/0")),
        (permission("tcp", 0, 65535), Passage(6, 0, 0, "0.0.0.0/0")),
        (permission("tcp", -1, -1), Passage(6, 0, 0, "0.0.0.0/0")),
        (permission("icmp", -1, -1), Passage(1, 0, 0, "0.0.0.0/0")),
        (permission("50"), Passage(50, 0, 0, "0.0.0.0/0")),
        (permission("icmpv6", -1, -1), Passage(58, 0, 0, "0.0.0.0/0")),
        (permission("tcp", 0, 443), Passage(6, 1, 443, "0.0.0.0/0")),
        (permission("udp", 65535, 65535), Passage(17, 65535, 65535, "0.0.0.0/0")),
        # EC2 keeps the network that an address is in.
        (permission("tcp", 443, 443, to="203.0.113.7/24"), Passage(6, 443, 443, "203.0.113.0/24")),
    ],
)
def test_ports_protocols_and_networks(rule: dict[str, Any], passage: Passage) -> None:
    assert passages([rule], has_way_out=True) == [passage]


def test_a_type_of_icmp_a_group_and_ipv6_let_nothing_out() -> None:
    six = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    group = {"IpProtocol": "-1", "IpRanges": [], "UserIdGroupPairs": [{"GroupId": "sg-0a1b2c3d"}]}
    assert passages([permission("icmp", 8, -1), six, group], has_way_out=True) == []


def test_port_0_alone_lets_nothing_out() -> None:
    assert passages([permission("tcp", 0, 0)], has_way_out=True) == []


def test_without_a_default_route_nothing_leaves() -> None:
    assert passages([permission("-1")], has_way_out=False) == []
