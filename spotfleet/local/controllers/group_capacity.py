"""An Auto Scaling group keeps its size and its shape: it replaces what it lost or is to lose, and balances its zones.

Nothing is remembered between steps: what has begun is told by tags, what was tried by the group's activities.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence

from spotfleet.behaviour import fleet_mix, machine_losses, spot_pools
from spotfleet.behaviour.delays import LOSS_NOTICED, ZONES_BALANCED
from spotfleet.behaviour.machine_life import Machine, launched_types, outlived
from spotfleet.behaviour.machine_losses import AT_RISK, OUTLIVED, SUCCEEDED_TAG, WRONG_ZONE, Member
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.rolling_update import is_current
from spotfleet.behaviour.spot_pools import Kind, Pool
from spotfleet.behaviour.suspended_processes import Process, is_suspended
from spotfleet.behaviour.termination_policy import Candidate, first_to_leave
from spotfleet.local.api import clients
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.group_capacity")


def step(region: str, group: Record, machines: Sequence[Machine]) -> None:
    """Take one group one step further; `machines` are those of all groups of its region."""
    now = time.time()
    mine = [machine for machine in machines if machine.group == group["AutoScalingGroupName"]]
    autoscaling = clients.client("autoscaling", region)
    _replace_ended(autoscaling, group, mine, now)
    _replace_noticed(autoscaling, mine)
    _replace_outlived(autoscaling, group, mine, now)
    _launch_first(region, group, mine, now)
    if sum(not (item.leaving or item.succeeded or item.refreshed) for item in mine) < group["DesiredCapacity"]:
        # A launch has failed: the group looks whether it is time to try again.
        _look_again(autoscaling, group)


def _replace_ended(autoscaling: clients.Client, group: Record, machines: Sequence[Machine], now: float) -> None:
    """Replace what its group's health check has found not to run any more."""
    noticed = sorted((item for item in machines if _is_noticed(item, now)), key=lambda item: (item.ended or 0, item.id))
    for machine in noticed:
        if machine.leaving:
            autoscaling.complete_lifecycle_action(
                AutoScalingGroupName=machine.group,
                InstanceId=machine.id,
                LifecycleHookName="ecs-managed-draining-termination-hook",
                LifecycleActionResult="CONTINUE",
            )
    if is_suspended(group, Process.HEALTH_CHECK, Process.REPLACE_UNHEALTHY):
        return
    staying = [machine.id for machine in noticed if not machine.leaving]
    pending = sum(machine.pending and machine.running for machine in machines)
    for name in machine_losses.replaced_now(staying, group["DesiredCapacity"], pending):
        logger.info("The group %s has noticed that %s has ended.", group["AutoScalingGroupName"], name)
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=name, ShouldDecrementDesiredCapacity=False)


def _is_noticed(machine: Machine, now: float) -> bool:
    age = clock.aws_seconds(now - (machine.ended or 0))
    return not machine.running and age >= delays.of(LOSS_NOTICED, machine.id)


def _replace_noticed(autoscaling: clients.Client, machines: Sequence[Machine]) -> None:
    """Take out what EC2 will take within two minutes, and launch its successor, both at once."""
    for machine in machines:
        if machine.rebalanced and machine.at_risk and machine.notice and machine.running and not machine.leaving:
            autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=machine.id, ShouldDecrementDesiredCapacity=False
            )


def _replace_outlived(autoscaling: clients.Client, group: Record, machines: Sequence[Machine], now: float) -> None:
    """Take out a machine that is older than its group lets machines get, unless its successor comes first."""
    machine = None if machine_losses.launches_first(group) else _outlived(group, machines, now)
    if machine:
        logger.info("%s: the machine %s has reached the maximum lifetime.", machine.group, machine.id)
        autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=machine.id, ShouldDecrementDesiredCapacity=False
        )


def _outlived(group: Record, machines: Sequence[Machine], now: float) -> Machine | None:
    return outlived(machines, clock.seconds(group.get("MaxInstanceLifetime") or 0), now)


