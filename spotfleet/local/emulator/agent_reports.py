"""What the ECS agent reports of a container: why it ended."""

from collections.abc import Callable

from ministack.services import ecs

from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response


@extends(ecs._ACTION_MAP, "SubmitContainerStateChange")
def keeping_reasons(original: Callable[[Record], Response], data: Record) -> Response:
    """Keep the reason for DescribeTasks; MiniStack accepts the report and forgets it."""
    task = ecs._resolve_task(data.get("task", ""), ecs._resolve_cluster_name(data.get("cluster", "default")))
    for container in task["containers"] if task else []:
        if container["name"] == data.get("containerName") and data.get("reason"):
            container["reason"] = data["reason"]
    return original(data)
