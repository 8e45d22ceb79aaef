"""How ECS tries again when tasks of a service cannot start. Decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
"""

AT_ONCE = 3
FIRST_SECONDS = 60
LONGEST_SECONDS = 27 * 60
QUICK_SECONDS = 50


def wait_seconds(failures: int) -> int:
    """Return how long after its last failure a service that failed so often in a row tries again (rule E11).

    The documentation names the longest distance, 27 minutes; that they double is an estimate.
    """
    if failures < AT_ONCE:
        return 0
    return min(LONGEST_SECONDS, FIRST_SECONDS << min(failures - AT_ONCE, 10))


def is_impaired(failures: int) -> bool:
    """Return whether the service tells that it is unable to consistently start tasks."""
    return failures >= AT_ONCE


def placement_wait_seconds(since: float) -> int:
    """Return when a service without capacity provider looks for room again that had none `since` so many seconds.

    Rule E20, estimated from a public log, reproio/ecs_deploy#53: quick tries for some 50 s, then every five minutes.
    """
    return 10 if since < QUICK_SECONDS else 300
