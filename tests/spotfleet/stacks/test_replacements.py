"""What CloudFormation would replace is found by AWS's own schemas, and what may not be lost is refused."""

from typing import Any
from unittest.mock import Mock

import pytest
from sceptre.stack import Stack

from spotfleet.stacks import planned_replacements
from spotfleet.stacks.replacements import (
    HARMLESS,
    LOSSES,
    SPOKEN_FOR,
    UNKNOWN,
    Replacement,
    Version,
    refusals,
    replacements,
)
from tests.support import answers
from tests.support.changed import Changed, changed
from tests.support.stacks import Aws, client_error
from tests.templates.test_matrix import OPTIONS
from tools import create_only_properties

ELSEWHERE = "launch a second environment"
BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
REPOSITORY = "AWS::ECR::Repository"


def stack(kind: str, **properties: object) -> Version:
    parameters = {"P": {"Type": "String"}}
    return Version({"Parameters": parameters, "Resources": {"It": {"Type": kind, "Properties": properties}}}, {})


def found(kind: str, before: dict[str, Any], after: dict[str, Any]) -> list[Replacement]:
    return list(replacements("layer", stack(kind, **before), stack(kind, **after)))


def test_a_create_only_property_that_differs_replaces_its_resource() -> None:
    (one,) = found(BALANCER, {"Scheme": "internal", "IpAddressType": "ipv4"}, {"Scheme": "internet-facing"})
    assert one == Replacement("layer", "It", BALANCER, "Scheme", "internal", "internet-facing")
    (text,) = refusals([one], [], ELSEWHERE)
    assert text == (
        f"layer: It ({BALANCER}) would be replaced by a new one, as its Scheme changes, internal -> internet-facing: "
        f"{LOSSES[BALANCER]}; take the change back, or {ELSEWHERE}"
    )


def test_a_property_inside_another_and_one_that_is_new_count() -> None:
    encrypted = {"EncryptionConfiguration": {"EncryptionType": "KMS"}}
    assert [one.property for one in found(REPOSITORY, {}, encrypted)] == [
        "EncryptionConfiguration",
        "EncryptionConfiguration.EncryptionType",
    ]
    assert found(REPOSITORY, {}, encrypted)[1].before == "none"


