"""Capacity providers set the number of their machines by what their tasks need."""

import logging
from collections.abc import Sequence

from spotfleet.behaviour import placement
from spotfleet.behaviour.machine_life import Machine, room, smallest
from spotfleet.behaviour.managed_scaling import SCALE_IN_MINUTES, surplus, wanted_machines
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients, metrics_store
from spotfleet.local.api.ecs import read_waiting_tasks

RESERVATION = "CapacityProviderReservation"

RESERVATION_NAMESPACE = "AWS/ECS/ManagedScaling"

logger = logging.getLogger("spotfleet.managed_scaling")


def is_managed(provider: Record) -> bool:
    scaling = provider.get("autoScalingGroupProvider", {}).get("managedScaling", {})
    return bool(scaling.get("status") == "ENABLED")


def scale_provider(region: str, cluster: str, provider: Record, machines: Sequence[Machine], minute: int) -> None:
    autoscaling, cloudwatch = clients.client("autoscaling", region), clients.client("cloudwatch", region)
    name = provider["autoScalingGroupProvider"]["autoScalingGroupArn"].rpartition("/")[2]
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return
    group = groups[0]
    staying = [machine for machine in machines if machine.group == name and machine.running and not machine.leaving]
    waiting = read_waiting_tasks(clients.client("ecs", region), cluster, provider["name"])
    needed = placement.machines_needed([room(machine) for machine in staying], waiting, smallest(group, staying))
    dimensions = {"CapacityProviderName": provider["name"], "ClusterName": cluster}
    reservation = placement.capacity_provider_reservation(needed, len(staying))
    metrics_store.publish(cloudwatch, RESERVATION_NAMESPACE, {RESERVATION: [reservation]}, dimensions, minute)
    metric = (RESERVATION_NAMESPACE, RESERVATION, dimensions)
    reservations = metrics_store.read(cloudwatch, metric, "Average", minute, SCALE_IN_MINUTES)
    wanted = wanted_machines(provider, group, needed, reservations)
    if wanted > group["DesiredCapacity"]:
        logger.info("%s: %s machines for %s waiting tasks.", name, wanted, len(waiting))
        autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)
    elif wanted < group["DesiredCapacity"]:
        policy = group.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
        base = int(policy.get("OnDemandBaseCapacity", 0))
        count = group["DesiredCapacity"] - wanted
        going = surplus(staying, count, base)
        for machine in going:
            logger.info("%s: the empty machine %s goes.", name, machine.id)
            autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=machine.id, ShouldDecrementDesiredCapacity=True
            )
        if len(going) < count:
            # The empty ones are of the on-demand base: the group drains a Spot machine onto them.
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)
