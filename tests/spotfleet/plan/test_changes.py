"""What a launch does to each resource, on the shipped templates with changed settings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from spotfleet.plan import changes, notices
from spotfleet.plan.changes import Change
from spotfleet.plan.conditional_properties import CONDITIONAL, Does
from spotfleet.plan.configurations import StackVersion, nothing
from tests.support.planned import configuration
from tools import create_only_properties


def changed(*, before: dict[str, Any] | None = None, **settings: Any) -> dict[str, Change]:  # noqa: ANN401
    """Return what changes of dev with other settings, by `<layer>.<resource>`."""
    stacks = changes.between(configuration(**(before or {})), configuration(**settings))
    return {f"{stack.layer}.{one.resource}": one for stack in stacks for one in stack.changed}


def test_nothing_changes_without_a_change() -> None:
    stacks = changes.between(configuration(), configuration())
    assert {stack.does for stack in stacks} == {Does.KEPT}


def test_a_first_launch_creates_all_in_the_order_of_the_outputs() -> None:
    stacks = changes.between(nothing("dev"), configuration())
    assert {one.does for stack in stacks for one in stack.resources} == {Does.CREATED}
    order = [stack.layer for stack in stacks]
    assert sorted(order) == ["cluster", "load-balancer", "machines", "service", "vpc"]
    assert order.index("vpc") < order.index("load-balancer") < order.index("service")
    assert order[-1] == "service"


def test_a_larger_volume_rolls_the_machines_through_the_launch_template() -> None:
    found = changed(root_volume_gib=40)
    assert {name: one.does for name, one in found.items()} == {
        "machines.LaunchTemplate": Does.UPDATED,
        "machines.AutoScalingGroup": Does.ROLLED,
    }
    assert notices.of(found["machines.AutoScalingGroup"]).how == notices.MACHINES


def test_more_machines_roll_none() -> None:
    found = changed(max_machines=6)
    assert [(name, one.does) for name, one in found.items()] == [("machines.AutoScalingGroup", Does.UPDATED)]
    assert found["machines.AutoScalingGroup"].properties[0] == changes.Difference("MaxSize", "4", "6")


def test_a_task_s_memory_makes_a_revision_that_the_service_takes_in_place() -> None:
    found = changed(task_memory_mib=200)
    assert {name: one.does for name, one in found.items()} == {
        "service.TaskDefinition": Does.REPLACED,
        "service.Service": Does.UPDATED,
    }


def test_another_network_replaces_what_stands_in_it_in_every_stack() -> None:
    found = changed(vpc_cidr="10.9.0.0/16")
    replaced = {name for name, one in found.items() if one.does is Does.REPLACED}
    assert {"vpc.Vpc", "vpc.PublicSubnet1", "load-balancer.SecurityGroup", "service.TargetGroup"} <= replaced
    # It has the same name and listens on: only its subnets are other ones.
    assert found["load-balancer.LoadBalancer"].does is Does.UPDATED
    assert found["machines.AutoScalingGroup"].does is Does.ROLLED


def test_another_zone_reaches_load_balancer_and_machines_through_the_outputs() -> None:
    found = changed(availability_zones=3, max_machines=4)
    assert found["machines.AutoScalingGroup"].properties[0].path == "VPCZoneIdentifier"
    assert found["load-balancer.LoadBalancer"].properties[0].path == "Subnets"


def test_another_type_of_nat_instance_stops_and_starts_it() -> None:
    found = changed(nat_instance_type="t4g.micro")
    assert found["vpc.NatInstance"].does is Does.INTERRUPTED
    assert notices.of(found["vpc.NatInstance"]).seconds == notices.NAT_SECONDS


def test_the_newest_image_is_open_on_every_launch() -> None:
    found = changed(before={"machine_image": "newest"}, machine_image="newest")
    assert found["machines.AutoScalingGroup"].does is Does.ROLLED
    assert all(one.open for one in found.values())
    # With a change that is certain the machines go whatever is looked up.
    found = changed(before={"machine_image": "newest"}, machine_image="newest", root_volume_gib=40)
    assert not found["machines.AutoScalingGroup"].open


def test_an_image_whose_source_is_not_at_hand_is_open() -> None:
    before = replace(configuration(), image_is_known=False)
    stacks = changes.between(before, configuration())
    found = {one.resource: one for stack in stacks for one in stack.changed}
    assert found.keys() == {"TaskDefinition", "Service"}
    assert all(one.open for one in found.values())


def test_what_is_deployed_has_values_where_the_files_name_whence_they_come() -> None:
    files = configuration()
    stacks = {
        layer: StackVersion(
            version.template,
            {name: given if isinstance(given, str) else "deployed" for name, given in version.parameters.items()},
        )
        for layer, version in files.stacks.items()
    }
    found = changes.between(replace(files, stacks=stacks), files)
    assert {stack.does for stack in found} == {Does.KEPT}


def test_a_longer_idle_timeout_is_noticed_and_a_shorter_one_is_not() -> None:
    longer, shorter = (changed(idle_timeout_seconds=seconds)["load-balancer.LoadBalancer"] for seconds in (90, 40))
    assert notices.of(longer).what == notices.DROPPED
    assert notices.of(shorter).what == notices.NOTHING


def test_a_type_that_the_schemas_lack_is_said_and_not_guessed() -> None:
    kind = "Custom::Thing"

    def version(value: str) -> StackVersion:
        return StackVersion({"Resources": {"Thing": {"Type": kind, "Properties": {"Size": value}}}}, {})

    before, after = (replace(configuration(), stacks={"own": version(value)}) for value in ("1", "2"))
    (stack,) = changes.between(before, after)
    assert stack.resources[0].does is Does.OPEN
    assert kind in notices.of(stack.resources[0]).how
    gone = changes.between(before, replace(after, stacks={"own": StackVersion({"Resources": {}}, {})}))
    assert notices.of(gone[0].resources[0]).what == notices.UNKNOWN


def test_a_bucket_that_outlives_its_stack_is_left_behind() -> None:
    found = changed(before={"access_logs": True})
    bucket = next(one for one in found.values() if one.kind == "AWS::S3::Bucket")
    assert bucket.does is Does.DELETED
    assert bucket.properties[0].after == "left behind, and billed"


def test_values_that_may_be_secret_are_not_shown() -> None:
    found = changed(environment_variables={"TOKEN": "hunter2"})
    assert "hunter2" not in str(found)
    assert found["service.TaskDefinition"].does is Does.REPLACED


@pytest.mark.parametrize("kind", create_only_properties.types())
def test_every_conditional_property_of_aws_s_schemas_is_decided(kind: str) -> None:
    schemas = Path(cfnlint.__file__).parent / "data/schemas"
    index = json.loads((schemas / "providers/us-east-1.json").read_text())
    schema = json.loads((schemas / f"resources/{index[kind]}.json").read_text())
    paths = {path.removeprefix("/properties/") for path in schema.get("conditionalCreateOnlyProperties", [])}
    assert CONDITIONAL.get(kind, {}).keys() == paths
