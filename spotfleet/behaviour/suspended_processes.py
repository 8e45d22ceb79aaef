"""Which of a group's processes are suspended.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
"""

from enum import StrEnum

from spotfleet.behaviour.record import Record


class Process(StrEnum):
    """What an Auto Scaling group does by itself, and may be told not to."""

    LAUNCH = "Launch"
    TERMINATE = "Terminate"
    ADD_TO_LOAD_BALANCER = "AddToLoadBalancer"
    ALARM_NOTIFICATION = "AlarmNotification"
    AZ_REBALANCE = "AZRebalance"
    HEALTH_CHECK = "HealthCheck"
    INSTANCE_REFRESH = "InstanceRefresh"
    REPLACE_UNHEALTHY = "ReplaceUnhealthy"
    SCHEDULED_ACTIONS = "ScheduledActions"


def is_suspended(group: Record, *processes: Process) -> bool:
    """Return whether one of these processes of a group, as its API describes it, is suspended."""
    return any(item["ProcessName"] in processes for item in group.get("SuspendedProcesses") or [])
