"""How CloudFormation counts the signals of a new group's machines: the worked example of rule F6 and AWS's page."""

import pytest

from spotfleet.behaviour import template_text
from spotfleet.behaviour.resource_signals import CreationPolicy, creation_policy_in, is_created, needed

# As in the rule: two machines that boot for 75 s, and a time of 15 minutes.
TWO = CreationPolicy(count=2, timeout=900)


def test_a_group_is_created_when_its_machines_have_signalled() -> None:
    assert not is_created(TWO, {}, 74)
    assert not is_created(TWO, {"i-1": True}, 75)
    assert is_created(TWO, {"i-1": True, "i-2": True}, 76)


@pytest.mark.parametrize(
    ("signals", "waited", "told"),
    [
        ({}, 900, "0 SUCCESS signal(s) out of 2"),
        ({"i-1": True}, 900, "1 SUCCESS signal(s) out of 2"),
        ({"i-1": False}, 80, "1 FAILURE signal(s) out of 2"),
    ],
)
def test_without_them_in_time_it_fails(signals: dict[str, bool], waited: float, told: str) -> None:
    with pytest.raises(ValueError, match="Received") as failed:
        is_created(TWO, signals, waited)
    assert str(failed.value) == f"Received {told}. Unable to satisfy 100% MinSuccessfulInstancesPercent requirement"


def test_with_a_percentage_it_waits_for_all_and_takes_as_many() -> None:
    half = CreationPolicy(count=5, timeout=300, successful_percent=50)
    assert needed(5, 50) == 3
    assert needed(3, 33.3) == 1
    three = {"i-1": True, "i-2": True, "i-3": True}
    assert not is_created(half, three, 299)
    assert is_created(half, three, 300)
    assert is_created(half, three | {"i-4": False, "i-5": False}, 100)


TEMPLATE = """
Resources:
  Group:
    CreationPolicy:
      ResourceSignal: {Count: !Ref Machines, Timeout: PT1H30M}
      AutoScalingCreationPolicy: {MinSuccessfulInstancesPercent: 50}
  Bare:
    CreationPolicy: {ResourceSignal: {}}
  Percent:
    CreationPolicy: {AutoScalingCreationPolicy: {MinSuccessfulInstancesPercent: 50}}
  Wrong:
    CreationPolicy: {ResourceSignal: {Timeout: 5 minutes}}
  Other: {}
"""


def test_a_template_tells_how_many_and_how_long() -> None:
    template = template_text.read(TEMPLATE)
    assert creation_policy_in(template, "Group", {"Machines": "3"}) == CreationPolicy(3, 5400, 50)
    assert creation_policy_in(template, "Bare", {}) == CreationPolicy(1, 300)
    assert creation_policy_in(template, "Percent", {}) is None
    assert creation_policy_in(template, "Other", {}) is None
    with pytest.raises(ValueError, match="'5 minutes' is no duration such as PT5M"):
        creation_policy_in(template, "Wrong", {})
