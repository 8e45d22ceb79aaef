"""Capacity providers set the number of their machines by what their tasks need."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from spotfleet.behaviour import placement
from spotfleet.behaviour.delays import RESERVATION_LOOKED_AT, RESERVATION_PUBLISHED
from spotfleet.behaviour.machine_life import Machine, largest, room, smallest
from spotfleet.behaviour.managed_scaling import (
    SCALE_IN_MINUTES,
    SCALED_OUT_TAG,
    Seen,
    protects_tasks,
    scaled_out_at,
    surplus,
    wanted_machines,
)
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients, metrics_store
from spotfleet.local.api.ecs import read_waiting_tasks
from spotfleet.local.host import clock, delays

RESERVATION = "CapacityProviderReservation"

RESERVATION_NAMESPACE = "AWS/ECS/ManagedScaling"

logger = logging.getLogger("spotfleet.managed_scaling")


def is_managed(provider: Record) -> bool:
    scaling = provider.get("autoScalingGroupProvider", {}).get("managedScaling", {})
    return bool(scaling.get("status") == "ENABLED")


@dataclass(frozen=True)
class Point:
    """What a minute was measured at: the machines that its tasks need, those that run, and the tasks without one."""

    minute: int
    needed: int
    running: int
    waiting: int


class ManagedScaling:
    """The scaling by one capacity provider: a minute is measured at its end, published later, and then looked at."""

    def __init__(self, region: str, cluster: str, provider: str) -> None:
        self._region = region
        self._cluster = cluster
        self._dimensions = {"CapacityProviderName": provider, "ClusterName": cluster}
        self._published_after = delays.of(RESERVATION_PUBLISHED, provider)
        self._looked_at_after = delays.of(RESERVATION_LOOKED_AT, provider)
        self._minute: int | None = None
        self._unpublished: deque[Point] = deque()
        self._unseen: deque[Point] = deque()

    def step(self, provider: Record, machines: Sequence[Machine]) -> None:
        """Do what is due; `machines` are those of all groups."""
        now = time.time()
        name = provider["autoScalingGroupProvider"]["autoScalingGroupArn"].rpartition("/")[2]
        autoscaling = clients.client("autoscaling", self._region)
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not groups:
            return
        staying = [machine for machine in machines if machine.group == name and machine.running and not machine.leaving]
        self._measure(provider["name"], groups[0], staying, metrics_store.minute(now))
        while self._unpublished and now >= _moment(self._unpublished[0], self._published_after):
            self._publish(self._unpublished.popleft())
        point = None
        while self._unseen and now >= _moment(self._unseen[0], self._published_after + self._looked_at_after):
            point = self._unseen.popleft()
        if point:
            self._scale(provider, groups[0], staying, point)

    def _measure(self, provider: str, group: Record, staying: Sequence[Machine], minute: int) -> None:
        """Measure the minutes that have ended since the last step."""
        if self._minute is not None and minute > self._minute:
            waiting = read_waiting_tasks(clients.client("ecs", self._region), self._cluster, provider)
            rooms = [room(machine) for machine in staying]
            needed = placement.machines_needed(rooms, waiting, largest(group, staying), smallest(group, staying))
            first = max(self._minute, minute - SCALE_IN_MINUTES)
            self._unpublished.extend(
                Point(number, needed, len(staying), len(waiting)) for number in range(first, minute)
            )
        self._minute = minute

    def _publish(self, point: Point) -> None:
        percent = placement.capacity_provider_reservation(point.needed, point.running)
        cloudwatch = clients.client("cloudwatch", self._region)
        metrics_store.publish(
            cloudwatch, RESERVATION_NAMESPACE, {RESERVATION: [percent]}, self._dimensions, point.minute
        )
        self._unseen.append(point)

    def _scale(self, provider: Record, group: Record, staying: Sequence[Machine], point: Point) -> None:
        now = time.time()
        metric = (RESERVATION_NAMESPACE, RESERVATION, self._dimensions)
        cloudwatch = clients.client("cloudwatch", self._region)
        seen = Seen(
            needed=point.needed,
            reservations=metrics_store.read(cloudwatch, metric, "Average", point.minute, SCALE_IN_MINUTES),
            youngest=min((clock.aws_seconds(now - machine.launched) for machine in staying), default=float("inf")),
            since_scale_out=clock.aws_seconds(now - scaled_out_at(group)),
        )
        wanted, desired = wanted_machines(provider, group, seen), group["DesiredCapacity"]
        name = group["AutoScalingGroupName"]
        if wanted > desired:
            self._remember(name, now)
            logger.info("%s: %s machines for %s waiting tasks.", name, wanted, point.waiting)
        elif wanted < desired:
            logger.info("%s: %s machines are enough.", name, wanted)
        if wanted < desired and protects_tasks(provider):
            self._end_empty(group, staying, desired - wanted)
        elif wanted != desired:
            clients.client("autoscaling", self._region).set_desired_capacity(
                AutoScalingGroupName=name, DesiredCapacity=wanted
            )

    def _remember(self, group: str, now: float) -> None:
        """Keep with the group that it was scaled out, for a successor of this controller to know."""
        tag = {"ResourceId": group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
        clients.client("autoscaling", self._region).create_or_update_tags(
            Tags=[tag | {"Key": SCALED_OUT_TAG, "Value": str(now)}]
        )

    def _end_empty(self, group: Record, staying: Sequence[Machine], count: int) -> None:
        """End machines without tasks only: all others are protected."""
        policy = group.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
        for machine in surplus(staying, count, int(policy.get("OnDemandBaseCapacity", 0))):
            logger.info("%s: the empty machine %s goes.", machine.group, machine.id)
            clients.client("autoscaling", self._region).terminate_instance_in_auto_scaling_group(
                InstanceId=machine.id, ShouldDecrementDesiredCapacity=True
            )


def _moment(point: Point, aws_seconds: float) -> float:
    """Return when so many of AWS's seconds have passed since a point's minute has ended, in seconds since 1970."""
    return metrics_store.end(point.minute) + clock.seconds(aws_seconds)
