"""What the APIs tell of machines and certificates, published each AWS minute as EC2 and Certificate Manager do it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
"""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from spotfleet.behaviour.record import Record
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.clients import pages

SECONDS_OF_A_DAY = 86_400


def status_checks(status: Record) -> dict[str, list[float]]:
    """Return a machine's status checks: 0 for passed, 1 for failed."""
    system, instance = (float(status[kind]["Status"] == "impaired") for kind in ("SystemStatus", "InstanceStatus"))
    return {
        "StatusCheckFailed": [max(system, instance)],
        "StatusCheckFailed_System": [system],
        "StatusCheckFailed_Instance": [instance],
    }


def days_to_expiry(certificate: Record, now: float) -> dict[str, list[float]]:
    """Return the whole days that a certificate is valid for; nothing before it is issued."""
    if "NotAfter" not in certificate:
        return {}
    return {"DaysToExpiry": [max(0.0, (certificate["NotAfter"].timestamp() - now) // SECONDS_OF_A_DAY)]}


class ResourceMetrics(controller.Controller):
    """Publishes what the APIs of every region tell."""

    name = "resource-metrics"
    interval = 0.25

    def __init__(
        self,
        regions: Callable[[], list[str]] = embedded_aws.regions,
        client: Callable[[str, str], clients.Client] = clients.client,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._regions = regions
        self._client = client
        self._clock = clock
        self._minute = metrics_store.minute(clock())

    @metrics_store.together()
    def step(self) -> None:
        """Publish the minute that has just ended."""
        minute = metrics_store.minute(self._clock())
        if minute == self._minute:
            return
        ended, self._minute = self._minute, minute
        for region in self._regions():
            cloudwatch = self._client("cloudwatch", region)
            for status in pages(self._client("ec2", region), "describe_instance_status", "InstanceStatuses"):
                dimensions = {"InstanceId": status["InstanceId"]}
                metrics_store.publish(cloudwatch, "AWS/EC2", status_checks(status), dimensions, ended)
            # Each minute what AWS publishes twice a day: nobody who rehearses waits as long.
            for arn, values in self._certificates(region).items():
                dimensions = {"CertificateArn": arn}
                metrics_store.publish(cloudwatch, "AWS/CertificateManager", values, dimensions, ended)

    def _certificates(self, region: str) -> dict[str, dict[str, list[float]]]:
        acm = self._client("acm", region)
        found = {}
        for summary in pages(acm, "list_certificates", "CertificateSummaryList"):
            arn = summary["CertificateArn"]
            try:
                certificate = acm.describe_certificate(CertificateArn=arn)["Certificate"]
            except ClientError as error:
                # Deleted since it was listed.
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                continue
            found[arn] = days_to_expiry(certificate, self._clock())
        return found
