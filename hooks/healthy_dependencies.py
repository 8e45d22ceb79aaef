"""The hook !healthy_dependencies: stops a launch before it builds on a stack that is not in a good state.

Sceptre itself goes on with the next stacks after one has failed, so a service could be updated against the outputs of
a network that was just rolled back (https://github.com/Sceptre/sceptre/issues/747).
"""

import time
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook
from sceptre.stack import Stack

HEALTHY = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
ABSENT = "ABSENT"
POLL_SECONDS = 2


class HealthyDependencies(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Waits for a change under way (an interrupted launch leaves one), then checks every stack this one builds on."""

    # When each stack was last updated as of its own turn in this run: tells a rollback of this run from an old one.
    _updated_before_launch: ClassVar[dict[str, Any]] = {}

    def run(self) -> None:
        """Raise SceptreException when a dependency is absent, failed, or was rolled back in this run."""
        own = self._settled(self.stack)
        self._updated_before_launch[self.stack.external_name] = own.get("LastUpdatedTime")
        for dependency in self.stack.dependencies:
            status = self._status(dependency)
            if status not in HEALTHY:
                raise SceptreException(
                    f"{self.stack.name} was not touched: it builds on {dependency.name}, which is {status}. "
                    f"See why with `sceptre describe events {dependency.name}.yaml`, mend it, then launch again."
                )

    def _status(self, stack: Stack) -> str:
        description = self._settled(stack)
        status: str = description["StackStatus"]
        if status == "UPDATE_ROLLBACK_COMPLETE" and self._rolled_back_earlier(stack, description):
            # An old rollback is what the configuration says today: its own launch found nothing to change.
            return "UPDATE_COMPLETE"
        return status

    def _rolled_back_earlier(self, stack: Stack, description: dict[str, Any]) -> bool:
        before = self._updated_before_launch.get(stack.external_name)
        return before is not None and before == description.get("LastUpdatedTime")

    def _settled(self, stack: Stack) -> dict[str, Any]:
        """Describe `stack` once nothing is changing it."""
        description = self._describe(stack)
        if description["StackStatus"].endswith("_IN_PROGRESS"):
            self.logger.info("Waiting for %s: %s", stack.name, description["StackStatus"])
        while description["StackStatus"].endswith("_IN_PROGRESS"):
            time.sleep(POLL_SECONDS)
            description = self._describe(stack)
        return description

    def _describe(self, stack: Stack) -> dict[str, Any]:
        try:
            answer = stack.connection_manager.call(
                service="cloudformation", command="describe_stacks", kwargs={"StackName": stack.external_name}
            )
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return {"StackStatus": ABSENT}
            raise
        description: dict[str, Any] = answer["Stacks"][0]
        return description
