"""The hook !deletion_protection: an environment that is protected goes only when a person names it.

AWS's own protection of the load balancer would fail the deletion halfway, when the service and its machines are gone
already. This refuses before the first stack is touched, and lifts AWS's protection once the person has said so.
"""

import os
from typing import Any

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED, Description

CONFIRMATION = "CONFIRM_DELETE"


class DeletionProtection(Hook):
    """Keeps the stacks of an environment whose `deletion_protection` is true, unless CONFIRM_DELETE names it."""

    def run(self) -> None:
        """Raise SceptreException when the environment is protected and nobody confirmed; lift AWS's protection if so.

        It is protected as well while AWS still protects it from before the setting was changed.
        """
        account.require_right(self.stack, self.logger)
        description = stack_state.describe(self.stack)
        is_configured = self.stack.stack_group_config["deletion_protection"]
        if not is_configured and not stack_state.is_protected(description):
            return
        environment = self.stack.name.rpartition("/")[0]
        # A launch deletes a stack that was never created to create it anew; nothing in it has ever been in use.
        if os.environ.get(CONFIRMATION) != environment and description["StackStatus"] not in NEVER_CREATED:
            where = f"in config/{environment}/config.yaml" if is_configured else "at its last launch"
            raise SceptreException(
                f"{environment} is protected: deletion_protection {'is' if is_configured else 'was'} true {where}. "
                f"To delete it with all it holds, run: {CONFIRMATION}={environment} sceptre delete {environment}"
            )
        if description["StackStatus"] != ABSENT:
            self._lift_protection(description)

    def _lift_protection(self, description: Description) -> None:
        if stack_state.is_protected(description):
            self.logger.info("Switching termination protection off")
            stack_state.protect(self.stack, wanted=False)
        for resource in self._resources():
            if resource["ResourceType"] == "AWS::ElasticLoadBalancingV2::LoadBalancer":
                self._unprotect_load_balancer(resource["PhysicalResourceId"])
            if resource["ResourceType"] == "AWS::ECR::Repository":
                self._empty_repository(resource["PhysicalResourceId"])

    def _resources(self) -> list[dict[str, Any]]:
        answer = self._call("cloudformation", "describe_stack_resources", StackName=self.stack.external_name)
        resources: list[dict[str, Any]] = answer["StackResources"]
        return resources

    def _unprotect_load_balancer(self, arn: str) -> None:
        self.logger.info("Lifting the load balancer's deletion protection")
        attributes = [{"Key": "deletion_protection.enabled", "Value": "false"}]
        self._call("elbv2", "modify_load_balancer_attributes", LoadBalancerArn=arn, Attributes=attributes)

    def _empty_repository(self, name: str) -> None:
        self.logger.info("Deleting the images in %s", name)
        while images := self._call("ecr", "list_images", repositoryName=name)["imageIds"]:
            self._call("ecr", "batch_delete_image", repositoryName=name, imageIds=images)

    def _call(self, service: str, command: str, **kwargs: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.connection_manager.call(service=service, command=command, kwargs=kwargs)
        return answer
