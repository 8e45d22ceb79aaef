"""Which AWS a stack is in: said in a run's first line, and compared with what the environment is for.

Nothing else stands between the command of one account and the credentials of another: the same templates launch there
without a question. Every hook that acts asks this first.
"""

import os
import threading
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from logging import Logger
from typing import Any
from urllib.parse import urlsplit

from botocore import loaders
from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

# The number that the embedded AWS has, and no account of AWS.
EMBEDDED = "000000000000"
# Set where only the embedded AWS may be reached, to its address.
EMBEDDED_ONLY = "LOCAL_AWS_ENDPOINT"

# Where a stack object keeps its place.
ATTRIBUTE = "spotfleet_place"

# What was said and found right in this run. Sceptre runs the hooks of several stacks at the same time.
_said: set["Place"] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a stack is: account, region, and the address that CloudFormation is asked at."""

    account: str
    region: str
    endpoint: str

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded AWS on this computer."""
        return self.account == EMBEDDED and _is_this_machine(self.endpoint)

    def __str__(self) -> str:
        if self.is_embedded:
            return f"the embedded AWS at {self.endpoint}, region {self.region}; no account of AWS"
        name = "AWS" if _is_of_aws(self.endpoint) else "an endpoint that is none of AWS's own"
        return f"{name}: account {self.account}, region {self.region}, {self.endpoint}"


def is_embedded(stack: Stack) -> bool:
    """Return whether a stack is on the embedded AWS of this computer. Raises SceptreException as `require_right`."""
    place: Place = vars(stack).get(ATTRIBUTE) or _place(stack)
    return place.is_embedded


def require_right(stack: Stack, logger: Logger) -> None:
    """Say where a stack is, once in a run, and raise SceptreException unless that is the account of its environment.

    The setting `account_id` names it. On AWS a protected environment has to have one.
    """
    place = vars(stack).get(ATTRIBUTE) or _place(stack)
    _require_embedded_if_meant(place)
    _require_account(stack, place)
    # A stack object stands for one command.
    vars(stack)[ATTRIBUTE] = place
    with _lock:
        if place not in _said:
            _said.add(place)
            logger.info("Acting on %s", place)


def _place(stack: Stack) -> Place:
    manager = stack.connection_manager
    try:
        identity = manager.call(service="sts", command="get_caller_identity")
        endpoint = client(stack, "cloudformation").meta.endpoint_url
    except (BotoCoreError, ClientError) as error:
        reason = " ".join(str(error).split())
        raise SceptreException(
            f"{stack.name} was not touched: AWS does not say whose account this is ({reason}). "
            "Give credentials that work, then run this again."
        ) from error
    return Place(str(identity["Account"]), stack.region, endpoint)


def client(stack: Stack, service: str, **more: Any) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
    """Return a client of a stack's own session, which all stacks share and which makes one client at a time."""
    session = stack.connection_manager.get_session()
    with _lock:
        return session.client(service, **more)


def _require_embedded_if_meant(place: Place) -> None:
    meant = os.environ.get(EMBEDDED_ONLY)
    if meant and place.endpoint.rstrip("/") != meant:
        raise SceptreException(
            f"Nothing was touched: {EMBEDDED_ONLY} keeps this shell to the embedded AWS at {meant}, and the stack's "
            f"connection leads to {place.endpoint}. For AWS take a new shell."
        )


def _require_account(stack: Stack, place: Place) -> None:
    wanted = stack.stack_group_config.get("account_id") or ""
    environment = stack.name.rpartition("/")[0]
    file = f"config/{environment}/config.yaml"
    if place.is_embedded:
        return
    if not wanted and stack.stack_group_config.get("deletion_protection"):
        raise SceptreException(
            f"{stack.name} was not touched: {environment} has deletion_protection and no account_id, so nothing keeps "
            f"it out of a wrong account. This is {place}; if it is the right one, write account_id: "
            f'"{place.account}" into {file}.'
        )
    if wanted and str(wanted) != place.account:
        raise SceptreException(
            f"{stack.name} was not touched: {environment} belongs into account {wanted} (account_id in {file}), and "
            f"this is {place}. Take the credentials of the other account, or correct the setting."
        )


def _is_this_machine(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_of_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return any(host.endswith(f".{suffix}") for suffix in _suffixes_of_aws())


@cache
def _suffixes_of_aws() -> set[str]:
    """Return the domains of AWS's endpoints, in all partitions, as botocore has them."""
    partitions = loaders.create_loader().load_data("partitions")["partitions"]
    return {partition["outputs"][key] for partition in partitions for key in ("dnsSuffix", "dualStackDnsSuffix")}
