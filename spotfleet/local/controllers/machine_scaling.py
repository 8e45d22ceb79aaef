"""Auto Scaling groups follow their target tracking policies, such as one for the machines' average CPU use.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.suspended_processes import Process, is_suspended
from spotfleet.behaviour.target_tracking import Capacity, Tracked, track
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.clients import pages
from spotfleet.local.api.machines import read_machines
from spotfleet.local.backchannel import alarm_actions
from spotfleet.local.controllers.target_tracking import tracked_by
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.machine_scaling")


def wanted_machines(
    group: Record, machines: Sequence[Machine], tracked: Sequence[Tracked]
) -> tuple[int, Tracked] | None:
    """Return the size that target tracking wants for a group and the policy that decides, or None when all stays.

    The machines that were warm when the metric's period ended made it, those that leave included; a group in which one
    still warmed up then does not shrink.
    """
    ended = _ended(tracked)
    made_it = [machine for machine in machines if machine.running and _is_warm(machine, ended)]
    desired = int(group["DesiredCapacity"])
    decision = track(Capacity(desired, len(made_it), int(group["MinSize"]), int(group["MaxSize"])), tracked)
    staying = [machine for machine in machines if machine.running and not machine.leaving]
    if decision and decision[0] < desired and not all(_is_warm(machine, ended) for machine in staying):
        return None
    return decision


def was_acted_upon(ended: float, activities: Iterable[Record]) -> bool:
    """Return whether machines of a group came or went since a metric's period ended: it knows nothing of that."""
    return any(item.get("EndTime", item["StartTime"]).timestamp() >= ended for item in activities)


def _is_warm(machine: Machine, ended: float) -> bool:
    """Return whether a machine counted in its group's metrics of a period, which is told when that ends."""
    return machine_life.is_warm(machine, clock.aws_seconds(ended - machine.launched))


def _ended(tracked: Iterable[Tracked]) -> float:
    return min(item.ended for item in tracked)


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
        self._calls = alarm_actions.Calls()

    def step(self) -> None:
        """Look at every group with a target tracking policy that an alarm calls."""
        for region in self._regions():
            calls = self._calls.new(region)
            if not calls:
                continue
            by_group: dict[str, list[Record]] = {}
            for policy in pages(self._client("autoscaling", region), "describe_policies", "ScalingPolicies"):
                if policy["PolicyType"] == "TargetTrackingScaling" and policy["Alarms"]:
                    by_group.setdefault(policy["AutoScalingGroupName"], []).append(policy)
            called = {name: moment for name, policies in by_group.items() if (moment := _called(policies, calls))}
            machines = self._read_machines(region) if called else []
            for name, moment in called.items():
                members = [machine for machine in machines if machine.group == name]
                self._follow(region, name, by_group[name], members, moment)

    def _follow(
        self, region: str, name: str, policies: Sequence[Record], machines: Sequence[Machine], moment: float
    ) -> None:
        autoscaling, cloudwatch = self._client("autoscaling", region), self._client("cloudwatch", region)
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        tracked = [tracked_by(cloudwatch, policy, policy["TargetTrackingConfiguration"], moment) for policy in policies]
        activities = autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        resting = groups and is_suspended(groups[0], Process.ALARM_NOTIFICATION)
        if not groups or resting or was_acted_upon(_ended(tracked), activities):
            return
        decision = wanted_machines(groups[0], machines, tracked)
        if decision:
            wanted, policy = decision
            logger.info(
                "%s: policy %s: the metric was at %.1f, its target is %g: from %s machines to %s.",
                *(name, policy.policy, policy.value, policy.target, groups[0]["DesiredCapacity"], wanted),
            )
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)


def _called(policies: Sequence[Record], calls: Mapping[str, float]) -> float | None:
    """Return when the alarms of policies that call were judged last, or None when none calls."""
    moments = [
        calls[alarm["AlarmName"]] for item in policies for alarm in item["Alarms"] if alarm["AlarmName"] in calls
    ]
    return max(moments, default=None)
