"""The resolver !machine_image: a machine image stays until somebody wants a newer one.

A parameter that names a public parameter of Systems Manager is looked up at each update of its stack
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html), so each
weekly image would replace every machine at the next release of the service.
"""

import os
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.resolvers import Resolver
from sceptre.resolvers.placeholders import are_placeholders_enabled

from spotfleet.settings.machines import NEWEST_IMAGE_VARIABLE
from spotfleet.stacks import stack_state
from spotfleet.stacks.stack_state import NEVER_CREATED

KEPT = "kept"
IMAGE_ID = "ami-"

# Images that were spoken of: Sceptre resolves a parameter as often as it is asked for.
_said: set[str] = set()


class MachineImage(Resolver):
    """Gives the id of the image that the stack's machines start from.

    `machine_image` is the setting: kept, newest or an id. `parameter` is the stack's parameter, `newest` the public
    parameter of Systems Manager that names the newest image, `architecture` that of the machines.
    """

    def resolve(self) -> str:
        """Return the image's id; raise SceptreException when no machine could start from it."""
        wanted = str(self.argument["machine_image"])
        if wanted.startswith(IMAGE_ID):
            self._require_fit(wanted)
            return wanted
        deployed = self._deployed() if wanted == KEPT and not self._is_asked_for_newest() else None
        if deployed and self._architecture_of(deployed) in {None, self.argument["architecture"]}:
            return deployed
        return self._newest()

    def _require_fit(self, image: str) -> None:
        architecture, wanted = self._architecture_of(image), self.argument["architecture"]
        if architecture not in {None, wanted}:
            raise SceptreException(
                f"{self.stack.name} was not touched: machine_image {image} is for {architecture}, and the machines are "
                f"{wanted}; give one for {wanted}, or kept."
            )

    def _architecture_of(self, image: str) -> str | None:
        """Return the architecture of an image, or None when AWS does not tell; say when it is out of date or gone.

        CloudFormation refuses a parameter with an image that is gone, and no machine starts from one
        (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/deregister-ami.html). A deprecated one still starts
        (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html).
        """
        try:
            found = self._call("ec2", "describe_images", ImageIds=[image])["Images"]
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
                return None
            found = []
        except BotoCoreError:
            return None
        environment: str = self.stack.name.rpartition("/")[0]
        way = f"`{NEWEST_IMAGE_VARIABLE}={environment} sceptre launch {environment}` takes the newest"
        if not found:
            raise SceptreException(
                f"{self.stack.name} was not touched: machine image {image} is no longer in {self.stack.region}, so no "
                f"machine could start from it; {way} with machine_image: kept."
            )
        since = str(found[0].get("DeprecationTime", ""))
        if image not in _said and since and datetime.fromisoformat(since) <= datetime.now(UTC):
            _said.add(image)
            self.logger.warning("Machine image %s is deprecated since %s; %s.", image, since[:10], way)
        return str(found[0]["Architecture"])

    def _is_asked_for_newest(self) -> bool:
        environment: str = self.stack.name.rpartition("/")[0]
        return os.environ.get(NEWEST_IMAGE_VARIABLE) == environment

    def _deployed(self) -> str | None:
        """Return the image that the stack has now, also where its parameter still names one of Systems Manager."""
        description = stack_state.describe(self.stack)
        if description["StackStatus"] in NEVER_CREATED:
            return None
        value = stack_state.parameters(description).get(self.argument["parameter"], "")
        return value if value.startswith(IMAGE_ID) else None

    def _newest(self) -> str:
        name = self.argument["newest"]
        try:
            answer = self._call("ssm", "get_parameters", Names=[name])
        except (BotoCoreError, ClientError) as error:
            if are_placeholders_enabled():
                return str(name)
            reason = " ".join(str(error).split())
            raise SceptreException(
                f"{self.stack.name} was not touched: AWS does not tell the newest machine image, {name} ({reason}). "
                "Allow ssm:GetParameters, or give machine_image an image's id."
            ) from error
        for found in answer["Parameters"]:
            return str(found["Value"])
        raise SceptreException(
            f"{self.stack.name} was not touched: there is no public parameter {name} in {self.stack.region}; give "
            "machine_image an image's id."
        )

    def _call(self, service: str, command: str, **kwargs: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.connection_manager.call(service=service, command=command, kwargs=kwargs)
        return answer
