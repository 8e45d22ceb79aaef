"""The hook !empty_fleet: the machines go before the capacity provider that drains them.

Managed draining puts the lifecycle hook ecs-managed-draining-termination-hook on the Auto Scaling group, which holds a
terminating machine until ECS says that it is drained. CloudFormation deletes the provider first and the group last,
when nobody is left to say so, and each machine waits for the hook's time-out, an hour:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

import time
from typing import Any

from botocore.exceptions import ClientError
from sceptre.hooks import Hook

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.stack_state import ABSENT

DRAINING_HOOK = "ecs-managed-draining-termination-hook"
# Holds a new machine until it has joined (templates/machines.yaml.j2), and would for a quarter of an hour.
LAUNCH_HOOK = "ecs-agent-has-joined"
WAITING = {"Terminating:Wait": (DRAINING_HOOK, "CONTINUE"), "Pending:Wait": (LAUNCH_HOOK, "ABANDON")}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
# Longer than EC2 takes to shut a machine down.
PATIENCE_SECONDS = 600


class EmptyFleet(Hook):
    """Sets the stack's Auto Scaling groups to no machine, and waits until the last one is gone.

    Services are gone by now (!no_dependants), so there is nothing to drain. The group's maximum stays: should the
    deletion be refused afterwards, the capacity provider can still add machines.
    """

    def run(self) -> None:
        """Empty the groups; a role that may not is told of in one line, and the deletion goes on without it."""
        account.require_right(self.stack, self.logger)
        if stack_state.describe(self.stack)["StackStatus"] == ABSENT:
            return
        for name in self._groups():
            try:
                self._empty(name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in DENIED:
                    raise
                self.logger.warning(
                    "The machines were not taken away first, as this role lacks autoscaling:%s: the deletion may wait "
                    "up to an hour for them",
                    error.operation_name,
                )

    def _empty(self, name: str) -> None:
        machines = self._machines(name)
        if not machines:
            return
        self.logger.info("Taking the machines away while ECS can still let them go: %d", len(machines))
        self._call("update_auto_scaling_group", AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (machines := self._machines(name)) and time.monotonic() < deadline:
            for machine in machines:
                if machine["LifecycleState"] in WAITING:
                    self._let_go(name, machine["InstanceId"], *WAITING[machine["LifecycleState"]])
            time.sleep(stack_state.POLL_SECONDS)
        if machines:
            self.logger.warning("Machines are still there after %d s; CloudFormation waits for them", PATIENCE_SECONDS)

    def _let_go(self, name: str, machine: str, hook: str, result: str) -> None:
        place = {"AutoScalingGroupName": name, "InstanceId": machine, "LifecycleHookName": hook}
        try:
            self._call("complete_lifecycle_action", **place, LifecycleActionResult=result)
        except ClientError as error:
            # ECS or the machine itself has been quicker, or the machine waits for a lifecycle hook of somebody else.
            if error.response["Error"]["Code"] != "ValidationError":
                raise

    def _machines(self, name: str) -> list[dict[str, Any]]:
        groups = self._call("describe_auto_scaling_groups", AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return [machine for group in groups for machine in group["Instances"]]

    def _groups(self) -> list[str]:
        answer = self.stack.connection_manager.call(
            service="cloudformation",
            command="describe_stack_resources",
            kwargs={"StackName": self.stack.external_name},
        )
        return [
            resource["PhysicalResourceId"]
            for resource in answer["StackResources"]
            if resource["ResourceType"] == "AWS::AutoScaling::AutoScalingGroup" and resource.get("PhysicalResourceId")
        ]

    def _call(self, command: str, **kwargs: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.connection_manager.call(
            service="autoscaling", command=command, kwargs=kwargs
        )
        return answer