def _launch_first(region: str, group: Record, machines: Sequence[Machine], now: float) -> None:
    """Launch the successors of what is at risk, too old or in the wrong zone, and then take that out."""
    present = [machine for machine in machines if machine.running and not machine.leaving]
    at_risk = [item.id for item in present if item.rebalanced and item.at_risk and item.notice is None]
    leaving = at_risk + [item.id for item in present if item.succeeded and item.id not in at_risk]
    name, why = ("", AT_RISK) if leaving or len(present) < len(machines) else _in_order(region, group, present, now)
    members = [Member(item.id, not item.pending, item.succeeded) for item in present]
    wanted = [*leaving, name] if name else leaving
    todo = machine_losses.launch_first(members, wanted, group["DesiredCapacity"], group["MaxSize"])
    autoscaling = clients.client("autoscaling", region)
    for ended in todo.end:
        logger.info("The successor of %s is in service.", ended)
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=ended, ShouldDecrementDesiredCapacity=False)
    for successor_of in todo.succeed:
        logger.info("The group %s launches a successor of %s (%s).", group["AutoScalingGroupName"], successor_of, why)
        clients.client("ec2", region).create_tags(Resources=[successor_of], Tags=[{"Key": SUCCEEDED_TAG, "Value": why}])
    if todo.succeed:
        _look_again(autoscaling, group)


def _in_order(region: str, group: Record, present: Sequence[Machine], now: float) -> tuple[str, str]:
    """Return the machine that goes for the good order of its group, and why: it is too old, or in the wrong zone."""
    machine = _outlived(group, present, now) if machine_losses.launches_first(group) else None
    return (machine.id, OUTLIVED) if machine else (_in_wrong_zone(region, group, present, now), WRONG_ZONE)


def _in_wrong_zone(region: str, group: Record, present: Sequence[Machine], now: float) -> str:
    """Return the machine that goes so that the zones get even, or "" while they are or while the group changes."""
    counts = Counter({zone: 0 for zone in group["AvailabilityZones"]})
    counts.update(machine.zone for machine in present)
    if fleet_mix.zone_to_relieve(counts, list(counts)) is None:
        return ""
    changing = len(present) != group["DesiredCapacity"] or any(machine.pending for machine in present)
    resting = is_suspended(group, Process.AZ_REBALANCE)
    if changing or resting or not all(is_current(item, group) for item in group["Instances"]):
        return ""
    spot = sum(machine.spot for machine in present)
    is_spot = fleet_mix.is_spot_to_leave(fleet_mix.distribution_of(group), len(present) - spot, spot)
    zone = fleet_mix.zone_to_relieve(counts, _open_zones(group, Kind.SPOT if is_spot else Kind.ON_DEMAND, now))
    there = [item for item in present if item.zone == zone and item.spot == is_spot]
    if not there or not _is_calm(region, group, now):
        return ""
    candidates = [
        Candidate(item.id, item.zone, item.spot, version=item.version, age=clock.aws_seconds(now - item.launched))
        for item in there
    ]
    stream = random.Random(f"{delays.seed()}/{there[0].id}")  # noqa: S311  # nothing is kept secret by it
    return first_to_leave(candidates, fleet_mix.distribution_of(group), stream).id


def _open_zones(group: Record, kind: Kind, now: float) -> list[str]:
    """Return the zones of a group in which a pool has capacity."""
    closed = spot_pools.closed_pools({tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}, now)
    overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    types = launched_types(overrides, sorted({item.get("InstanceType", "") for item in group["Instances"]}))
    zones: list[str] = group["AvailabilityZones"]
    return [zone for zone in zones if any((kind, Pool(name, zone)) not in closed for name in types)]


def _is_calm(region: str, group: Record, now: float) -> bool:
    """Return whether a group has done nothing for as long as AWS takes until it balances the zones."""
    name = group["AutoScalingGroupName"]
    autoscaling = clients.client("autoscaling", region)
    activities = autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    if not activities:
        return True
    age = clock.aws_seconds(now - activities[0]["StartTime"].timestamp())
    return bool(age >= delays.of(ZONES_BALANCED, activities[0]["ActivityId"]))


def _look_again(autoscaling: clients.Client, group: Record) -> None:
    """Let a group look for what it lacks: an update that changes nothing, as its size may be another one by now."""
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=group["AutoScalingGroupName"])
