"""Services scale by their policies and schedules: plays the part of Application Auto Scaling.

A policy is followed each time that one of its alarms calls it, which is when the alarm is judged (rules T2 and T11).
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from spotfleet.behaviour import schedules
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.target_tracking import Capacity, Change, Tracked, counted_tasks, scale_in_waits, track
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_tasks
from spotfleet.local.backchannel import alarm_actions, scaling_activities
from spotfleet.local.controllers.target_tracking import tracked_by
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.scaling")

DEFAULT_COOLDOWN = 300
# A schedule that came due while nothing looked is still kept this long.
SCHEDULE_LOOKBACK = timedelta(minutes=1)


class Scaling(controller.Controller):
    """Sets the desired count of services by target tracking and by schedule."""

    name = "scaling"

    def __init__(self) -> None:
        self.interval = controller.pace()
        self._looked = datetime.now(UTC) - SCHEDULE_LOOKBACK
        self._calls = alarm_actions.Calls()

    def step(self) -> None:
        """Act on due schedules first, then on the alarms that call."""
        now = datetime.now(UTC)
        for region in embedded_aws.regions():
            scaling = clients.client("application-autoscaling", region)
            for action in pages(scaling, "describe_scheduled_actions", "ScheduledActions", ServiceNamespace="ecs"):
                with _alone(action["ResourceId"]):
                    if _is_due(action, self._looked, now):
                        _apply(region, action)
            calls = self._calls.new(region)
            if not calls:
                continue
            for target in pages(scaling, "describe_scalable_targets", "ScalableTargets", ServiceNamespace="ecs"):
                with _alone(target["ResourceId"]):
                    _follow(region, target, calls)
        self._looked = now


@contextmanager
def _alone(resource: str) -> Iterator[None]:
    """Let what goes wrong with one service hold up no other one: its cluster may be gone."""
    try:
        yield
    except Exception:
        logger.exception("%s is not scaled.", resource)


def _is_due(action: Record, last: datetime, now: datetime) -> bool:
    if not action.get("StartTime", now) <= now <= action.get("EndTime", now):
        return False
    return schedules.is_due(
        action["Schedule"], action.get("Timezone", "UTC"), action["CreationTime"], last, now, clock.speed()
    )


def _apply(region: str, action: Record) -> None:
    """Give a target the bounds of a scheduled action."""
    scaling = clients.client("application-autoscaling", region)
    place = {name: action[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    target = _target(scaling, place)
    if target is None or target["SuspendedState"]["ScheduledScalingSuspended"]:
        return
    bounds = action.get("ScalableTargetAction", {})
    before = _service(region, action["ResourceId"])["desiredCount"]
    scaling.register_scalable_target(**place, **bounds)
    after = _service(region, action["ResourceId"])["desiredCount"]
    what = " and ".join(
        f"{'min' if name == 'MinCapacity' else 'max'} capacity to {value}" for name, value in bounds.items()
    )
    scaling_activities.record_activity(
        region,
        place,
        f"Setting {what}.",
        f"scheduled action name {action['ScheduledActionName']} was triggered",
        (before, after),
    )
    logger.info("%s: scheduled action %s sets %s.", action["ResourceId"], action["ScheduledActionName"], what)


def _target(scaling: clients.Client, place: Record) -> Record | None:
    found = scaling.describe_scalable_targets(
        ServiceNamespace=place["ServiceNamespace"],
        ResourceIds=[place["ResourceId"]],
        ScalableDimension=place["ScalableDimension"],
    )["ScalableTargets"]
    return found[0] if found else None


def _service(region: str, resource: str) -> dict[str, Any]:
    _, cluster, name = resource.split("/")
    found: dict[str, Any] = clients.client("ecs", region).describe_services(cluster=cluster, services=[name])[
        "services"
    ][0]
    return found


def _follow(region: str, target: Record, calls: Mapping[str, float]) -> None:
    """Let the target tracking policies of a service that alarms call set its desired count."""
    scaling = clients.client("application-autoscaling", region)
    place = {name: target[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    policies = [
        policy
        for policy in pages(scaling, "describe_scaling_policies", "ScalingPolicies", **place)
        if policy["PolicyType"] == "TargetTrackingScaling" and policy["Alarms"]
    ]
    called = [
        calls[alarm["AlarmName"]] for policy in policies for alarm in policy["Alarms"] if alarm["AlarmName"] in calls
    ]
    if not called:
        return
    cloudwatch, moment = clients.client("cloudwatch", region), max(called)
    tracked = [
        tracked_by(cloudwatch, item, item["TargetTrackingScalingPolicyConfiguration"], moment) for item in policies
    ]
    service = _service(region, target["ResourceId"])
    activities = scaling_activities.changes(region, place)
    capacity = Capacity(
        service["desiredCount"],
        _counted(region, service, activities, min(item.ended for item in tracked), policies),
        target["MinCapacity"],
        target["MaxCapacity"],
    )
    decision = track(capacity, tracked)
    if decision is None or not _may(target, service, decision[0], policies, activities):
        return
    wanted, policy = decision
    _set(region, place, service, wanted, policy, policies)


def _counted(
    region: str, service: Record, activities: Sequence[Change], data_ended: float, policies: Sequence[Record]
) -> int:
    tasks = read_tasks(clients.client("ecs", region), service["clusterArn"])
    measured = measured_tasks(tasks, service["serviceName"], data_ended)
    cooling_since = _cooling_since(policies, "ScaleOutCooldown")
    return counted_tasks(measured, service["desiredCount"], activities, data_ended, cooling_since)


def measured_tasks(tasks: Iterable[Record], service: str, moment: float) -> int:
    """Return how many of the tasks are a service's and ran at a moment when their metric ended: they made it.

    Those on machines that drain are among them; those that have begun to run since then are not.
    """
    return sum(
        task.get("startedBy") == service and task["lastStatus"] == "RUNNING" and task["startedAt"].timestamp() < moment
        for task in tasks
    )


def _cooling_since(policies: Sequence[Record], name: str) -> float:
    """Return when a cooldown that lasts now would have begun: the longest of a service's policies."""
    configurations = [policy["TargetTrackingScalingPolicyConfiguration"] for policy in policies]
    return time.time() - clock.seconds(max(float(item.get(name, DEFAULT_COOLDOWN)) for item in configurations))


