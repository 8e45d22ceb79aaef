"""The hook !way_in: running machines are replaced by ones of another security group only when requests get into it.

The group is of the vpc layer, and the load balancer's layer adds the rule that lets requests in. That layer launches
beside the machines', so nothing else makes a roll wait for the rule. A first launch need not wait: the service comes
after both. Nor does an update that leaves the machines in their group.
"""

import time

from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook
from sceptre.plan.plan import SceptrePlan
from sceptre.stack import Stack

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.once import once_per_command
from spotfleet.stacks.stack_state import ABSENT, NEVER_CREATED

PARAMETER = "MachinesSecurityGroupId"
# The load balancer's layer begins at the same time, and makes the rule first.
PATIENCE_SECONDS = 180


class WayIn(Hook):
    """Waits for the load balancer's rule in `security_group_id` where that is not the machines' group yet."""

    @once_per_command
    def run(self) -> None:
        """Raise SceptreException when there is no rule after three minutes, or a failed launch has taken it away."""
        account.require_right(self.stack, self.logger)
        group = self.argument["security_group_id"]
        own = stack_state.describe(self.stack)
        if own["StackStatus"] in {ABSENT, *NEVER_CREATED} or stack_state.parameters(own).get(PARAMETER) == group:
            return
        self.logger.info("Machines move to the security group %s: waiting for the load balancer's rule in it", group)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._lets_in(group) and time.monotonic() < deadline:
            time.sleep(stack_state.POLL_SECONDS)
        # A rollback would take the rule away again.
        balancer = self._load_balancer()
        stack_state.settled(balancer, self.logger)
        if not self._lets_in(group):
            raise SceptreException(
                f"{self.stack.name} was not touched: its machines would move to the security group {group}, which "
                f"lets no load balancer in. To go on, run `sceptre launch {balancer.name}.yaml`, then launch again."
            )

    def _lets_in(self, group: str) -> bool:
        answer = self.stack.connection_manager.call(
            service="ec2", command="describe_security_groups", kwargs={"GroupIds": [group]}
        )
        return any(rule.get("UserIdGroupPairs") for rule in answer["SecurityGroups"][0]["IpPermissions"])

    def _load_balancer(self) -> Stack:
        name = f"{self.stack.name.rpartition('/')[0]}/load-balancer"
        context = SceptreContext(self.stack.stack_group_config["project_path"], "", full_scan=True)
        return next(stack for stack in SceptrePlan(context).graph if stack.name == name)
