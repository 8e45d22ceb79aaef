"""Whether AWS still has the images that machines would start from."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from logging import Logger

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from spotfleet.settings.environment import Settings
from spotfleet.settings.machines import NEWEST_IMAGE_VARIABLE
from spotfleet.stacks.living_changes import Deployed

KEPT, NEWEST, IMAGE_ID = "kept", "newest", "ami-"

# Images that were spoken of: Sceptre resolves a parameter as often as it is asked for.
_said: set[str] = set()


def require_present(stack: Stack, settings: Settings, deployed: Deployed, logger: Logger) -> None:
    """Raise SceptreException where a machine of the stack's environment could not start, before a stack is touched."""
    environment = stack.name.rpartition("/")[0]
    for image in _would_start(settings, deployed, is_asked_for_newest(environment)):
        architecture = architecture_of(stack, image, environment, logger)
        if image == settings.machine_image:
            require_fit(environment, image, architecture, settings.cpu_architecture)


def _would_start(settings: Settings, deployed: Deployed, takes_newest: bool) -> Iterator[str]:
    """Yield the ids of the images that a launch takes and does not look up."""
    if settings.machine_image.startswith(IMAGE_ID):
        yield settings.machine_image
    if settings.machine_image == NEWEST or takes_newest:
        return
    if settings.machine_image == KEPT and "machines" in deployed.machine_images:
        yield deployed.machine_images["machines"]
    if settings.egress == "nat_instance" and "vpc" in deployed.machine_images:
        yield deployed.machine_images["vpc"]


def is_asked_for_newest(environment: str) -> bool:
    """Return whether this launch is to take the newest images for an environment."""
    return os.environ.get(NEWEST_IMAGE_VARIABLE) == environment


def require_fit(name: str, image: str, architecture: str | None, wanted: str) -> None:
    """Raise SceptreException when a wanted image is for other machines; `name` is what was not touched."""
    if architecture not in {None, wanted}:
        raise SceptreException(
            f"{name} was not touched: machine_image {image} is for {architecture}, and the machines are {wanted}; give "
            f"one for {wanted}, or kept."
        )


def architecture_of(stack: Stack, image: str, name: str, logger: Logger) -> str | None:
    """Return the architecture of an image, or None when AWS does not tell; say when it is out of date.

    Raises SceptreException when it is gone; `name` is what was not touched. CloudFormation refuses a parameter with an
    image that is gone, and no machine starts from one
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/deregister-ami.html). A deprecated one still starts
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html).
    """
    try:
        found = stack.connection_manager.call(service="ec2", command="describe_images", kwargs={"ImageIds": [image]})[
            "Images"
        ]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
            return None
        found = []
    except BotoCoreError:
        return None
    environment: str = stack.name.rpartition("/")[0]
    way = f"`{NEWEST_IMAGE_VARIABLE}={environment} sceptre launch {environment}` takes the newest"
    if not found:
        raise SceptreException(
            f"{name} was not touched: machine image {image} is no longer in {stack.region}, so no machine could start "
            f"from it; {way} with machine_image: kept."
        )
    since = str(found[0].get("DeprecationTime", ""))
    if image not in _said and since and datetime.fromisoformat(since) <= datetime.now(UTC):
        _said.add(image)
        logger.warning("Machine image %s is deprecated since %s; %s.", image, since[:10], way)
    return str(found[0]["Architecture"])
