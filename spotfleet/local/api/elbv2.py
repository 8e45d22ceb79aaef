"""Targets of target groups, read from ELBv2."""

from botocore.exceptions import ClientError

from spotfleet.local.api import clients
from spotfleet.local.backchannel.target_health import Target


def read_targets(client: clients.Client, group: str) -> dict[Target, str]:
    """Return the targets of a group with the state that ELBv2 tells; none when the group is gone."""
    try:
        described = client.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "TargetGroupNotFound":
            return {}
        raise
    return {
        Target(item["Target"]["Id"], int(item["Target"]["Port"])): item["TargetHealth"]["State"] for item in described
    }
