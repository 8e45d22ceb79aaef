"""A machine image that is gone stops a launch before its first stack, not at the layer that uses it."""

import logging
from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from spotfleet.settings.environment import Settings
from spotfleet.stacks import machine_images
from spotfleet.stacks.living_changes import Deployed
from tests.support import sample_project
from tests.support.stacks import Aws, client_error, make_stack
from tools.settings_page import settings_of

DEV = settings_of("dev", sample_project.SAMPLE / "config").model_dump()
GONE, THERE, ARM = "ami-00000001", "ami-00000002", "ami-00000003"
LAUNCHED = Deployed(machine_images={"machines": THERE, "vpc": THERE})


def image(asked: dict[str, Any]) -> dict[str, Any]:
    (image_id,) = asked["ImageIds"]
    if image_id == GONE:
        raise client_error("InvalidAMIID.NotFound")
    return {"Images": [{"ImageId": image_id, "Architecture": "arm64" if image_id == ARM else "x86_64"}]}


def launch(deployed: Deployed, **changes: object) -> list[str]:
    """Launch an environment with these settings and return the images that AWS was asked for."""
    aws = Aws({"ec2.describe_images": image})
    settings = Settings.model_validate(DEV | changes)
    machine_images.require_present(make_stack("dev/cluster", aws), settings, deployed, logging.getLogger())
    return [asked["ImageIds"][0] for asked in aws.called("ec2.describe_images")]


@pytest.mark.parametrize(
    ("deployed", "changes"),
    [
        (Deployed(), {"machine_image": GONE}),
        (LAUNCHED, {"machine_image": GONE}),
        (Deployed(machine_images={"machines": GONE}), {}),
        (Deployed(machine_images={"machines": THERE, "vpc": GONE}), {"egress": "nat_instance"}),
    ],
)
def test_an_image_that_is_gone_is_refused_from_any_stack(deployed: Deployed, changes: dict[str, object]) -> None:
    with pytest.raises(SceptreException, match=f"^dev was not touched: machine image {GONE} is no longer in eu-west-1"):
        launch(deployed, **changes)


def test_an_image_of_another_architecture_is_refused_where_it_was_asked_for() -> None:
    with pytest.raises(SceptreException, match=f"^dev was not touched: machine_image {ARM} is for arm64"):
        launch(LAUNCHED, machine_image=ARM)
    # The NAT instance's is for arm64, whatever the others are.
    assert launch(Deployed(machine_images={"vpc": ARM}), egress="nat_instance") == [ARM]


def test_images_that_a_launch_does_not_take_are_of_no_interest(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Deployed(machine_images={"machines": GONE, "vpc": GONE})
    assert launch(gone, machine_image="newest") == []
    assert launch(gone, machine_image=THERE, egress="nat_gateway") == [THERE]
    assert launch(Deployed()) == []
    monkeypatch.setenv("NEWEST_MACHINE_IMAGE", "dev")
    assert launch(gone) == []
