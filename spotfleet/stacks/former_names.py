"""Finds an environment that stands under the project_code or in the Region that it had before, and is billed there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from sceptre.stack import Stack

from spotfleet.facts import regions
from spotfleet.stacks import account, deployed_environment

LAYER = "vpc"
THREADS = 16
QUICK = Config(connect_timeout=3, read_timeout=3, retries={"max_attempts": 0})


def remarks(stack: Stack, environment: str) -> Iterator[str]:
    """Yield where an environment of this name stands, for one that is launched for the first time.

    What may not be asked is passed over: most accounts use few Regions, and some may not list stacks.
    """
    for code in _codes_with(stack, environment):
        yield (
            f"An environment {environment} of project_code {code} stands in this account and Region: if it is this one "
            f"under its former name, it goes on running and is billed; delete it with project_code: {code}"
        )
    name = deployed_environment.name_of(stack, LAYER)
    for region in _regions_with(stack, name):
        yield (
            f"{name} stands in {region}: if this environment has moved, the old one goes on running and is billed "
            f"there; delete it with region: {region}"
        )


def _codes_with(stack: Stack, environment: str) -> list[str]:
    """Return the project codes under which the Region has an environment of this name, by the tag of its stacks."""
    end = f"-{environment}-{LAYER}"
    tag = {"Key": "Environment", "Value": environment}
    try:
        client = account.client(stack, "cloudformation", config=QUICK)
        pages = client.get_paginator("describe_stacks").paginate()
        stacks = [found for page in pages for found in page["Stacks"]]
    except (BotoCoreError, ClientError):
        return []
    # The name alone does not tell dev from pre-dev.
    names = [found["StackName"] for found in stacks if tag in found.get("Tags", [])]
    return [name.removesuffix(end) for name in names if name.endswith(end)]


def _regions_with(stack: Stack, name: str) -> list[str]:
    others = [region for region in regions.of_partition_of(stack.region) if region != stack.region]
    clients = {region: account.client(stack, "cloudformation", region_name=region, config=QUICK) for region in others}

    def has_it(region: str) -> bool:
        try:
            found = clients[region].describe_stacks(StackName=name)["Stacks"][0]
        except (BotoCoreError, ClientError, LookupError):
            return False
        # The embedded AWS, and some proxies, answer for every Region with the same stacks.
        return bool(found["StackId"].split(":")[3] == region)

    with ThreadPoolExecutor(THREADS) as pool:
        return [region for region, found in zip(others, pool.map(has_it, others), strict=True) if found]
