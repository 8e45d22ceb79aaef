"""The Docker engine as the tasks of this server have it."""

import functools

from ministack.core import container_reaper

from spotfleet.local.host import running_containers


@functools.cache
def engine_watch() -> running_containers.EngineWatch:
    """Return who knows which containers of this server run."""
    return running_containers.EngineWatch(label())


def label() -> str:
    """Return the label of the containers that are this server's."""
    return f"{container_reaper.INSTANCE_LABEL}={container_reaper.instance_id()}"
