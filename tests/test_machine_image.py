"""A machine image stays until somebody wants a newer one, and a launch that replaces machines says so."""

from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks.machine_image import NEWEST, MachineImage
from hooks.replaced_machines import changes_of
from tests.changed import changed
from tests.stacks import Aws, client_error, make_stack

PATH = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
OLD, NEW = "ami-00000000000000001", "ami-00000000000000002"


def resolved(wanted: str, status: str = "UPDATE_COMPLETE", **parameter: str) -> str:
    """Return the image of a stack that has this parameter, where the newest is NEW."""

    def describe(_: object) -> dict[str, Any]:
        if status == "ABSENT":
            raise client_error("ValidationError", "Stack with id x does not exist")
        return {"Stacks": [{"StackStatus": status, "Parameters": [{"ParameterKey": "ImageId", **parameter}]}]}

    aws = Aws(
        {
            "cloudformation.describe_stacks": describe,
            "ssm.get_parameters": lambda asked: {"Parameters": [{"Name": asked["Names"][0], "Value": NEW}]},
        }
    )
    argument = {"parameter": "ImageId", "machine_image": wanted, "newest": PATH}
    image: str = MachineImage(argument, make_stack("dev/machines", aws)).resolve()
    return image


def test_the_deployed_image_is_kept() -> None:
    assert resolved("kept", ParameterValue=OLD) == OLD
    # As environments had it before: looked up by CloudFormation.
    assert resolved("kept", ParameterValue=PATH, ResolvedValue=OLD) == OLD


@pytest.mark.parametrize("status", ["ABSENT", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_first_launch_takes_the_newest(status: str) -> None:
    assert resolved("kept", status, ParameterValue=OLD) == NEW


def test_the_newest_comes_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved("newest", ParameterValue=OLD) == NEW
    monkeypatch.setenv(NEWEST, "prod")
    assert resolved("kept", ParameterValue=OLD) == OLD
    monkeypatch.setenv(NEWEST, "dev")
    assert resolved("kept", ParameterValue=OLD) == NEW


def test_an_id_is_taken_as_it_is() -> None:
    assert resolved("ami-0123456789abcdef0", ParameterValue=OLD) == "ami-0123456789abcdef0"


def test_a_path_that_aws_does_not_have_or_tell_is_named() -> None:
    def denied(_: object) -> dict[str, Any]:
        raise client_error("AccessDeniedException", "not yours")

    argument = {"parameter": "ImageId", "machine_image": "newest", "newest": PATH}
    stack = make_stack("dev/machines", Aws({"ssm.get_parameters": lambda _: {"Parameters": []}}))
    with pytest.raises(SceptreException, match="there is no public parameter /aws/service/ecs"):
        MachineImage(argument, stack).resolve()
    with pytest.raises(SceptreException, match="Allow ssm:GetParameters"):
        MachineImage(argument, make_stack("dev/machines", Aws({"ssm.get_parameters": denied}))).resolve()


def test_what_replaces_machines_is_found_in_parameters_and_in_the_text() -> None:
    before, after = changed().body("machines"), changed(extra_user_data="date").body("machines")
    same = {"ImageId": OLD, "RootVolumeGib": "30", "MaxMachines": "4"}
    assert changes_of("LaunchTemplate", before, before, same, same) == []
    # Of no concern to a machine that runs.
    assert changes_of("LaunchTemplate", before, before, same, same | {"MaxMachines": "5"}) == []
    other = same | {"ImageId": NEW, "RootVolumeGib": "40"}
    assert changes_of("LaunchTemplate", before, before, same, other) == [
        f"ImageId {OLD} -> {NEW}",
        "RootVolumeGib 30 -> 40",
    ]
    assert changes_of("LaunchTemplate", before, after, same, same) == ["LaunchTemplate itself"]
    assert changes_of("LaunchTemplate", "Resources: {}", after, {}, same) == []


def test_the_nat_instance_is_a_machine_as_well() -> None:
    body = changed().body("vpc")
    assert changes_of("NatInstance", body, body, {"NatImageId": OLD}, {"NatImageId": NEW}) == [
        f"NatImageId {OLD} -> {NEW}"
    ]