def test_one_line_for_a_property_and_what_is_in_it() -> None:
    encrypted = {"EncryptionConfiguration": {"EncryptionType": "KMS"}}
    assert len(list(refusals(found(REPOSITORY, {}, encrypted), [], ELSEWHERE))) == 1


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (BALANCER, {"IpAddressType": "ipv4"}, {"IpAddressType": "dualstack"}),
        ("AWS::EC2::Subnet", {"MapPublicIpOnLaunch": True}, {"MapPublicIpOnLaunch": "true"}),
        ("AWS::ElasticLoadBalancingV2::TargetGroup", {"Port": 80}, {"Port": "80"}),
        # What another stack gives is not known before the launch.
        ("AWS::EC2::SecurityGroup", {"VpcId": "vpc-1"}, {"VpcId": UNKNOWN}),
        # It may or may not replace the group: the schema calls it conditional.
        ("AWS::AutoScaling::AutoScalingGroup", {"VPCZoneIdentifier": ["a"]}, {"VPCZoneIdentifier": ["b"]}),
        ("Custom::Thing", {"Name": "a"}, {"Name": "b"}),
    ],
)
def test_anything_else_replaces_nothing(kind: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert found(kind, before, after) == []


def test_what_comes_or_goes_or_is_another_type_is_not_replaced() -> None:
    vpc, none = stack("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"), Version({"Resources": {}}, {})
    assert list(replacements("vpc", vpc, none)) == []
    assert list(replacements("vpc", none, vpc)) == []
    assert list(replacements("vpc", vpc, stack(BALANCER, Scheme="internal"))) == []


def test_what_costs_nothing_is_not_refused() -> None:
    changes = found("AWS::ECS::TaskDefinition", {"Cpu": "256"}, {"Cpu": "512"})
    assert len(changes) == 1
    assert list(refusals(changes, [], ELSEWHERE)) == []


def test_where_a_setting_is_refused_already_nothing_is_said_twice() -> None:
    changes = found("AWS::EC2::Subnet", {"CidrBlock": "10.0.0.0/24"}, {"CidrBlock": "10.1.0.0/24"})
    assert list(refusals(changes, ["subnet_host_bits"], ELSEWHERE)) == []
    # An edited template: no setting speaks of it.
    assert len(list(refusals(changes, ["load_balancer_scheme"], ELSEWHERE))) == 1


def test_every_type_of_the_templates_is_decided_once() -> None:
    assert LOSSES.keys() | HARMLESS.keys() == set(create_only_properties.types())
    assert not LOSSES.keys() & HARMLESS.keys()
    assert {kind for kind, _ in SPOKEN_FOR} <= LOSSES.keys()


def test_the_file_has_what_the_installed_schemas_have() -> None:
    assert create_only_properties.FILE.read_text() == create_only_properties.text()


def deployed_values(environment: Changed, layer: str) -> dict[str, str]:
    """Return the parameters of a deployed stack: what a resolver gives has become a text."""
    return {
        name: value if isinstance(value, str) else f"resolved-{name}"
        for name, value in environment.parameters(layer).items()
    }


def launched_over(was: Changed, now: Changed, denied: bool = False) -> tuple[Stack, Aws]:
    """Return a stack of an environment that is deployed as another is configured, and AWS."""

    def layer(kwargs: dict[str, Any]) -> str:
        name = str(kwargs["StackName"]).removeprefix("spotfleet-dev-")
        if name not in was.stacks:
            raise client_error("ValidationError", f"Stack with id {name} does not exist")
        return name

    def describe(kwargs: dict[str, Any]) -> dict[str, Any]:
        values = deployed_values(was, layer(kwargs))
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        return {"Stacks": [answers.stack("UPDATE_COMPLETE", Parameters=given)]}

    def template(kwargs: dict[str, Any]) -> dict[str, Any]:
        if denied:
            raise client_error("AccessDenied")
        return {"TemplateBody": was.body(layer(kwargs))}

    aws = Aws({"cloudformation.describe_stacks": describe, "cloudformation.get_template": template})
    one = now.stacks["cluster"]
    one._connection_manager = Mock(call=aws.call)
    return one, aws


def test_a_launch_without_a_change_replaces_nothing() -> None:
    stack, aws = launched_over(changed(), changed())
    assert planned_replacements.find(stack) == []
    assert len(aws.called("cloudformation.get_template")) == 5


def test_what_a_setting_would_replace_is_found_in_whichever_stack_it_is() -> None:
    stack, _ = launched_over(changed(), changed(load_balancer_scheme="internal"))
    assert [(one.layer, one.resource, one.property) for one in planned_replacements.find(stack)] == [
        ("load-balancer", "LoadBalancer", "Scheme")
    ]
    stack, _ = launched_over(changed(), changed(vpc_cidr="10.9.0.0/16"))
    replaced = planned_replacements.find(stack)
    assert ("vpc", "Vpc", "10.0.0.0/16", "10.9.0.0/16") in {
        (one.layer, one.resource, one.before, one.after) for one in replaced
    }
    assert list(refusals(replaced, ["vpc_cidr"], ELSEWHERE)) == []


def test_a_new_service_and_templates_that_nobody_may_read_replace_nothing() -> None:
    api = {"services": {"api": {"listener_priority": 90, "min_tasks": 1, "max_tasks": 1}}, "max_machines": 8}
    stack, _ = launched_over(changed(), changed("api", **api))
    assert planned_replacements.find(stack) == []
    stack, _ = launched_over(changed(), changed(load_balancer_scheme="internal"), denied=True)
    assert planned_replacements.find(stack) == []


@pytest.mark.matrix
def test_no_setting_is_refused_for_a_replacement_but_those_that_the_hook_knows() -> None:
    """Each option switched on in the environment dev, and off again: no launch that lands is refused."""
    for settings in [values for option in OPTIONS.values() for values in option if values]:
        for was, now in ((changed(), changed(**settings)), (changed(**settings), changed())):
            stack, _ = launched_over(was, now)
            spoken = ["load_balancer_scheme"] if "load_balancer_scheme" in settings else []
            assert list(refusals(planned_replacements.find(stack), spoken, ELSEWHERE)) == [], settings
