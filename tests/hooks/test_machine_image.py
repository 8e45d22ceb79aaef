"""A machine image stays until somebody wants a newer one, and a launch that replaces machines says so."""

from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from hooks.machine_image import MachineImage
from hooks.replaced_machines import changes_of
from tests.support import answers
from tests.support.changed import changed
from tests.support.stacks import Answer, Aws, client_error, make_stack

PATH = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
OLD, NEW = "ami-00000000000000001", "ami-00000000000000002"
ARM, OUT_OF_DATE, GONE = "ami-00000000000000003", "ami-00000000000000004", "ami-00000000000000005"


# Images of which AWS tells something: for x86_64 unless it is said otherwise.
IMAGES = {
    OLD: {},
    NEW: {},
    ARM: {"Architecture": "arm64"},
    OUT_OF_DATE: {"DeprecationTime": "2024-02-01T10:00:00.000Z"},
}


def resolver(wanted: str, describe: Answer, images: Answer, newest: Answer) -> MachineImage:
    """Return the resolver of a stack for machines of x86_64, with what AWS answers."""
    answers = {"cloudformation.describe_stacks": describe, "ec2.describe_images": images, "ssm.get_parameters": newest}
    argument = {"parameter": "ImageId", "machine_image": wanted, "newest": PATH, "architecture": "x86_64"}
    return MachineImage(argument, make_stack("dev/machines", Aws(answers)))


def image(asked: dict[str, Any]) -> dict[str, Any]:
    image_id = asked["ImageIds"][0]
    if image_id not in IMAGES:
        raise client_error("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return {"Images": [{"ImageId": image_id, "Architecture": "x86_64", **IMAGES[image_id]}]}


def newest(asked: dict[str, Any]) -> dict[str, Any]:
    return {"Parameters": [{"Name": asked["Names"][0], "Value": NEW}]}


def denied(_: object) -> dict[str, Any]:
    raise client_error("UnauthorizedOperation", "not yours")


def resolved(wanted: str, status: str = "UPDATE_COMPLETE", images: Answer = image, **parameter: str) -> str:
    """Return the image of a stack that has this parameter, where the newest is NEW."""

    def describe(_: object) -> dict[str, Any]:
        if status == "ABSENT":
            raise client_error("ValidationError", "Stack with id x does not exist")
        return {"Stacks": [answers.stack(status, Parameters=[{"ParameterKey": "ImageId", **parameter}])]}

    return resolver(wanted, describe, images, newest).resolve()


def test_the_deployed_image_is_kept() -> None:
    assert resolved("kept", ParameterValue=OLD) == OLD
    # As environments had it before: looked up by CloudFormation.
    assert resolved("kept", ParameterValue=PATH, ResolvedValue=OLD) == OLD


@pytest.mark.parametrize("status", ["ABSENT", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_first_launch_takes_the_newest(status: str) -> None:
    assert resolved("kept", status, ParameterValue=OLD) == NEW


def test_the_newest_comes_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved("newest", ParameterValue=OLD) == NEW
    monkeypatch.setenv("NEWEST_MACHINE_IMAGE", "prod")
    assert resolved("kept", ParameterValue=OLD) == OLD
    monkeypatch.setenv("NEWEST_MACHINE_IMAGE", "dev")
    assert resolved("kept", ParameterValue=OLD) == NEW


def test_an_id_is_taken_as_it_is() -> None:
    assert resolved(NEW, ParameterValue=OLD) == NEW
    assert resolved(ARM, images=denied, ParameterValue=OLD) == ARM


def test_an_image_that_machines_cannot_start_from_is_refused() -> None:
    with pytest.raises(SceptreException, match=f"{ARM} is for arm64, and the machines are x86_64"):
        resolved(ARM, ParameterValue=OLD)
    answers: list[Answer] = [image, lambda _: {"Images": []}]
    for nothing in answers:
        for wanted in (GONE, "kept"):
            with pytest.raises(SceptreException, match=f"{GONE} is no longer in eu-west-1.*NEWEST_MACHINE_IMAGE=dev"):
                resolved(wanted, images=nothing, ParameterValue=GONE)


def test_a_kept_image_goes_with_the_architecture_that_it_is_for() -> None:
    assert resolved("kept", ParameterValue=ARM) == NEW
    # Without the right to look, as it was.
    assert resolved("kept", images=denied, ParameterValue=ARM) == ARM


def test_a_deprecated_image_stays_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert resolved("kept", ParameterValue=OUT_OF_DATE) == OUT_OF_DATE
    assert resolved("kept", ParameterValue=OUT_OF_DATE) == OUT_OF_DATE
    (said,) = [record.getMessage() for record in caplog.records if "deprecated" in record.getMessage()]
    assert f"{OUT_OF_DATE} is deprecated since 2024-02-01; `NEWEST_MACHINE_IMAGE=dev sceptre launch dev`" in said


def test_a_path_that_aws_does_not_have_or_tell_is_named() -> None:
    with pytest.raises(SceptreException, match="there is no public parameter /aws/service/ecs"):
        resolver("newest", denied, denied, lambda _: {"Parameters": []}).resolve()
    with pytest.raises(SceptreException, match="Allow ssm:GetParameters"):
        resolver("newest", denied, denied, denied).resolve()


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


def test_types_and_subnets_replace_machines_and_comments_do_not() -> None:
    before, after = changed().body("machines"), changed(instance_types=["t3.small", "t3a.small"]).body("machines")
    types, subnets = "AutoScalingGroup.MixedInstancesPolicy", "AutoScalingGroup.VPCZoneIdentifier"
    base, more = {"OnDemandBase": "1", "PrivateSubnetIds": "a,b"}, {"OnDemandBase": "2", "PrivateSubnetIds": "a,b,c"}
    assert changes_of(types, before, after, base, base) == [f"{types} itself"]
    assert changes_of(types, before, before, base, more) == ["OnDemandBase 1 -> 2"]
    assert changes_of(subnets, before, after, base, more) == ["PrivateSubnetIds a,b -> a,b,c"]
    commented = before.replace("      VPCZoneIdentifier:", "      # Where machines start.\n      VPCZoneIdentifier:")
    assert commented != before
    assert changes_of(subnets, before, commented, base, base) == []
    for broken in ("Resources: [", "", "[]", "Resources: {AutoScalingGroup: 1}"):
        assert changes_of(subnets, broken, before, base, base) == []
