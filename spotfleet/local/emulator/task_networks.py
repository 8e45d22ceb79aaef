"""A task's containers stand in the network of its machine, and are told what the ECS agent tells them.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
"""

from ministack.core.responses import get_account_id, get_region
from ministack.services import ecs, ecs_metadata

from spotfleet.local.api import outgoing_rules
from spotfleet.local.emulator import task_credentials
from spotfleet.local.emulator.records import Record, machine_of
from spotfleet.local.host import paths, task_router

# What containers find there: metadata, credentials, and here all of AWS.
ENDPOINT = f"http://{task_router.CREDENTIALS}"
# What MiniStack tells a container, for an address that no container reaches.
MINISTACKS = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL")
METADATA = "ECS_CONTAINER_METADATA_URI_V4"


def join(task_arn: str, environment: dict[str, str]) -> Record:
    """Return the arguments for Docker that put a container into its machine's network, and tell it its variables.

    Where the engine can have no such network, a container stands where Docker puts it, without a way to AWS.
    """
    task = ecs._tasks.get(task_arn, {})
    metadata = environment.pop(METADATA, "")
    for name in MINISTACKS:
        environment.pop(name, None)
    machine = machine_of(task)
    network = outgoing_rules.network_for(get_account_id(), get_region(), machine) if machine else None
    if network is None:
        return {}
    environment["AWS_EXECUTION_ENV"] = "AWS_ECS_EC2"
    environment["AWS_ENDPOINT_URL"] = ENDPOINT
    environment[METADATA] = f"{ENDPOINT}/v4/{metadata.rpartition('/')[2]}"
    if path := task_credentials.path_for(task):
        environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = path
    _lead_to_endpoint(environment)
    return {"network": network, "dns": [task_router.NAME_SERVER]}


async def metadata(path: str) -> tuple[int, bytes]:
    """Return status and JSON of what a container is told about itself at a path that only it knows."""
    status, _headers, body = await ecs_metadata.handle_request("GET", path, {}, b"", {})
    return status, body


def _lead_to_endpoint(environment: dict[str, str]) -> None:
    """Let the URLs of queues lead where containers reach them: some clients send their requests to the URL itself."""
    here = f"http://localhost:{paths.port()}/"
    for name, value in environment.items():
        if value.startswith(here):
            environment[name] = f"{ENDPOINT}/{value.removeprefix(here)}"
