"""What !docker_image has built or found, handed to the !image_uri of the same stack in the same run.

So the image that is run is the one that was looked at when it was built, even if a file has changed since.
"""

from sceptre.stack import Stack

# Kept with the stack, an object that Sceptre makes anew for each run: nothing outlives the run that it belongs to.
ATTRIBUTE = "images_of_this_launch"


def hand_over(stack: Stack, argument: object, uri: str) -> None:
    """Keep what the argument of the hook means in this run."""
    vars(stack).setdefault(ATTRIBUTE, {})[repr(argument)] = uri


def taken_over(stack: Stack, argument: object) -> str | None:
    """Return what was handed over for an argument, once; None where nothing was."""
    uri: str | None = vars(stack).get(ATTRIBUTE, {}).pop(repr(argument), None)
    return uri
