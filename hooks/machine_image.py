"""The resolver !machine_image: a machine image stays until somebody wants a newer one.

A parameter that names a public parameter of Systems Manager is looked up at each update of its stack
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html), so each
weekly image would replace every machine at the next release of the service.
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.resolvers import Resolver
from sceptre.resolvers.placeholders import are_placeholders_enabled

from spotfleet.stacks import machine_images, stack_state
from spotfleet.stacks.machine_images import IMAGE_ID, KEPT
from spotfleet.stacks.stack_state import NEVER_CREATED


class MachineImage(Resolver):
    """Gives the id of the image that the stack's machines start from.

    `machine_image` is the setting: kept, newest or an id. `parameter` is the stack's parameter, `newest` the public
    parameter of Systems Manager that names the newest image, `architecture` that of the machines.
    """

    def resolve(self) -> str:
        """Return the image's id; raise SceptreException when no machine could start from it."""
        wanted = str(self.argument["machine_image"])
        if wanted.startswith(IMAGE_ID):
            architecture, needed = self._architecture_of(wanted), self.argument["architecture"]
            machine_images.require_fit(self.stack.name, wanted, architecture, needed)
            return wanted
        takes_newest = machine_images.is_asked_for_newest(self.stack.name.rpartition("/")[0])
        deployed = self._deployed() if wanted == KEPT and not takes_newest else None
        if deployed and self._architecture_of(deployed) in {None, self.argument["architecture"]}:
            return deployed
        return self._newest()

    def _architecture_of(self, image: str) -> str | None:
        return machine_images.architecture_of(self.stack, image, self.stack.name, self.logger)

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
