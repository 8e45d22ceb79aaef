"""The hook !deletion_protection: an environment that is protected goes only when a person names it.

AWS's own protection of the load balancer would fail the deletion halfway, when the service and its machines are gone
already. This refuses before the first stack is touched, and lifts AWS's protection once the person has said so.
"""

import os
from typing import Any

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from hooks import stack_state
from hooks.stack_state import NEVER_CREATED

CONFIRMATION = "CONFIRM_DELETE"


class DeletionProtection(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Keeps the stacks of an environment whose `deletion_protection` is true, unless CONFIRM_DELETE names it."""

    def run(self) -> None:
        """Raise SceptreException when the environment is protected and nobody confirmed."""
        if not self.stack.stack_group_config["deletion_protection"]:
            return
        environment = self.stack.name.rpartition("/")[0]
        if os.environ.get(CONFIRMATION) != environment and not self._was_never_created():
            raise SceptreException(
                f"{environment} is protected: deletion_protection is true in config/{environment}/config.yaml. "
                f"To delete it with all it holds, run: {CONFIRMATION}={environment} sceptre delete {environment}"
            )
        for resource in self._resources():
            if resource["ResourceType"] == "AWS::ElasticLoadBalancingV2::LoadBalancer":
                self._unprotect_load_balancer(resource["PhysicalResourceId"])
            if resource["ResourceType"] == "AWS::ECR::Repository":
                self._empty_repository(resource["PhysicalResourceId"])

    def _was_never_created(self) -> bool:
        # A launch deletes such a stack to create it anew; nothing in it has ever been in use.
        return stack_state.describe(self.stack)["StackStatus"] in NEVER_CREATED

    def _resources(self) -> list[dict[str, Any]]:
        try:
            answer = self._call("cloudformation", "describe_stack_resources", StackName=self.stack.external_name)
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return []
            raise
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
