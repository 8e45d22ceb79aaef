"""Auto Scaling groups follow their target tracking policies, such as one for the machines' average CPU use.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
"""

import logging
import time
from collections.abc import Callable, Sequence

from local import aws, controllers, fleet
from local.aws import pages
from local.fleet import Machine, Record
from local.scaling import tracked_by
from local.scaling_rules import Capacity, Tracked, track

logger = logging.getLogger("spotfleet.machine_scaling")


def wanted_machines(
    group: Record, machines: Sequence[Machine], tracked: Sequence[Tracked], now: float
) -> tuple[int, Tracked] | None:
    """Return the size that target tracking wants for a group and the policy that decides, or None when all stays.

    Only warm machines made the metric; a group in which one still warms up does not shrink.
    """
    staying = [machine for machine in machines if machine.running and not machine.leaving]
    warm = sum(fleet.is_warm(machine, now) for machine in staying)
    desired = int(group["DesiredCapacity"])
    decision = track(Capacity(desired, warm, int(group["MinSize"]), int(group["MaxSize"])), tracked)
    if decision and decision[0] < desired and warm < len(staying):
        return None
    return decision


class MachineScaling(controllers.Controller):
    """Sets the size of Auto Scaling groups by target tracking."""

    name = "machine-scaling"

    def __init__(
        self,
        regions: Callable[[], list[str]] = controllers.regions,
        client: Callable[[str, str], aws.Client] = aws.client,
        read_machines: Callable[[str], list[Machine]] = fleet.read_machines,
    ) -> None:
        self.interval = controllers.pace()
        self._regions = regions
        self._client = client
        self._read_machines = read_machines

    def step(self) -> None:
        """Look at every group with a target tracking policy."""
        for region in self._regions():
            by_group: dict[str, list[Record]] = {}
            for policy in pages(self._client("autoscaling", region), "describe_policies", "ScalingPolicies"):
                if policy["PolicyType"] == "TargetTrackingScaling" and policy["Alarms"]:
                    by_group.setdefault(policy["AutoScalingGroupName"], []).append(policy)
            machines = self._read_machines(region) if by_group else []
            for name, policies in by_group.items():
                self._follow(region, name, policies, [machine for machine in machines if machine.group == name])

    def _follow(self, region: str, name: str, policies: Sequence[Record], machines: Sequence[Machine]) -> None:
        autoscaling, cloudwatch = self._client("autoscaling", region), self._client("cloudwatch", region)
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        tracked = [tracked_by(cloudwatch, policy, policy["TargetTrackingConfiguration"]) for policy in policies]
        decision = wanted_machines(groups[0], machines, tracked, time.time()) if groups else None
        if decision:
            wanted, policy = decision
            logger.info(
                "%s: policy %s: the metric was at %.1f, its target is %g: from %s machines to %s.",
                *(name, policy.policy, policy.value, policy.target, groups[0]["DesiredCapacity"], wanted),
            )
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)
