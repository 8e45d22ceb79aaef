"""Which of a service's images the repository keeps, so that none is deleted that runs.

ECR counts from the newest push: a release that went back to an older image runs one that may be among the next to go
(https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html).
"""

from typing import Any

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from spotfleet.image.image import Image, tag_prefix
from spotfleet.stacks import stack_state


def newest_first(details: list[dict[str, Any]], service: str) -> list[str]:
    """Return the digests of a service's images among a repository's, the one that was pushed last first."""
    prefix = tag_prefix(service)
    own = [one for one in details if any(tag.startswith(prefix) for tag in one.get("imageTags", []))]
    return [str(one["imageDigest"]) for one in sorted(own, key=lambda one: one["imagePushedAt"], reverse=True)]


def require_room(stack: Stack, image: Image) -> None:
    """Raise SceptreException where one image more would make the repository delete the one that runs."""
    kept = int(stack.stack_group_config.get("kept_images", 0))
    running = running_digest(stack_state.describe(stack)) if kept else None
    if running is None:
        return
    digests = newest_first(pushed(stack, image.repository_uri), image.service)
    if running in digests and digests.index(running) + 1 >= kept:
        newer = digests.index(running)
        raise SceptreException(
            f"{stack.name} was not touched: the image that runs was pushed before {newer} others, and with one more "
            f"the repository would delete it, as it keeps kept_images {kept}: set kept_images to {newer + 2} or more, "
            "and launch again."
        )


def running_digest(description: stack_state.Description) -> str | None:
    """Return the digest of the image that a service's stack runs, or None where it runs none, or by a tag."""
    return stack_state.parameters(description).get("Image", "").partition("@")[2] or None


def pushed(stack: Stack, repository_uri: str) -> list[dict[str, Any]]:
    """Return what ECR says of each image of a repository."""
    kwargs: dict[str, Any] = {"repositoryName": repository_uri.partition("/")[2], "filter": {"tagStatus": "TAGGED"}}
    found: list[dict[str, Any]] = []
    while True:
        try:
            page = stack.connection_manager.call(service="ecr", command="describe_images", kwargs=kwargs)
        except ClientError as error:
            if error.response["Error"]["Code"] == "RepositoryNotFoundException":
                return []
            raise
        found += page["imageDetails"]
        if not page.get("nextToken"):
            return found
        kwargs["nextToken"] = page["nextToken"]
