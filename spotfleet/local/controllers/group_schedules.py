"""Auto Scaling groups follow their scheduled actions (rule G13).

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from spotfleet.behaviour import schedules
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.suspended_processes import Process, is_suspended
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.clients import pages

logger = logging.getLogger("spotfleet.group_schedules")

# An action that came due while nothing looked is still kept this long.
LOOKBACK = timedelta(minutes=1)


class GroupSchedules(controller.Controller):
    """Sets the sizes of Auto Scaling groups by schedule, at moments of the wall clock."""

    name = "group-schedules"

    def __init__(
        self,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str, str], clients.Client] = clients.client,
    ) -> None:
        self.interval = controller.pace()
        self._regions = regions
        self._client = client
        self._looked = datetime.now(UTC) - LOOKBACK

    def step(self) -> None:
        """Act on the actions that have come due since the last look."""
        now = datetime.now(UTC)
        for region in self._regions():
            autoscaling = self._client("autoscaling", region)
            for action in pages(autoscaling, "describe_scheduled_actions", "ScheduledUpdateGroupActions"):
                name = f"{action['AutoScalingGroupName']}: the scheduled action {action['ScheduledActionName']}"
                try:
                    if schedules.is_action_due(action, self._looked, now):
                        _apply(autoscaling, action, name)
                except (ValueError, ClientError) as error:
                    logger.warning("%s has failed: %s", name, error)
        self._looked = now


def _apply(autoscaling: clients.Client, action: Record, name: str) -> None:
    """Give a group the sizes of an action; one that does not recur is over then, and AWS forgets it."""
    place = {"AutoScalingGroupName": action["AutoScalingGroupName"]}
    if not action.get("Recurrence"):
        autoscaling.delete_scheduled_action(**place, ScheduledActionName=action["ScheduledActionName"])
    found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=list(place.values()))["AutoScalingGroups"]
    for group in found:
        if is_suspended(group, Process.SCHEDULED_ACTIONS):
            return
        sizes = schedules.sizes_after(action, group)
        logger.info("%s sets %s.", name, ", ".join(f"{key} {value}" for key, value in sizes.items()))
        autoscaling.update_auto_scaling_group(**place, **sizes)
