"""AWS's regions and partitions, as the botocore that is installed knows them."""

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore
from botocore.loaders import create_loader

# Outside the partitions aws and aws-us-gov these services' endpoints begin with the partition's own domain; the others
# begin with com.amazonaws everywhere: https://docs.amazonaws.cn/en_us/vpc/latest/privatelink/aws-services-privatelink-support.html
OWN_DOMAIN = {"ecr.api", "ecr.dkr"}
OWN_DOMAIN_IN_CHINA = OWN_DOMAIN | {"autoscaling"}
ZONES_OF_US_WEST_1 = 2
COMMON_PREFIX = "com.amazonaws"


def problem_of(region: str) -> str | None:
    """Say what is wrong with the name of a region, or None."""
    if partition(region):
        return None
    nearest = difflib.get_close_matches(region, _regions(), n=1)
    return (
        f"must be a region of AWS{f'; the nearest is {nearest[0]}' if nearest else ', such as eu-west-1'}. One that "
        f"botocore {botocore.__version__} does not know yet needs a newer boto3"
    )


def partition(region: str) -> str | None:
    """Return the partition that the region is in, such as aws-cn, or None when there is no such region."""
    found = _regions().get(region)
    return str(found["id"]) if found else None


def of_partition_of(region: str) -> list[str]:
    """Return all regions of the partition that a region is in."""
    own = partition(region)
    return sorted(name for name, found in _regions().items() if found["id"] == own)


def remarks_on_zones(region: str, zones: int) -> Iterator[str]:
    """Yield what is known of a Region's zones that may be in the way: nobody lists them without an account.

    https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-availability-zones.html
    """
    if region == "us-west-1" and zones > ZONES_OF_US_WEST_1:
        yield f"{region} gives most accounts {ZONES_OF_US_WEST_1} zones, and {zones} are set: availability_zones"
    if region == "us-east-1":
        yield (
            "One zone of us-east-1, use1-az3, has no current instance types; in which of an account's zones it is, "
            "`aws ec2 describe-availability-zones` tells"
        )


def endpoint_prefix(region: str, service: str) -> str:
    """Return what stands before the region in the name of a service's VPC endpoint, such as com.amazonaws."""
    found = _regions().get(region)
    services = OWN_DOMAIN_IN_CHINA if found and found["id"] == "aws-cn" else OWN_DOMAIN
    if not found or service not in services:
        return COMMON_PREFIX
    suffix: str = found["outputs"]["dnsSuffix"]
    return ".".join(reversed(suffix.split(".")))


@cache
def _regions() -> dict[str, dict[str, Any]]:
    """Return the partition of each region; those that stand for a whole partition, such as aws-global, are none."""
    partitions = create_loader().load_data("partitions")["partitions"]
    return {name: one for one in partitions for name in one["regions"] if not name.endswith("-global")}
