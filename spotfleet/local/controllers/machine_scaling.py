"""Auto Scaling groups follow their target tracking policies, such as one for the machines' average CPU use.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.scaling import Capacity, Tracked, track
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.clients import pages
from spotfleet.local.api.machines import read_machines
from spotfleet.local.controllers.target_tracking import tracked_by
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.machine_scaling")


def wanted_machines(
    group: Record, machines: Sequence[Machine], tracked: Sequence[Tracked]
) -> tuple[int, Tracked] | None:
    """Return the size that target tracking wants for a group and the policy that decides, or None when all stays.

    The machines that were warm at the end of the metric's minute made it, those that leave included; a group in which
    one still warmed up then does not shrink.
    """
    minute = _minute(tracked)
    made_it = [machine for machine in machines if machine.running and _is_warm(machine, minute)]
    desired = int(group["DesiredCapacity"])
    decision = track(Capacity(desired, len(made_it), int(group["MinSize"]), int(group["MaxSize"])), tracked)
    staying = [machine for machine in machines if machine.running and not machine.leaving]
    if decision and decision[0] < desired and not all(_is_warm(machine, minute) for machine in staying):
        return None
    return decision


def was_acted_upon(minute: int, activities: Iterable[Record]) -> bool:
    """Return whether machines of a group came or went since an AWS minute ended: its metric knows nothing of that."""
    ended = metrics_store.end(minute)
    return any(item.get("EndTime", item["StartTime"]).timestamp() >= ended for item in activities)


def _is_warm(machine: Machine, minute: int) -> bool:
    """Return whether a machine counted in its group's metrics of an AWS minute, which is told when that ends."""
    return machine_life.is_warm(machine, clock.aws_seconds(metrics_store.end(minute) - machine.launched))


def _minute(tracked: Iterable[Tracked]) -> int:
    return min(item.minute for item in tracked)


class MachineScaling(controller.Controller):
    """Sets the size of Auto Scaling groups by target tracking."""

    name = "machine-scaling"

    def __init__(
        self,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str, str], clients.Client] = clients.client,
        read_machines: Callable[[str], list[Machine]] = read_machines,
    ) -> None:
        self.interval = controller.pace()
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
        activities = autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        if not groups or was_acted_upon(_minute(tracked), activities):
            return
        decision = wanted_machines(groups[0], machines, tracked)
        if decision:
            wanted, policy = decision
            logger.info(
                "%s: policy %s: the metric was at %.1f, its target is %g: from %s machines to %s.",
                *(name, policy.policy, policy.value, policy.target, groups[0]["DesiredCapacity"], wanted),
            )
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)
