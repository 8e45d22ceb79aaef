"""Which tasks of a draining machine may stop now: decisions only."""

from spotfleet.behaviour.record import Record


def stoppable(service: Record, draining: int, healthy: int, starting: int) -> int:
    """Return how many of a service's draining tasks may stop now.

    `healthy` tasks serve elsewhere and `starting` ones will. Replacements come first where the maximum percent has room
    for them; otherwise draining tasks make room, as far as the minimum healthy percent lets them.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
    """
    desired = int(service["desiredCount"])
    if service["status"] != "ACTIVE":
        return draining
    configuration = service.get("deploymentConfiguration", {})
    most = max(1, desired * int(configuration.get("maximumPercent", 200)) // 100)
    least = -(-desired * int(configuration.get("minimumHealthyPercent", 100)) // 100)
    room_to_start = draining + healthy + starting < most and healthy + starting < desired
    needed = desired if room_to_start or healthy + starting >= desired else least
    return max(0, min(draining, healthy + draining - needed))


def service_of(task: Record) -> str:
    """Return the name of the service that a task belongs to, or nothing when it was started alone.

    Here the group of a service's task on a machine that drains starts with another word than on AWS.
    """
    kind, _, name = str(task.get("group", "")).partition(":")
    return name if kind in ("service", "draining") else ""


def is_healthy(task: Record, healthy_ports: set[int] | None) -> bool:
    """Return whether a running task serves requests."""
    if healthy_ports is None:
        return True
    ports = {binding["hostPort"] for item in task["containers"] for binding in item.get("networkBindings", [])}
    return bool(ports & healthy_ports)
