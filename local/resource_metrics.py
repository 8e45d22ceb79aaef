"""What the APIs tell of groups, machines, logs and certificates, published each AWS minute as their services do it.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from local import aws, controllers, metrics_store
from local.aws import pages

# Real seconds after which a task's line is in its log group for certain.
LINE_SECONDS = 2.0
# Lines of one answer of FilterLogEvents, and what CloudWatch Logs counts for a line beside its text:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LINES = 10_000
BYTES_OF_A_LINE = 26
SECONDS_OF_A_DAY = 86_400

Record = Mapping[str, Any]


def group_sizes(group: Record) -> dict[str, list[float]]:
    """Return an Auto Scaling group's metrics: its bounds, and how many machines are in which state."""
    states = [instance["LifecycleState"] for instance in group["Instances"]]
    numbers = {
        "GroupMinSize": group["MinSize"],
        "GroupMaxSize": group["MaxSize"],
        "GroupDesiredCapacity": group["DesiredCapacity"],
        "GroupInServiceInstances": states.count("InService"),
        "GroupPendingInstances": sum(state.startswith("Pending") for state in states),
        "GroupTerminatingInstances": sum(state.startswith("Terminating") for state in states),
        "GroupTotalInstances": len(states),
    }
    return {name: [float(number)] for name, number in numbers.items()}


def status_checks(status: Record) -> dict[str, list[float]]:
    """Return a machine's status checks: 0 for passed, 1 for failed."""
    system, instance = (float(status[kind]["Status"] == "impaired") for kind in ("SystemStatus", "InstanceStatus"))
    return {
        "StatusCheckFailed": [max(system, instance)],
        "StatusCheckFailed_System": [system],
        "StatusCheckFailed_Instance": [instance],
    }


def log_bytes(logs: aws.Client, group: str, since: int, until: int) -> int:
    """Return the bytes that came into a log group from `since` until before `until`, in ms since 1970."""
    size = 0
    while since < until:
        events = logs.filter_log_events(logGroupName=group, startTime=since, endTime=until - 1)["events"]
        size += sum(len(event["message"].encode()) + BYTES_OF_A_LINE for event in events)
        if len(events) < LINES:
            break
        # The embedded AWS gives no token for the rest.
        since = events[-1]["timestamp"] + 1
    return size


class ResourceMetrics(controllers.Controller):
    """Publishes what the APIs of every region tell."""

    name = "resource-metrics"
    interval = 0.25

    def __init__(
        self,
        regions: Callable[[], list[str]] = controllers.regions,
        client: Callable[[str, str], aws.Client] = aws.client,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._regions = regions
        self._client = client
        self._clock = clock
        self._minute = metrics_store.minute(clock())
        # Until when the lines of logs are counted, in ms since 1970.
        self._counted = self._certain_lines()

    def step(self) -> None:
        """Publish the minute that has just ended."""
        minute = metrics_store.minute(self._clock())
        if minute == self._minute:
            return
        ended, self._minute = self._minute, minute
        since, self._counted = self._counted, self._certain_lines()
        for region in self._regions():
            self._publish_groups(region, ended)
            self._publish_machines(region, ended)
            self._publish_logs(region, ended, since)
            self._publish_certificates(region, ended)

    def _certain_lines(self) -> int:
        return int((self._clock() - LINE_SECONDS) * 1000)

    def _publish_groups(self, region: str, minute: int) -> None:
        autoscaling = self._client("autoscaling", region)
        for group in pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups"):
            dimensions = {"AutoScalingGroupName": group["AutoScalingGroupName"]}
            self._put(region, "AWS/AutoScaling", group_sizes(group), dimensions, minute)

    def _publish_machines(self, region: str, minute: int) -> None:
        for status in pages(self._client("ec2", region), "describe_instance_status", "InstanceStatuses"):
            self._put(region, "AWS/EC2", status_checks(status), {"InstanceId": status["InstanceId"]}, minute)

    def _publish_logs(self, region: str, minute: int, since: int) -> None:
        logs = self._client("logs", region)
        for group in pages(logs, "describe_log_groups", "logGroups"):
            name = group["logGroupName"]
            with _passing_over_deleted():
                size = log_bytes(logs, name, since, self._counted) if group["storedBytes"] else 0
                if size:
                    self._put(region, "AWS/Logs", {"IncomingBytes": [float(size)]}, {"LogGroupName": name}, minute)

    def _publish_certificates(self, region: str, minute: int) -> None:
        """Publish each minute what AWS publishes twice a day: a rehearsal need not wait as long."""
        acm = self._client("acm", region)
        for summary in pages(acm, "list_certificates", "CertificateSummaryList"):
            arn = summary["CertificateArn"]
            with _passing_over_deleted():
                certificate = acm.describe_certificate(CertificateArn=arn)["Certificate"]
                if "NotAfter" in certificate:
                    days = (certificate["NotAfter"].timestamp() - self._clock()) // SECONDS_OF_A_DAY
                    values = {"DaysToExpiry": [max(0.0, days)]}
                    self._put(region, "AWS/CertificateManager", values, {"CertificateArn": arn}, minute)

    def _put(
        self, region: str, namespace: str, values: dict[str, list[float]], dimensions: dict[str, str], minute: int
    ) -> None:
        metrics_store.publish(self._client("cloudwatch", region), namespace, values, dimensions, minute)


@contextmanager
def _passing_over_deleted() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
