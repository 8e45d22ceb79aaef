"""What is in the tables that MiniStack's own threads change: tasks start and end there without a call of any API."""

import time
from typing import Any

from ministack.services import alb, autoscaling, ec2, ecs
from ministack.services import cloudformation as stacks_of

from spotfleet.local.backchannel import target_health
from spotfleet.local.emulator import registrations
from spotfleet.local.emulator.records import Record, container_instances


def fingerprint() -> int | None:
    """Return a number for what the APIs tell now; None while a stack is worked on, which changes all there is."""
    try:
        stacks = [stack["StackStatus"] for stack in _values(stacks_of._stacks)]
        # One that waits for its first change set to be executed does nothing, for as long as somebody likes.
        if any(status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS" for status in stacks):
            return None
        tasks = [task for task in _values(ecs._tasks) if task["lastStatus"] != "STOPPED"]
        health = [_health(key[-1], items) for key, items in alb._targets.to_dict().items()]
        services = [_service(service) for service in _values(ecs._services)]
        tables = (container_instances, autoscaling._asgs, autoscaling._hooks, ec2._instances, ec2._tags)
        return hash(repr([stacks, tasks, health, services, *(_values(table) for table in tables)]))
    except RuntimeError:
        # A table grew while it was looked at.
        return None


def _service(service: Record) -> Record:
    """Return a service without its older events, which are as they were: there are up to a hundred."""
    return service | {"events": service.get("events", [])[:1]}


def _health(group: str, items: list[Record]) -> list[object]:
    """Return who is registered and how each does; not how many requests it has, which changes all the time."""
    present = registrations.kept(items, time.time())
    known = [(item, target_health.health(group, registrations.key(item))) for item in present]
    return [(item, health.state, health.reason) for item, health in known]


def _values(table: Any) -> list[Any]:  # noqa: ANN401  # MiniStack's tables, of two kinds
    """Return what a table has in every account and region."""
    return list(table.to_dict().values())