def _may(
    target: Record, service: Record, wanted: int, policies: Sequence[Record], activities: Sequence[Change]
) -> bool:
    """Return whether nothing forbids the change: suspension, and for fewer tasks a cooldown or a deployment."""
    suspended = target["SuspendedState"]
    if wanted > service["desiredCount"]:
        return not suspended["DynamicScalingOutSuspended"]
    deploying = any(item["rolloutState"] == "IN_PROGRESS" for item in service["deployments"])
    cooling = scale_in_waits(activities, _cooling_since(policies, "ScaleInCooldown"))
    return not (suspended["DynamicScalingInSuspended"] or deploying or cooling)


def _set(
    region: str, place: dict[str, Any], service: Record, wanted: int, policy: Tracked, policies: list[Record]
) -> None:
    kind = "High" if wanted > service["desiredCount"] else "Low"
    alarms = [
        item["AlarmName"] for entry in policies if entry["PolicyName"] == policy.policy for item in entry["Alarms"]
    ]
    alarm = next((name for name in alarms if f"-Alarm{kind}-" in name), "")
    before = service["desiredCount"]
    clients.client("ecs", region).update_service(
        cluster=service["clusterArn"], service=service["serviceName"], desiredCount=wanted
    )
    sentence = f"the metric was at {policy.value:.1f}, its target is {policy.target:g}: from {before} tasks to {wanted}"
    cause = f"monitor alarm {alarm} in state ALARM triggered policy {policy.policy}: {sentence}"
    scaling_activities.record_activity(region, place, f"Setting desired count to {wanted}.", cause, (before, wanted))
    logger.info("%s: %s.", place["ResourceId"], sentence)
