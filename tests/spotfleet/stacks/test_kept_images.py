"""The repository deletes what its newest images leave behind; the one that runs must not be among it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sceptre.exceptions import SceptreException

from spotfleet.image.base_image import BaseImage
from spotfleet.image.build_context import Fingerprint
from spotfleet.image.image import Image
from spotfleet.stacks import kept_images
from tests.support import answers
from tests.support.stacks import Answer, Aws, client_error, make_stack

START = datetime(2026, 1, 1, tzinfo=UTC)
KEPT = 3


def pushed(*tags: str) -> list[dict[str, Any]]:
    """Return what ECR says of images that were pushed in this order; each one's digest is its tag."""
    return [
        {"imageTags": [tag], "imageDigest": tag, "imagePushedAt": START + timedelta(hours=number)}
        for number, tag in enumerate(tags)
    ]


def require_room(running: str, *tags: str, service: str = "api", kept: int = KEPT) -> None:
    """Ask whether a service that runs an image may push another one."""
    parameters = [{"ParameterKey": "Image", "ParameterValue": running}]
    found = {"Stacks": [answers.stack("UPDATE_COMPLETE", Parameters=parameters)]}
    known: dict[str, Answer] = {
        "cloudformation.describe_stacks": lambda _: found,
        "ecr.describe_images": lambda _: {"imageDetails": pushed(*tags)},
    }
    stack = make_stack(f"dev/{service}", Aws(known), kept_images=kept)
    image = Image("registry/web", BaseImage("b", ""), "linux/amd64", Path(), Fingerprint("", ""), service)
    kept_images.require_room(stack, image)


def test_a_service_counts_its_own_images_only() -> None:
    details = pushed("api_1", "service_1", "api-v2_1", "api_2", "0123456789abcdef0123")
    assert kept_images.newest_first(details, "api") == ["api_2", "api_1"]
    assert kept_images.newest_first(details, "api-v2") == ["api-v2_1"]
    assert kept_images.newest_first(details, "web") == []


@pytest.mark.parametrize(
    ("running", "tags"),
    [
        ("registry/web@api_2", ("api_1", "api_2", "api_3")),
        ("registry/web@api_1", ("api_1", *(f"service_{number}" for number in range(9)))),
        # Pushed under a tag as it was before services had their own.
        ("registry/web@old", ("old", "api_1", "api_2", "api_3")),
        ("registry/web:tag", ("api_1", "api_2", "api_3")),
        ("", ()),
    ],
)
def test_what_stays_is_not_in_the_way(running: str, tags: tuple[str, ...]) -> None:
    require_room(running, *tags)


def test_one_more_image_must_not_drive_out_the_one_that_runs() -> None:
    # Gone back to the first of three; three are kept.
    with pytest.raises(SceptreException, match=r"was pushed before 2 others.*kept_images 3: set kept_images to 4"):
        require_room("registry/web@api_1", "api_1", "api_2", "api_3")
    require_room("registry/web@api_1", "api_1", "api_2", "api_3", kept=4)


def test_without_a_stack_or_a_repository_there_is_nothing_to_lose() -> None:
    def nothing(_: object) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id x does not exist")

    stack = make_stack("dev/api", Aws({"cloudformation.describe_stacks": nothing}), kept_images=KEPT)
    image = Image("registry/web", BaseImage("b", ""), "linux/amd64", Path(), Fingerprint("", ""), "api")
    kept_images.require_room(stack, image)
