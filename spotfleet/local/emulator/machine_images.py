"""The machine images that public parameters of Systems Manager name, and newer ones that AWS publishes (rule F2).

On AWS an account of AWS's own writes these parameters, and so it is here: `spotfleet machine-image --publish` asks for
it under that account's number. Everybody else is refused, as there.
"""

import json
from collections.abc import Callable
from datetime import date, timedelta

from ministack.core.responses import get_account_id, json_response
from ministack.services import ec2, ssm

from spotfleet.facts.machine_images import ECS_IMAGES, IMAGE_ID, OWNER, PLAIN_IMAGE
from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response

# By the parameter's path.
FIRST_IMAGES = {
    ECS_IMAGES["x86_64"]: "ami-0ec5a12023aaa8664",
    ECS_IMAGES["arm64"]: "ami-0ec5a12023aaa6464",
    PLAIN_IMAGE: "ami-0a12023aaa6464000",
}
FIRST_RELEASE = date(2026, 11, 1)
# About each week there is another one.
WEEK = timedelta(days=7)

# The images of each path, the newest one last: an older one stays.
_published: dict[str, list[str]] = {}


def add_first() -> None:
    """Know the images that are there from the beginning."""
    for path, image_id in FIRST_IMAGES.items():
        _publish(path, image_id)


def architecture_of(image_id: str) -> str:
    """Return the architecture of an image that ECS's parameters name, or have named; x86_64 of any other."""
    return "arm64" if image_id in _published.get(ECS_IMAGES["arm64"], []) else "x86_64"


def _publish(path: str, image_id: str) -> None:
    images = _published.setdefault(path, [])
    released = FIRST_RELEASE + len(images) * WEEK
    images.append(image_id)
    architecture = next((name for name, its_path in ECS_IMAGES.items() if its_path == path), "arm64")
    kind = "" if path == PLAIN_IMAGE else "ecs-hvm-"
    name = f"al2023-ami-{kind}2023.0.{released:%Y%m%d}-kernel-6.1-{architecture}"
    ec2._STUB_AMIS.append((image_id, name, "Amazon Linux 2023", "", "/dev/xvda", OWNER, "amazon"))
    if path == PLAIN_IMAGE:
        ssm._PUBLIC_AMI_PARAMETERS[path] = image_id
        return
    description = {"image_id": image_id, "image_name": name, "os": "Amazon Linux 2023", "schema_version": 1}
    ssm._PUBLIC_AMI_PARAMETERS[path] = json.dumps(description)
    ssm._PUBLIC_AMI_PARAMETERS[path + IMAGE_ID] = image_id


@extends(ssm, "_put_parameter")
def put_parameter(original: Callable[[Record], Response], data: Record) -> Response:
    """Let the account that owns the images name a newer one, in every region."""
    path = str(data.get("Name")).removesuffix(IMAGE_ID)
    if get_account_id() != OWNER or path not in FIRST_IMAGES:
        return original(data)
    if data["Value"] not in _published[path]:
        _publish(path, data["Value"])
    answer: Response = json_response({"Version": len(_published[path]), "Tier": "Standard"})
    return answer
