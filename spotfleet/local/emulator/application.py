"""MiniStack's application, with what this project's templates need of AWS and it lacks.

Only this package uses MiniStack's private names. Its version is pinned, and a name that has moved stops the start and
the test of the emulator. MiniStack reads its settings from environment variables when it is imported: daemon/server.py
sets them first.
"""

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from docker.models.containers import Container, ContainerCollection
from ministack import app
from ministack.services import sns

from spotfleet.local.emulator import (
    access,
    agent_reports,
    autoscaling,
    cloudformation,
    cloudformation_updates,
    cloudwatch,
    containment,
    ec2,
    ecr,
    ecs_draining,
    ecs_images,
    ecs_machines,
    ecs_order,
    ecs_placement,
    ecs_rollouts,
    ecs_scheduler,
    ecs_services,
    ecs_tasks,
    elbv2,
    group_schedules,
    group_signals,
    iam,
    instance_credits,
    instance_refreshes,
    logs,
    machine_ends,
    machine_images,
    operations,
    patching,
    protection,
    refusals,
    retention,
    route53,
    suspended_processes,
    targets,
    task_requests,
    task_watch,
    waf,
)
from spotfleet.local.emulator.patching import extends, replaces

# Each has put itself down for its places in MiniStack when it was imported.
PARTS = (
    *(agent_reports, autoscaling, cloudformation, cloudformation_updates, cloudwatch, ec2, ecr, ecs_draining),
    *(ecs_images, ecs_machines, ecs_order, ecs_placement, ecs_rollouts, ecs_scheduler, ecs_services, ecs_tasks, elbv2),
    *(group_schedules, group_signals, iam, instance_credits, instance_refreshes, logs, machine_ends, machine_images),
    *(protection, refusals, retention, route53, suspended_processes, targets, task_requests, task_watch, waf),
)


@functools.cache
def application(key: str) -> Callable[..., Any]:
    """Return MiniStack's ASGI application after adding to it what it lacks, and taking away what nobody may reach.

    `key` is the key of this start, which the credentials and logins that it gives out are made of.
    """
    access.key = key
    _keep_to_services_in_use()
    cloudformation.add_resource_types()
    machine_images.add_first()
    patching.apply()
    logs.collect()
    ecs_scheduler.start()
    task_watch.start()
    asgi: Callable[..., Any] = app.app
    return asgi


def stop_containers() -> None:
    """Remove the containers of the tasks, with a moment for each to end."""
    app._stop_docker_containers()


def _keep_to_services_in_use() -> None:
    """Forget the services that nothing here asks: the gate stands before them, and nothing shall be behind it."""
    for name in app.SERVICE_HANDLERS.keys() - operations.CHANGING.keys():
        del app.SERVICE_HANDLERS[name]


@replaces(sns, "_http_post_sync")
def post_nothing(*_arguments: object) -> HTTPStatus:
    """Refuse to send a message to whatever address a topic's subscription has."""
    return HTTPStatus.FORBIDDEN


@extends(ContainerCollection, "create")
def create_contained(
    original: Callable[..., Container], collection: ContainerCollection, *arguments: object, **settings: object
) -> Container:
    """Look at every container that is made here, for a task or anything else."""
    containment.require_contained(settings)
    return original(collection, *arguments, **settings)
