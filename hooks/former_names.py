"""Finds an environment that stands under the project_code or in the Region that it had before, and is billed there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from sceptre.stack import Stack

from hooks import deployed_environment, regions

LAYER = "vpc"
THREADS = 16


def remarks(stack: Stack, environment: str) -> Iterator[str]:
    """Yield where an environment of this name stands, for one that is launched for the first time.

    What may not be asked is passed over: most accounts use few Regions, and some may not list stacks.
    """
    end = f"-{environment}-{LAYER}"
    for name in _stacks_of_region(stack):
        if name.endswith(end):
            code = name.removesuffix(end)
            yield (
                f"An environment {environment} of project_code {code} stands in this account and Region: if it is this "
                f"one under its former name, it goes on running and is billed; delete it with project_code: {code}"
            )
    name = deployed_environment.name_of(stack, LAYER)
    for region in _regions_with(stack, name):
        yield (
            f"{name} stands in {region}: if this environment has moved, the old one goes on running and is billed "
            f"there; delete it with region: {region}"
        )


def _stacks_of_region(stack: Stack) -> list[str]:
    try:
        client = _client(stack, stack.region)
        pages = client.get_paginator("describe_stacks").paginate()
        return [found["StackName"] for page in pages for found in page["Stacks"]]
    except (BotoCoreError, ClientError):
        return []


def _regions_with(stack: Stack, name: str) -> list[str]:
    others = [region for region in regions.of_partition_of(stack.region) if region != stack.region]
    clients = {region: _client(stack, region) for region in others}

    def has_it(region: str) -> bool:
        try:
            found = clients[region].describe_stacks(StackName=name)["Stacks"][0]
        except (BotoCoreError, ClientError, LookupError):
            return False
        # The embedded AWS, and some proxies, answer for every Region with the same stacks.
        return bool(found["StackId"].split(":")[3] == region)

    with ThreadPoolExecutor(THREADS) as pool:
        return [region for region, found in zip(others, pool.map(has_it, others), strict=True) if found]


def _client(stack: Stack, region: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  # boto3 makes its class at run time
    quick = Config(connect_timeout=3, read_timeout=3, retries={"max_attempts": 0})
    session = stack.connection_manager.get_session()
    return session.client("cloudformation", region_name=region, config=quick)
