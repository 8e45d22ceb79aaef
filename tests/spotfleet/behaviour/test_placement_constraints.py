"""Which machines a memberOf constraint lets in: the worked example of rule E19."""

import pytest

from spotfleet.behaviour.placement_constraints import UnknownExpressionError, is_member

MICRO = {"ecs.instance-type": "t3.micro", "ecs.availability-zone": "eu-west-1a", "stack": "web"}


@pytest.mark.parametrize(
    ("expression", "member"),
    [
        ("attribute:ecs.instance-type == t3.small", False),
        ("attribute:ecs.instance-type == t3.micro", True),
        ("attribute:ecs.instance-type != t3.small", True),
        ("attribute:ecs.instance-type =~ t3.*", True),
        ("attribute:ecs.instance-type !~ t3.*", False),
        ("attribute:ecs.availability-zone in [eu-west-1a, eu-west-1b]", True),
        ("attribute:ecs.availability-zone not_in [eu-west-1a]", False),
        ("attribute:ecs.availability-zone !in [eu-west-1b]", True),
        ("attribute:stack exists and not(attribute:ecs.instance-type == t3.micro)", False),
        ("attribute:gpu exists or attribute:stack == web", True),
        ("attribute:gpu !exists && (attribute:stack == api || attribute:stack == web)", True),
        ("attribute:gpu == a10g", False),
    ],
)
def test_attributes_are_compared(expression: str, member: bool) -> None:
    assert is_member(expression, MICRO) is member


@pytest.mark.parametrize(
    "expression",
    [
        *("", "agentVersion >= 1.50", "attribute:stack", "attribute:stack like web", "attribute:stack in web"),
        *("(attribute:stack == web", "attribute:stack == web web"),
    ],
)
def test_what_is_not_understood_is_named(expression: str) -> None:
    with pytest.raises(UnknownExpressionError, match="constraint"):
        is_member(expression, MICRO)
