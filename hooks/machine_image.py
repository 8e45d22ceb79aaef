"""The resolver !machine_image: a machine image stays until somebody wants a newer one.

A parameter that names a public parameter of Systems Manager is looked up at each update of its stack
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html), so each
weekly image would replace every machine at the next release of the service.
"""

import os

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.resolvers import Resolver
from sceptre.resolvers.placeholders import are_placeholders_enabled

from hooks import stack_state
from hooks.stack_state import NEVER_CREATED

# Names the environment whose machines take the newest image at this launch.
NEWEST = "NEWEST_MACHINE_IMAGE"
KEPT = "kept"
IMAGE_ID = "ami-"


class MachineImage(Resolver):  # type: ignore[misc]  # Sceptre publishes no types
    """Gives the id of the image that the stack's machines start from.

    `machine_image` is the setting: kept, newest or an id. `parameter` is the stack's parameter, `newest` the public
    parameter of Systems Manager that names the newest image.
    """

    def resolve(self) -> str:
        """Return the image's id; raise SceptreException when AWS does not tell the newest one."""
        wanted = str(self.argument["machine_image"])
        if wanted.startswith(IMAGE_ID):
            return wanted
        deployed = self._deployed() if wanted == KEPT and not self._is_asked_for_newest() else None
        return deployed or self._newest()

    def _is_asked_for_newest(self) -> bool:
        environment: str = self.stack.name.rpartition("/")[0]
        return os.environ.get(NEWEST) == environment

    def _deployed(self) -> str | None:
        """Return the image that the stack has now, also where its parameter still names one of Systems Manager."""
        description = stack_state.describe(self.stack)
        if description["StackStatus"] in NEVER_CREATED:
            return None
        for one in description.get("Parameters", []):
            if one["ParameterKey"] == self.argument["parameter"]:
                value = str(one.get("ResolvedValue") or one["ParameterValue"])
                return value if value.startswith(IMAGE_ID) else None
        return None

    def _newest(self) -> str:
        name = self.argument["newest"]
        try:
            answer = self.stack.connection_manager.call(
                service="ssm", command="get_parameters", kwargs={"Names": [name]}
            )
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
