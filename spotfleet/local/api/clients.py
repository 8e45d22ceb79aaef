"""Clients of the embedded AWS."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from spotfleet.local.host import keys, paths

# A boto3 client, whose class is made at run time.
Client = Any
# A value of a template, or a parameter of an API: what JSON can hold.
Value = Any

# No proxy stands before the loopback interface; deleting a service waits until its tasks have stopped.
CLIENT_CONFIG = Config(proxies={}, read_timeout=900, retries={"max_attempts": 1})


def client(service: str, region: str, account: str = "local") -> Client:
    """Return a boto3 client of the embedded AWS; an account number as access key selects that account there."""
    return _client(service, region, account, keys.read() or "none")


@cache
def _client(service: str, region: str, account: str, key: str) -> Client:
    session = boto3.Session(aws_access_key_id=account, aws_secret_access_key=key, region_name=region)
    # The stubs know services by literal names only.
    return session.client(service, endpoint_url=paths.endpoint(), config=CLIENT_CONFIG)  # type: ignore[call-overload]


def pages(aws_client: Client, operation: str, key: str, **parameters: Value) -> Iterator[Value]:
    """Yield the items under `key` of every page of a listing operation."""
    for page in aws_client.get_paginator(operation).paginate(**parameters):
        yield from page[key]
