"""Clients of the embedded AWS."""

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from spotfleet.local.api.remembered import Answers
from spotfleet.local.host import keys, paths

# A boto3 client, whose class is made at run time.
Client = Any
# A value of a template, or a parameter of an API: what JSON can hold.
Value = Any

# A session may not make two clients at the same time.
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
_making = threading.Lock()
# No proxy stands before the loopback interface; deleting a service waits until its tasks have stopped.
CLIENT_CONFIG = Config(proxies={}, read_timeout=900, retries={"max_attempts": 1})


def client(service: str, region: str, account: str = "local") -> Client:
    """Return a boto3 client of the embedded AWS; an account number as access key selects that account there."""
    return _client(service, region, account, keys.read() or "none")


@cache
def _client(service: str, region: str, account: str, key: str) -> Client:
    with _making:
        # The stubs know services by literal names only.
        made = _session().client(  # type: ignore[call-overload]
            service,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key=key,
            endpoint_url=paths.endpoint(),
            config=CLIENT_CONFIG,
        )
    Answers().attach(made)
    return made


@cache
def _session() -> boto3.Session:
    """Return the session of all clients: each one reads the models of the services anew, tens of megabytes of EC2's."""
    return boto3.Session()


def pages(aws_client: Client, operation: str, key: str, **parameters: Value) -> Iterator[Value]:
    """Yield the items under `key` of every page of a listing operation."""
    for page in aws_client.get_paginator(operation).paginate(**parameters):
        yield from page[key]
